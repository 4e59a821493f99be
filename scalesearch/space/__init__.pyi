from .decisions import Decision as Decision, Decisions as Decisions, Unit as Unit, check_decisions as check_decisions
from .domains import (
    Choice as Choice,
    Domain as Domain,
    FloatRange as FloatRange,
    IntRange as IntRange,
    choice as choice,
    span as span,
)
from .json_schema import object_schema as object_schema, space_schema as space_schema
from .schema import (
    arch_from_dict as arch_from_dict,
    arch_to_yaml as arch_to_yaml,
    check_name as check_name,
    load_arch as load_arch,
    load_space as load_space,
    settings_keys as settings_keys,
    space_from_dict as space_from_dict,
)
from .space import Space as Space
