"""Recipes that a study names, copied into its document, so that a run keeps them if a later version has others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scalesearch.errors import InputError, errors_at, format_value, unknown_message
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.signature import check_arguments, fields_of
from scalesearch.trials import RECIPES, Recipe

DEFAULT_RECIPE = "quick"
OF_A_MEMBER = "phi"  # the field that a training sets, not a recipe


def embed_recipes(data: PlainMapping) -> PlainDict:
    """Returns a study's data with every preset that it names under `recipes`, field by field; its own ones stay."""
    existing = data.get("recipes")
    if existing is not None and not isinstance(existing, Mapping):
        return dict(data)  # which is refused with the rest
    embedded = dict(existing or {})
    for name in _named(data):
        if name in RECIPES and name not in embedded:
            embedded[name] = {key: value for key, value in RECIPES[name].options.items() if key != OF_A_MEMBER}
    return {**data, "recipes": embedded}


def _named(data: PlainMapping) -> list[str]:
    """Returns the names of the recipes that a study's data refers to, as far as they can be read."""
    own, compared = data.get("recipe", DEFAULT_RECIPE), data.get("compare")
    base = own.get("base", DEFAULT_RECIPE) if isinstance(own, Mapping) else own
    further = compared.get("recipes") if isinstance(compared, Mapping) else None
    return [name for name in (base, *(further if isinstance(further, list) else ())) if isinstance(name, str)]


def named_recipes(value: object) -> dict[str, Recipe]:
    """Returns the presets and, in their place or beside them, the recipes of a study's section `recipes`.

    Raises:
        InputError: Located at `recipes`, if it is no mapping of names to fields of a recipe.
    """
    if value is not None and not isinstance(value, Mapping):
        raise InputError(f"takes recipes by name, got {format_value(value)}", "recipes")
    recipes = dict(RECIPES)
    for name, fields in (value or {}).items():
        with errors_at(f"recipes.{name}"):
            if not isinstance(fields, Mapping):
                raise InputError(f"takes a recipe's fields, got {format_value(fields)}")
            recipes[name] = Recipe(**check_arguments('"recipe"', fields_of(Recipe), dict(fields)))
    return recipes


def parse_recipe(value: str | PlainMapping, recipes: Mapping[str, Recipe] = RECIPES) -> Recipe:
    """Returns the recipe of that name, or a recipe with changes (`{"base": "quick", "epochs": 4}`).

    Args:
        value: The name, or the changes.
        recipes: The recipes that may be named.

    Raises:
        InputError: If the name or a change is unknown.
    """
    options = {"base": value} if isinstance(value, str) else dict(value)
    name = options.pop("base", DEFAULT_RECIPE)
    if not isinstance(name, str) or name not in recipes:
        place = "recipe" if isinstance(value, str) else "recipe.base"
        raise InputError(unknown_message("recipe", name, recipes), place)
    with errors_at("recipe"):
        return replace(recipes[name], **check_arguments('"recipe"', fields_of(Recipe), options))
