from .api import (
    Found as Found,
    Trained as Trained,
    Training as Training,
    dataset as dataset,
    detect as detect,
    evaluate as evaluate,
    export as export,
    load_trained as load_trained,
    predict as predict,
    search as search,
    train as train,
)
from .arch import Arch as Arch, expand as expand, register_block as register_block
from .budget import Feasible as Feasible, certify as certify
from .counting import Cost as Cost, cost as cost, peak_memory as peak_memory
from .errors import InputError as InputError
from .network import build as build
from .runs import Run as Run, run as run
from .scaling import ScalingSpace as ScalingSpace, scale as scale, scale_to as scale_to
from .searchers import Function as Function, register_searcher as register_searcher
from .space import (
    Space as Space,
    choice as choice,
    load_space as load_space,
    space_from_dict as space_from_dict,
    span as span,
)
from .study import Study as Study, load_study as load_study, register_evaluator as register_evaluator
from .weights import load_weights as load_weights
from .zoo import load as load, register_network as register_network

__version__: str
