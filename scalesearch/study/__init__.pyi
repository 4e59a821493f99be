from .document import document_difference as document_difference, document_digest as document_digest
from .driver import Driver as Driver
from .reading import kind_of as kind_of, load_study as load_study, study_fields as study_fields
from .steps.compare import ComparedRow as ComparedRow
from .steps.family import members as members
from .study import Study as Study
