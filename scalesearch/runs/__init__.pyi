from .artifacts import open_run as open_run, read_run as read_run, write_report as write_report
from .checking import (
    certify_study as certify_study,
    check_file as check_file,
    describe_data as describe_data,
    plan as plan,
)
from .estimate import estimate as estimate, timed_seconds as timed_seconds
from .folder import check_free as check_free
from .live import Status as Status, run_status as run_status
from .mirror import local_copy as local_copy
from .progress import ProgressDisplay as ProgressDisplay
from .ray_jobs import ClusterJobs as ClusterJobs, check_ended_well as check_ended_well
from .running import Run as Run, run as run
from .serving import live_server as live_server
from .single import Summary as Summary, TrainingSpec as TrainingSpec, train as train
from .verifying import Verification as Verification
