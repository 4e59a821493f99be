from .artifacts import write_report as write_report
from .checking import certified as certified, check_file as check_file, plan as plan
from .estimate import estimate as estimate
from .folder import check_free as check_free, check_run as check_run
from .images import kept_source as kept_source
from .mirror import local_copy as local_copy
from .progress import ProgressDisplay as ProgressDisplay
from .ray_jobs import Jobs as Jobs, check_ended_well as check_ended_well
from .running import run as run
from .single import Single as Single, train as train
from .verifying import Verification as Verification
