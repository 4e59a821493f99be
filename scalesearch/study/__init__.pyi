from .by_class import ByClass as ByClass, beaten as beaten, by_class as by_class
from .document import document_difference as document_difference, document_digest as document_digest
from .driver import Driver as Driver
from .evaluators import register_evaluator as register_evaluator
from .json_schema import schema_text as schema_text
from .page import COLOURS as COLOURS, Figure as Figure, Info as Info, ScoreAxis as ScoreAxis, figure as figure
from .reading import kind_of as kind_of, load_study as load_study, recipe_of as recipe_of, study_fields as study_fields
from .shipped import find_study as find_study
from .starting import start_in as start_in
from .steps.compare import ComparedRow as ComparedRow
from .steps.family import members as members
from .study import Resources as Resources, Study as Study, seconds as seconds
