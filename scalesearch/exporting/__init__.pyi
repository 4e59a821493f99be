from .files import write as write
from .formats import FORMATS as FORMATS, WITH_BOXES as WITH_BOXES, check_suffix as check_suffix
from .python import to_python as to_python
