from .darknet import convolutions as convolutions
from .detectors import in_common as in_common
from .loading import SUFFIXES as SUFFIXES, WEIGHTS as WEIGHTS, in_folder as in_folder, load as load
from .models import (
    FAMILIES as FAMILIES,
    MODELS as MODELS,
    Networks as Networks,
    backbone_of as backbone_of,
    family_of as family_of,
    model as model,
    register_network as register_network,
)
from .preprocessing import class_names as class_names, preparing as preparing
from .published_figures import Preprocessing as Preprocessing, published as published
