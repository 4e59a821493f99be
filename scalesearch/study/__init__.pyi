from .driver import Driver as Driver, Job as Job, StudyFailed as StudyFailed
from .log import TrialLog as TrialLog
from .study import (
    Study as Study,
    document_difference as document_difference,
    document_digest as document_digest,
    load_study as load_study,
    study_keys as study_keys,
)
from .tablestudy import (
    is_table_study as is_table_study,
    load_table_study as load_table_study,
    report_table_study as report_table_study,
    run_table_study as run_table_study,
)
from .trial import STEPS as STEPS, Trial as Trial, compared as compared
