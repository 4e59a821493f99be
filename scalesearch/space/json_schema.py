"""The JSON Schema of space files, read from the blocks' signatures; editors complete and check with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

from scalesearch.arch import allowed_blocks, block_fields, is_branches
from scalesearch.plain_data import PlainDict
from scalesearch.signature import REQUIRED, Field, fields_of, json_schema
from scalesearch.space.schema import auxiliary_keys, settings_keys, stage_keys

DRAFT = "https://json-schema.org/draft/2020-12/schema"
LEAF_OPTIONS = {"name": {"type": "string"}, "when": {"type": "object", "minProperties": 1}, "else": True}
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string"}]}
Schema = PlainDict


def object_schema(properties: Schema, required: list[str], **more: object) -> Schema:
    """Returns the schema of an object that has the keys of `properties` and no others."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


def space_schema() -> Schema:
    """Returns the JSON Schema of a space or an architecture."""
    return _SchemaBuilder().document()


class _SchemaBuilder:
    """Builds schemas; those used more than once stand in `definitions`, by name."""

    def __init__(self) -> None:
        self.definitions: Schema = {}

    def document(self) -> Schema:
        fields = fields_of(settings_keys)
        settings = {key: json_schema(field) if key == "name" else self.leaf(field) for key, field in fields.items()}
        stem = self.one_block("stem")
        alternatives = {"choice": {"type": "array", "items": self.one_block("stages"), "minItems": 1}, **LEAF_OPTIONS}
        stage_blocks = self.blocks("stages") | {"block": object_schema(alternatives, ["choice"])}
        stages = self.with_one_block(fields_of(stage_keys), stage_blocks)
        auxiliary = self.with_one_block(fields_of(auxiliary_keys), self.blocks("auxiliary"))
        parts = {
            "stem": {"anyOf": [stem, {"type": "array", "items": stem}]},
            "stages": {"type": "array", "items": stages, "minItems": 1},
            "head": self.one_block("head"),
            "auxiliary": {"type": "array", "items": auxiliary},
        }
        title = "scalesearch: a space of architectures, or one with nothing left open"
        body = object_schema(settings | parts, ["stages", "head"])
        return {"$schema": DRAFT, "title": title, "$defs": self.definitions} | body

    def define(self, name: str, make: Callable[[], Schema]) -> Schema:
        if name not in self.definitions:
            self.definitions[name] = {}  # branches hold blocks that hold branches
            self.definitions[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def leaf(self, field: Field) -> Schema:
        """Returns the schema of a value that may be left open by a choice, a range or a tie."""
        value = json_schema(field)
        name = hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]
        return self.define(f"leaf-{name}", lambda: self._open_leaf_schema(value))

    @staticmethod
    def _open_leaf_schema(value: Schema) -> Schema:
        choice = object_schema({"choice": {"type": "array", "items": value, "minItems": 1}, **LEAF_OPTIONS}, ["choice"])
        bounds = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
        span = object_schema({"range": bounds, "step": NUMBER, "log": {"type": "boolean"}, **LEAF_OPTIONS}, ["range"])
        return {"anyOf": [value, choice, span, object_schema({"tie": {"type": "string"}}, ["tie"])]}

    def blocks(self, part: str) -> Schema:
        """Returns, by name, the schema of the arguments of every block that may stand in `part`."""
        inner = "branch" if part == "stages" else part

        def make(kind: str) -> Callable[[], Schema]:
            return lambda: self.arguments(block_fields(kind, part))

        return {kind: self.define(f"{inner}.{kind}", make(kind)) for kind in allowed_blocks(part)}

    def arguments(self, fields: dict[str, Field]) -> Schema:
        values = {name: self.branches() if is_branches(field) else self.leaf(field) for name, field in fields.items()}
        required = [name for name, field in fields.items() if field.default is REQUIRED]
        return object_schema(values, required) if required else {"anyOf": [object_schema(values, []), {"type": "null"}]}

    def branches(self) -> Schema:
        layer = self.define("layer", lambda: self.one_block("branch"))
        choice = object_schema({"choice": {"type": "array", "items": layer}, **LEAF_OPTIONS}, ["choice"])
        branch = {"type": "array", "items": {"anyOf": [layer, choice]}, "minItems": 1}
        return {"type": "array", "items": branch, "minItems": 1}

    def one_block(self, part: str) -> Schema:
        return object_schema(self.blocks(part), [], minProperties=1, maxProperties=1)

    def with_one_block(self, fields: dict[str, Field], blocks: Schema) -> Schema:
        """Returns the schema of a stage or auxiliary head: its own keys and exactly one block."""
        required = [name for name, field in fields.items() if field.default is REQUIRED]
        one = [{"required": [kind]} for kind in blocks]
        return object_schema({name: self.leaf(field) for name, field in fields.items()} | blocks, required, oneOf=one)
