from .described import arch_said as arch_said, classes_of as classes_of, preparation_of as preparation_of
from .detecting import (
    Detections as Detections,
    Threshold as Threshold,
    detect as detect,
    how_many as how_many,
    is_video as is_video,
)
from .evaluating import evaluate as evaluate
from .files import local as local, told as told
from .loading import load_weights as load_weights
from .peers import (
    LIBRARIES as LIBRARIES,
    known_to as known_to,
    peer_weights as peer_weights,
    trained_with as trained_with,
)
from .predicting import Prediction as Prediction, find as find, predict as predict
from .scoring_boxes import evaluate_boxes as evaluate_boxes
