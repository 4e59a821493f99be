from .architecture import table as table, write_drawing as write_drawing
from .findings import Transfer as Transfer, transfers as transfers
from .html import page as page
from .info import Info as Info, Row as Row, gather as gather
