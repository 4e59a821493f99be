from .architecture import table as table, write_drawing as write_drawing
from .html import page as page
from .info import Info as Info, gather as gather
