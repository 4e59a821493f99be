from .class_names import head_rows as head_rows
from .detecting import (
    Detections as Detections,
    Threshold as Threshold,
    count_pictures as count_pictures,
    detect as detect,
    is_video as is_video,
)
from .evaluating import Evaluation as Evaluation, evaluate as evaluate
from .files import file_metadata as file_metadata, local_file as local_file
from .loading import load_weights as load_weights
from .metadata import (
    arch_from_metadata as arch_from_metadata,
    class_names_of as class_names_of,
    preparation_of as preparation_of,
)
from .peers import (
    LIBRARIES as LIBRARIES,
    libraries_with as libraries_with,
    peer_weights as peer_weights,
    with_library_eps as with_library_eps,
)
from .predicting import (
    InputFiles as InputFiles,
    LoadedImage as LoadedImage,
    Prediction as Prediction,
    find as find,
    predict as predict,
)
from .scoring_boxes import BoxEvaluation as BoxEvaluation, evaluate_boxes as evaluate_boxes
