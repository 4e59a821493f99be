from .class_results import (
    ClassResults as ClassResults,
    compare_detectors as compare_detectors,
    read_class_results as read_class_results,
)
from .document import document_difference as document_difference, document_digest as document_digest
from .driver import Driver as Driver
from .evaluators import register_evaluator as register_evaluator
from .json_schema import schema_text as schema_text
from .keys import explain as explain, study_keys as study_keys
from .page import (
    COLOURS as COLOURS,
    Figure as Figure,
    Info as Info,
    ScoreAxis as ScoreAxis,
    figure as figure,
    log_axis as log_axis,
    scatter as scatter,
)
from .planning import makespan as makespan
from .reading import (
    load_study as load_study,
    settings_named as settings_named,
    study_fields as study_fields,
    study_kind as study_kind,
)
from .recipes import parse_recipe as parse_recipe
from .shipped_studies import find_study as find_study
from .starter_files import starter_study as starter_study, write_starter_files as write_starter_files
from .steps import STEPS as STEPS
from .steps.compared_row import ComparedRow as ComparedRow
from .steps.family import members as members
from .steps.hand_built import hand_built as hand_built
from .study import Resources as Resources, Study as Study, parse_seconds as parse_seconds
