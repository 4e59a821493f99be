from .architecture import table as table, write_drawing as write_drawing
from .by_class import by_class as by_class
from .health import health_page as health_page
from .html import page as page
from .info import Info as Info, environment as environment, gather as gather
