"""The JSON Schema of study files, read from the signatures of their sections."""

from __future__ import annotations

import json

from scalesearch.budget import QUANTITIES
from scalesearch.plain_data import PlainDict
from scalesearch.searchers import SEARCHERS, Scheduler
from scalesearch.signature import REQUIRED, Field, fields_of, json_schema
from scalesearch.space import object_schema, space_schema
from scalesearch.study.keys import descriptions
from scalesearch.study.reading import STUDY_KEYS, study_fields
from scalesearch.study.steps import STEPS
from scalesearch.study.study import Resources
from scalesearch.study.tables import Columns
from scalesearch.trials import RECIPES, Recipe

AMOUNT = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}]}  # 600M, ≤ 5M, 2x resnet18 ± 2%
DEVICE = {"anyOf": [{"type": "string"}, {"type": "object"}]}


def study_schema() -> PlainDict:
    """Returns the JSON Schema of study files: of a study that trains, or of one that searches a table."""
    space = space_schema()
    head = {"$schema": space.pop("$schema"), "title": "scalesearch: a study", "$defs": space.pop("$defs")}
    head["$defs"]["space"] = space
    return head | {"if": {"required": ["table"]}, "then": _study("table"), "else": _study("training")}


def _study(kind: str) -> PlainDict:
    fields = study_fields(kind)
    properties = {key: json_schema(field) for key, field in fields.items()}
    for step in STEPS[kind]:
        if step.options:
            section_schema = _section(step.options)
            list_schemas = [section_schema["properties"][step.list_field]] if step.list_field else []
            properties[step.key] = {"anyOf": [*list_schemas, section_schema]} if list_schemas else section_schema
    properties["presets"] = {"type": "object", "additionalProperties": {"type": "object"}}
    properties |= {"space": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/space"}]}, "ray": _section(Resources)}
    properties |= {"budget": {"type": "object", "additionalProperties": AMOUNT}, "table": _section(Columns)}
    if kind == "training":
        bounds = object_schema(dict.fromkeys(QUANTITIES, AMOUNT) | {"device": DEVICE}, [])
        with_hours = bounds["properties"] | {"hours": {"type": "number", "minimum": 0}}
        properties |= {"budget": bounds | {"properties": with_hours, "minProperties": 1}, "recipe": _recipe()}
        properties["recipes"] = {"type": "object", "additionalProperties": object_schema(_recipe_fields(), [])}
        properties["scale"]["properties"]["budget"] = bounds
        properties["search"]["properties"]["scheduler"] = _section(Scheduler)
    required = [key for key, field in fields.items() if field.default is REQUIRED]
    for key, meaning in descriptions(STUDY_KEYS[kind]).items():
        properties[key] = {**properties[key], "description": meaning}
    return object_schema({key: properties[key] for key in (*fields, "presets")}, required)


def _section(kind: type) -> PlainDict:
    fields: dict[str, Field] = {key.rstrip("_"): field for key, field in fields_of(kind).items()}
    properties = {key: json_schema(field) for key, field in fields.items()}
    if "with" in properties and kind is not Scheduler:
        properties["with"] = {"enum": list(SEARCHERS)}
    for key, description in descriptions(kind).items():
        if key in properties:
            properties[key] = {**properties[key], "description": description}
    return object_schema(properties, [key for key, field in fields.items() if field.default is REQUIRED])


def _recipe() -> PlainDict:
    names = {"anyOf": [{"enum": list(RECIPES)}, {"type": "string"}]}  # presets, or the study's own
    return {"anyOf": [names, object_schema(_recipe_fields() | {"base": names}, [])]}


def _recipe_fields() -> PlainDict:
    meanings = descriptions(Recipe)
    return {key: {**json_schema(field), "description": meanings[key]} for key, field in fields_of(Recipe).items()}


def schema_text(kind: str) -> str:
    """Returns the JSON Schema of `study` or of `space` files as text.

    Args:
        kind: `study` or `space`.
    """
    schema = {"study": study_schema, "space": space_schema}[kind]()
    definitions = schema.pop("$defs")
    lines = [f"{_compact(name)}: {_compact(definition)}" for name, definition in definitions.items()]
    rest = "".join(f",\n{_compact(key)}: {_compact(value)}" for key, value in schema.items())
    return '{"$defs": {\n' + ",\n".join(lines) + "\n}" + rest + "}\n"


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
