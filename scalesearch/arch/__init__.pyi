from . import operators as operators
from .adapting import (
    Strides as Strides,
    adapt as adapt,
    adapted_strides as adapted_strides,
    ends_in_small_map as ends_in_small_map,
    is_unit_stride_pool as is_unit_stride_pool,
    last_map_side as last_map_side,
    stem_stride as stem_stride,
    with_small_pool as with_small_pool,
    without_valid_padding as without_valid_padding,
)
from .arch import (
    ARCH_WANTED as ARCH_WANTED,
    Arch as Arch,
    Auxiliary as Auxiliary,
    BlockSpec as BlockSpec,
    Resolution as Resolution,
    Stage as Stage,
    as_resolution as as_resolution,
    format_resolution as format_resolution,
    format_sides as format_sides,
    scaled_resolution as scaled_resolution,
    sides as sides,
    with_height as with_height,
)
from .blocks.parts import make_divisible as make_divisible
from .blocks.plain import conv as conv
from .blocks.registry import (
    BLOCKS as BLOCKS,
    USER_BLOCKS as USER_BLOCKS,
    Block as Block,
    allowed_blocks as allowed_blocks,
    block as block,
    block_fields as block_fields,
    head_task as head_task,
    is_branches as is_branches,
    layer as layer,
    leaf_value as leaf_value,
    load_blocks as load_blocks,
    map_arguments as map_arguments,
    normal_form as normal_form,
    record_block as record_block,
    refuse_keys_of_others as refuse_keys_of_others,
    register_block as register_block,
    run_block as run_block,
)
from .blocks.yolo import BOX_VALUES as BOX_VALUES
from .expansion import (
    Graph as Graph,
    expand as expand,
    expand_stage as expand_stage,
    has_valid_shapes as has_valid_shapes,
)
from .graph import (
    BlockGraph as BlockGraph,
    Layer as Layer,
    ShapeError as ShapeError,
    structure_digest as structure_digest,
)
from .operators import Shape as Shape
from .symbolic import Padding as Padding, SymTensor as SymTensor, Window as Window
