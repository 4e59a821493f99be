from .artifacts import write_report as write_report
from .checking import (
    certify_study as certify_study,
    check_file as check_file,
    describe_data as describe_data,
    plan as plan,
)
from .estimate import estimate as estimate, timed_seconds as timed_seconds
from .folder import check_free as check_free, check_run as check_run
from .images import saved_source as saved_source
from .mirror import local_copy as local_copy
from .progress import ProgressDisplay as ProgressDisplay
from .ray_jobs import ClusterJobs as ClusterJobs, check_ended_well as check_ended_well
from .running import run as run
from .single import TrainingSpec as TrainingSpec, train as train
from .verifying import Verification as Verification
