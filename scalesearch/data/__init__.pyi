from .arrays import npz_images as npz_images
from .dataset import DataSet as DataSet
from .drawing import Mark as Mark, marked as marked, marked_uri as marked_uri, save_marked as save_marked
from .examples import Examples as Examples, examples as examples
from .facts import Facts as Facts, Source as Source
from .health import Health as Health
from .images import (
    LETTERBOX as LETTERBOX,
    SUFFIXES as SUFFIXES,
    File as File,
    Placed as Placed,
    data_uri as data_uri,
    letterboxed as letterboxed,
    middle as middle,
    prepared as prepared,
)
from .pixels import Pixels as Pixels
from .sources import SOURCES as SOURCES, data_set as data_set, load as load, located as located, source as source
from .video import (
    VIDEO_SUFFIXES as VIDEO_SUFFIXES,
    frame_count as frame_count,
    frame_rate as frame_rate,
    frames as frames,
    written as written,
)
