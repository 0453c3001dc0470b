"""docs/methods/README.md: the table is what the tool prints, and agrees with the contract's matrix and the recipes."""

import re
from functools import cache

import pytest

from tests.contract.cells import METHODS as CELLS
from tests.contract.cells import REFUSED
from tests.docs.markdown_pages import table_rows
from tests.workspace import ROOT
from tools.analysis_tools.count_params import count
from tools.misc.method_table import METHODS, table
from vlpeft.registry import ADAPTERS
from vlpeft.testing import SUBJECTS

PAGE = (ROOT / 'docs/methods/README.md').read_text()
ROWS = {re.match(r'\[(.+?)\]', row[0])[1]: row for row in table_rows(PAGE)[1:]}
LINES = {method.title: method for method in METHODS}


@cache
def printed() -> str:
    return table()


def test_the_table_is_what_the_tool_prints():
    assert printed() in PAGE


def test_every_method_has_a_line_and_every_page_is_linked():
    from vlpeft.adapters import Adapter, ComposedAdapter

    registered = {name for name, cls in ADAPTERS.module_dict.items() if issubclass(cls, Adapter)}
    listed = {method.config['type'] for method in METHODS}
    assert registered - {ComposedAdapter.__name__} - listed == set()
    pages = {path.stem for path in (ROOT / 'docs/methods').glob('*.md')} - {'README'}
    assert pages == {page for page in re.findall(r'\]\((\w+)\.md\)', PAGE)}


def types(config) -> set[str]:
    return {part['type'] for part in (config if isinstance(config, list) else [config])}


@pytest.mark.parametrize('title', [method.title for method in METHODS if not method.note])
def test_backbones_are_those_of_the_matrix(title):
    """A method stands where some cell of its kind does, and nowhere else."""
    kind = LINES[title].config['type']
    cells = [name for name, config in CELLS.items() if types(config) == {kind}]
    assert cells, f'the contract has no cell of {kind}'
    nowhere = {subject for subject in SUBJECTS if all((cell, subject) in REFUSED for cell in cells)}
    named = ROWS[title][-1].partition('; not ')[2]
    assert nowhere <= (set(named.split(', ')) if named else set())


@pytest.mark.parametrize(
    'title, column, recipe, roles',
    [
        ('UniAdapter, r = 128', 'BLIP-base', 'uniadapter/blip_msrvtt', ['adapter']),
        ('LoRA, r = 16', 'BLIP-base', 'lora/blip_msrvtt', ['adapter']),
        (
            'VL-PET large, r = 96',
            'BART-base',
            'vl_pet/vlpet-large_bart-base_image',
            ['adapter', 'gate', 'value_adapter'],
        ),
        ('VL-PET large, r = 96', 'BLIP-base', 'vl_pet/vlpet-large_blip_msrvtt', ['adapter', 'gate', 'value_adapter']),
        ('Bottleneck adapters, r = 96', 'BART-base', 'bottleneck/vl-adapter_bart-base_image', ['adapter']),
    ],
)
def test_figures_are_those_of_the_recipes(title, column, recipe, roles):
    found = count(str(ROOT / f'configs/{recipe}.py'))['trainable_by_role']
    cell = ROWS[title][table_rows(PAGE)[0].index(column)]
    assert cell == f'{sum(found[role] for role in roles):,}'
