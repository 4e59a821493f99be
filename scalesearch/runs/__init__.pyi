from .checking import certified as certified, check_file as check_file, plan as plan
from .folder import claimed as claimed
from .leaving import seconds_spent as seconds_spent, write_report as write_report
from .loop import run as run
from .progress import Progress as Progress
