from .darknet import blocks_in_file_order as blocks_in_file_order
from .detectors import count_shared_stages as count_shared_stages
from .loading import SUFFIXES as SUFFIXES, WEIGHTS as WEIGHTS, find_in_folder as find_in_folder, load as load
from .models import (
    FAMILIES as FAMILIES,
    MODELS as MODELS,
    Networks as Networks,
    backbone_of as backbone_of,
    family_of as family_of,
    model as model,
    register_network as register_network,
)
from .preprocessing import class_names as class_names, preprocessing_for as preprocessing_for
from .published_figures import Preprocessing as Preprocessing, published_figure as published_figure
