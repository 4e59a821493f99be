from .finding import Found as Found, search as search
from .trained import (
    NEEDS_WEIGHTS as NEEDS_WEIGHTS,
    Trained as Trained,
    load_trained as load_trained,
    weights_in_folder as weights_in_folder,
)
from .training import Training as Training, train as train
from .using import (
    check_classifier as check_classifier,
    check_detector as check_detector,
    check_labels as check_labels,
    dataset as dataset,
    detect as detect,
    evaluate as evaluate,
    export as export,
    predict as predict,
)
