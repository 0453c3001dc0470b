"""Of tests that run every recipe: some recipes by default, which stand for all, the others under ``-m slow``."""

import re
from collections.abc import Iterable

import pytest

from tests.workspace import ROOT
from vlpeft.zoo.model_index import ZooModel, read_zoo


def some_of(recipes: Iterable[str], sample: Iterable[str]):
    """Parametrises a test by ``recipe``; those that are not in the sample are slow."""
    marks = {recipe: () if recipe in sample else pytest.mark.slow for recipe in recipes}
    return pytest.mark.parametrize('recipe', [pytest.param(recipe, marks=mark) for recipe, mark in marks.items()])


def traits(recipe: str, zoo: dict[str, ZooModel]) -> set[str]:
    """What a recipe can be told by: method, bases, task and sets of its metafile, and the words of its path.

    Args:
        recipe: Path below ``configs``: ``vl_pet/vlpet-large_bart-base_vqa_online.py`` has the words ``large``, ``bart``
            and ``online`` among others. Sizes, which are numbers, do not count.
        zoo: Models by the path of their config.
    """
    model = zoo[recipe]
    words = re.split(r'[/_-]', re.sub(r'[\d.]+', '', recipe.removesuffix('.py')))
    return {model.method, model.task, *model.data.split(', '), *(base.url for base in model.bases), *words}


def missed(recipes: Iterable[str], sample: Iterable[str]) -> set[str]:
    """Traits of the recipes that no recipe of the sample has; unknown recipes of the sample."""
    zoo = {model.config.relative_to(ROOT / 'configs').as_posix(): model for model in read_zoo().values()}
    found = set().union(*(traits(recipe, zoo) for recipe in sample))
    return set().union(*(traits(recipe, zoo) for recipe in recipes)) - found | set(sample) - set(recipes)
