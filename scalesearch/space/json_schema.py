"""The JSON Schema of space files, read from the blocks' signatures: for editors, which complete and check with it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from scalesearch.arch import allowed, block_fields, is_branches
from scalesearch.signature import REQUIRED, Field, fields_of, json_schema
from scalesearch.space.schema import auxiliary_keys, settings_keys, stage_keys

DRAFT = "https://json-schema.org/draft/2020-12/schema"
NAMED = {"name": {"type": "string"}, "when": {"type": "object", "minProperties": 1}, "else": True}
NUMBER = {"anyOf": [{"type": "number"}, {"type": "string"}]}
Schema = dict[str, Any]


def mapping(properties: Schema, required: list[str], **more: Any) -> Schema:
    """Known keys alone."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False, **more}


def space_schema() -> Schema:
    """The JSON Schema of a space or an architecture."""
    return _Schemas().whole()


class _Schemas:
    """What is said more than once stands in `definitions`, by name."""

    def __init__(self) -> None:
        self.definitions: Schema = {}

    def whole(self) -> Schema:
        fields = fields_of(settings_keys)
        settings = {key: json_schema(field) if key == "name" else self.leaf(field) for key, field in fields.items()}
        stem = self.one_block("stem")
        alternatives = {"choice": {"type": "array", "items": self.one_block("stages"), "minItems": 1}, **NAMED}
        of_stages = self.blocks("stages") | {"block": mapping(alternatives, ["choice"])}
        stages = self.beside_block(fields_of(stage_keys), of_stages)
        auxiliary = self.beside_block(fields_of(auxiliary_keys), self.blocks("auxiliary"))
        parts = {
            "stem": {"anyOf": [stem, {"type": "array", "items": stem}]},
            "stages": {"type": "array", "items": stages, "minItems": 1},
            "head": self.one_block("head"),
            "auxiliary": {"type": "array", "items": auxiliary},
        }
        title = "scalesearch: a space of architectures, or one with nothing left open"
        body = mapping(settings | parts, ["stages", "head"])
        return {"$schema": DRAFT, "title": title, "$defs": self.definitions} | body

    def named(self, name: str, make: Callable[[], Schema]) -> Schema:
        if name not in self.definitions:
            self.definitions[name] = {}  # branches hold blocks that hold branches
            self.definitions[name] = make()
        return {"$ref": f"#/$defs/{name}"}

    def leaf(self, field: Field) -> Schema:
        """A value, or one left open by a choice, a range or a tie."""
        value = json_schema(field)
        name = hashlib.sha256(json.dumps(value).encode()).hexdigest()[:8]
        return self.named(f"leaf-{name}", lambda: self._opened(value))

    @staticmethod
    def _opened(value: Schema) -> Schema:
        choice = mapping({"choice": {"type": "array", "items": value, "minItems": 1}, **NAMED}, ["choice"])
        bounds = {"type": "array", "items": NUMBER, "minItems": 2, "maxItems": 2}
        span = mapping({"range": bounds, "step": NUMBER, "log": {"type": "boolean"}, **NAMED}, ["range"])
        return {"anyOf": [value, choice, span, mapping({"tie": {"type": "string"}}, ["tie"])]}

    def blocks(self, part: str) -> Schema:
        """Every block that may stand in a part, by its name, as what it takes."""
        inner = "branch" if part == "stages" else part

        def make(kind):
            return lambda: self.arguments(block_fields(kind, part))

        return {kind: self.named(f"{inner}.{kind}", make(kind)) for kind in allowed(part)}

    def arguments(self, fields: dict[str, Field]) -> Schema:
        values = {name: self.branches() if is_branches(field) else self.leaf(field) for name, field in fields.items()}
        required = [name for name, field in fields.items() if field.default is REQUIRED]
        return mapping(values, required) if required else {"anyOf": [mapping(values, []), {"type": "null"}]}

    def branches(self) -> Schema:
        layer = self.named("layer", lambda: self.one_block("branch"))
        choice = mapping({"choice": {"type": "array", "items": layer}, **NAMED}, ["choice"])
        branch = {"type": "array", "items": {"anyOf": [layer, choice]}, "minItems": 1}
        return {"type": "array", "items": branch, "minItems": 1}

    def one_block(self, part: str) -> Schema:
        return mapping(self.blocks(part), [], minProperties=1, maxProperties=1)

    def beside_block(self, fields: dict[str, Field], blocks: Schema) -> Schema:
        """Keys of a stage or an auxiliary head beside its one block."""
        required = [name for name, field in fields.items() if field.default is REQUIRED]
        one = [{"required": [kind]} for kind in blocks]
        return mapping({name: self.leaf(field) for name, field in fields.items()} | blocks, required, oneOf=one)
