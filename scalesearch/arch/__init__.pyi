from . import operators as operators
from .adapting import (
    adapt as adapt,
    adapted_strides as adapted_strides,
    falls_away as falls_away,
    has_no_border_to_spare as has_no_border_to_spare,
    last_map as last_map,
    padded as padded,
    stem_stride as stem_stride,
    with_small_pool as with_small_pool,
)
from .arch import (
    Arch as Arch,
    Auxiliary as Auxiliary,
    BlockSpec as BlockSpec,
    Resolution as Resolution,
    Stage as Stage,
    of_height as of_height,
    pixels as pixels,
    resized as resized,
    sides as sides,
    sized as sized,
    squared as squared,
)
from .blocks.parts import make_divisible as make_divisible
from .blocks.plain import conv as conv
from .blocks.registry import (
    BLOCKS as BLOCKS,
    OWN as OWN,
    Block as Block,
    allowed as allowed,
    block as block,
    block_fields as block_fields,
    head_task as head_task,
    is_branches as is_branches,
    layer as layer,
    load_blocks as load_blocks,
    normal_form as normal_form,
    record as record,
    register_block as register_block,
    run as run,
    value_at as value_at,
    with_leaves as with_leaves,
)
from .blocks.yolo import BOX_VALUES as BOX_VALUES
from .expansion import Graph as Graph, expand as expand, expand_stage as expand_stage, meets as meets
from .graph import (
    BlockGraph as BlockGraph,
    Layer as Layer,
    ShapeError as ShapeError,
    named_structure as named_structure,
)
from .operators import Shape as Shape
from .symbolic import SymTensor as SymTensor
