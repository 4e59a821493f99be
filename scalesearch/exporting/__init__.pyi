from .files import check_suffix as check_suffix, write as write
from .python import to_python as to_python
