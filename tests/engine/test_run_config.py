"""The text of a run's config: Python that reads as what was written, in lines that fit."""

import ast

import pytest
from mmengine.config import Config

from tests.workspace import ROOT
from vlpeft.engine.run_config import WIDTH, RunConfig

RECIPES = ('vl_pet/vlpet-large_bart-base_image', 'uniadapter/blip_msrvtt', 'epalm/epalm_opt-2.7b_vit-b_vqav2_released')
ODD = dict(
    one=(1,),
    none=(),
    empty=dict(a={}, b=[], c=()),
    keys={'a.b': 1, 'in': 2, 3: 'x'},
    words={'from': 1, 'to': 2},
    words_of_it="it's\na 'line' \\ more",
    deep=[[dict(a=[(1, 2.5e-7, None, True)])] * 3] * 2,
    rates=dict(custom_keys={f'layer.{number}': dict(lr_mult=0.5**number, decay_mult=1.0) for number in range(9)}),
)


def value_of(text: str) -> dict:
    """What Python makes of assignments of literals and calls of ``dict``."""

    def of(node):
        if isinstance(node, ast.Call):
            assert node.func.id == 'dict' and not node.args
            return {keyword.arg: of(keyword.value) for keyword in node.keywords}
        if isinstance(node, ast.Dict):
            return {of(key): of(value) for key, value in zip(node.keys, node.values)}
        if isinstance(node, (ast.List, ast.Tuple)):
            return (list if isinstance(node, ast.List) else tuple)(map(of, node.elts))
        return ast.literal_eval(node)

    return {line.targets[0].id: of(line.value) for line in ast.parse(text).body}


@pytest.mark.parametrize('recipe', RECIPES)
def test_a_recipe_s_text_says_what_the_recipe_says(recipe, tmp_path):
    config = RunConfig.read(ROOT / f'configs/{recipe}.py')
    text = config.pretty_text
    assert value_of(text) == config.to_dict()
    # A line that is longer holds a single value.
    assert [line for line in text.splitlines() if len(line) > WIDTH and ', ' in line] == []
    config.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == config.to_dict()


def test_odd_values_come_back():
    config = RunConfig(ODD)
    assert value_of(config.pretty_text) == ODD == Config.fromstring(config.pretty_text, '.py').to_dict()


def test_what_fits_stays_on_a_line():
    long = [f'a word with number {number}' for number in range(5)]
    assert RunConfig(dict(b=dict(y=long, x=dict(z=1, a='t')), a=(0.9, 0.999))).pretty_text == (
        'a = (0.9, 0.999)\n'
        'b = dict(\n'
        "    x=dict(a='t', z=1),\n"
        '    y=[\n' + ''.join(f"        'a word with number {number}',\n" for number in range(5)) + '    ],\n'
        ')\n'
    )
    # Beside the letters there are a = [''], and a column is left for a comma.
    for letters, lines in ((WIDTH - 9, 1), (WIDTH - 8, 3)):
        assert RunConfig(dict(a=['x' * letters])).pretty_text.count('\n') == lines
