from .dataset import DataSet as DataSet
from .health import Health as Health
from .images import SUFFIXES as SUFFIXES, prepared as prepared, square as square, data_uri as data_uri
from .pixels import Pixels as Pixels
from .facts import Source as Source
from .sources import SOURCES as SOURCES, data_set as data_set, load as load, located as located, source as source
