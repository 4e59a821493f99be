from .files import write as write
from .python import to_python as to_python
