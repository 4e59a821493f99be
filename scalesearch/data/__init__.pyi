from .arrays import npz_images as npz_images
from .dataset import DataSet as DataSet
from .examples import Examples as Examples, examples as examples
from .facts import Source as Source
from .health import Health as Health
from .images import (
    LETTERBOX as LETTERBOX,
    SUFFIXES as SUFFIXES,
    File as File,
    Mark as Mark,
    Placed as Placed,
    data_uri as data_uri,
    letterboxed as letterboxed,
    marked_uri as marked_uri,
    middle as middle,
    prepared as prepared,
    save_marked as save_marked,
)
from .pixels import Pixels as Pixels
from .sources import SOURCES as SOURCES, data_set as data_set, load as load, located as located, source as source
