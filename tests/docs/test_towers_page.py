"""docs/towers.md: its blocks print what it says, and its table has every known class with its facts."""

import re

import pytest
from transformers import T5Config, T5Model

from tests.docs.markdown_pages import code_blocks, section, table_rows
from tests.sites.test_find_towers import MODELS_AND_TOWERS
from tests.workspace import ROOT
from vlpeft.sites import FAMILIES, find_towers
from vlpeft.sites.families import stacks

PAGE = (ROOT / 'docs/towers.md').read_text()
ROWS = {
    name: cells
    for classes, *cells in table_rows(section(PAGE, 'known-classes'))[1:]
    for name in re.findall(r'`([\w.]+)`', classes)
}


STACKS = {
    name: cells
    for classes, *cells in table_rows(section(PAGE, 'models-of-transformers-by-their-structure'))[1:]
    for name in re.findall(r'`(\w+)`', classes)
}


def test_the_blocks_print_the_tables(capsys):
    names = {}
    blocks, tables = code_blocks(PAGE, 'python'), code_blocks(PAGE, 'text')
    assert len(blocks) == len(tables) == 3
    for block, table in zip(blocks, tables):
        exec(compile(block, 'docs/towers.md', 'exec'), names)
        assert capsys.readouterr().out == table


def test_all_known_classes_are_listed_with_their_roles():
    assert set(ROWS) == set(FAMILIES)
    for name, (role, *_) in ROWS.items():
        if isinstance(FAMILIES[name].role, str):
            assert role == f'`{FAMILIES[name].role}`'


def test_all_tested_blocks_are_listed():
    assert {f'transformers.{name}' for name in STACKS} == stacks.TESTED


@pytest.mark.parametrize('name', [*MODELS_AND_TOWERS, 't5_gated'])
def test_facts_of_the_table(name):
    gated = T5Config(vocab_size=9, d_model=8, d_kv=4, d_ff=6, num_layers=1, num_heads=2, feed_forward_proj='gated-gelu')
    for tower in find_towers(T5Model(gated) if name == 't5_gated' else MODELS_AND_TOWERS[name][0]()).values():
        cls = type(tower.module)
        key = f'{cls.__module__.partition(".")[0]}.{cls.__name__}'
        if key in ROWS:
            role, maps, causal, norms = ROWS[key]
        else:
            (role, maps, _), causal, norms = STACKS[type(tower.block_modules[0]).__name__], 'yes', 'yes'
        assert tower.name in role
        assert causal == ('decoder' if ' or ' in role else 'yes') if tower.causal else causal in ('no', 'decoder')
        assert norms == ('yes' if tower.norms is not None else 'no')
        roles = ', '.join(f'`{role}`' for role in tower.blocks[0].sublayers['ffn'].linears)
        assert roles in [part.rpartition(': ')[2] for part in maps.split('; ')]
