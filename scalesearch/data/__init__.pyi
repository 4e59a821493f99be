from .arrays import npz_images as npz_images
from .coco import coco_ids as coco_ids
from .dataset import DataSet as DataSet
from .drawing import (
    Mark as Mark,
    boxed_thumbnail_uri as boxed_thumbnail_uri,
    draw_marks as draw_marks,
    drawing_uri as drawing_uri,
    save_drawing as save_drawing,
)
from .examples import Examples as Examples, examples as examples
from .facts import Facts as Facts, Source as Source, Split as Split
from .health import Health as Health
from .images import (
    LETTERBOX as LETTERBOX,
    SUFFIXES as SUFFIXES,
    File as File,
    Letterbox as Letterbox,
    center_crop as center_crop,
    letterbox_image as letterbox_image,
    pixels_of as pixels_of,
    prepare_pixels as prepare_pixels,
    thumbnail_uri as thumbnail_uri,
)
from .pixels import Pixels as Pixels
from .sources import (
    SOURCES as SOURCES,
    absolute_source as absolute_source,
    check_distinct_name as check_distinct_name,
    data_set as data_set,
    load as load,
    source as source,
)
from .video import (
    VIDEO_SUFFIXES as VIDEO_SUFFIXES,
    frame_count as frame_count,
    frame_rate as frame_rate,
    frames as frames,
    video_writer as video_writer,
)
