"""The hand-built networks that a study compares its family with, and the recipes that they may be trained under."""

from __future__ import annotations

from dataclasses import dataclass, replace

from scalesearch.arch import Arch, Strides
from scalesearch.counting import describe_fitting
from scalesearch.study.study import Study
from scalesearch.trials import Recipe

NAME = "compare"


@dataclass(frozen=True)
class Options:
    """Options of the comparison: the hand-built networks, each adapted to the data by the same rule.

    Networks are trained under the study's recipe and under each of `recipes`, for as many epochs, and are compared with
    the recipe whose mean validation score is best, so that none is held back by a recipe that suits others.

    Attributes:
        networks: The names of the networks.
        recipes: The names of further recipes.
        strides: `fitted`, `native` or both; a network that fitting changes is then trained both ways. The study's
            by default.
        scaled: Whether each is also scaled to every member's counted MACs, as the family was.
    """

    networks: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    strides: tuple[Strides, ...] = ()
    scaled: bool = False


def hand_built(study: Study) -> dict[str, Arch]:
    """Returns the hand-built networks of the comparison, adapted to the data, by names that say what that changed."""
    options = study.options(Options)
    zoos = [study.networks_with(strides) for strides in options.strides or (study.strides,)]
    return {zoo[name].name: zoo[name] for name in options.networks for zoo in zoos}


def fitted_networks(study: Study) -> list[str]:
    """Returns for each compared network that fitting to the images has changed what it is now, and both MACs."""
    compared, native, fitted = hand_built(study), study.networks_with("native"), study.networks_with("fitted")
    names = [name for name in study.options(Options).networks if fitted[name].name in compared]
    return [text for name in names if (text := describe_fitting(native[name], fitted[name]))]


def further_recipes(study: Study) -> dict[str, Recipe]:
    """Returns the further recipes by name, with the epochs and the share of data of the study's own."""
    own_recipe = study.recipe_of(NAME)
    recipes = {
        name: replace(study.recipes[name], epochs=own_recipe.epochs, data_share=own_recipe.data_share)
        for name in study.options(Options).recipes
    }
    return {name: recipe for name, recipe in recipes.items() if recipe != own_recipe}
