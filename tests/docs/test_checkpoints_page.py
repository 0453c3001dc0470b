"""The layouts of docs/checkpoints.md are those of the registry, and the page says of each what its class declares."""

import re
from fnmatch import fnmatch

import pytest

from tests.docs.markdown_pages import section, table_rows
from tests.workspace import ROOT
from vlpeft.checkpoint.dialects import Dialect, dialect_names, get_dialect

PAGE = (ROOT / 'docs/checkpoints.md').read_text()
#: What the column "read" says of a layout of one tower.
READ = dict(vision='vision tower', lm='language model', text="BLIP's text tower")


def rows() -> dict[str, list[str]]:
    """Name of a layout -> the other cells of its row: file, read, written."""
    head, *lines = table_rows(section(PAGE, 'layouts'))
    assert head == ['layout', 'file', 'read', 'written']
    return {name: row[1:] for row in lines for name in re.findall(r'`(\w+)`', row[0])}


def layouts() -> dict[str, Dialect]:
    return {name: get_dialect(name) for name in dialect_names()}


def test_every_registered_layout_has_a_row_and_every_row_a_layout():
    assert sorted(rows()) == sorted(layouts())
    assert all(layout.name == name for name, layout in layouts().items())


@pytest.mark.parametrize('name', dialect_names())
def test_a_dash_and_its_reason_stand_where_a_layout_is_read_only(name):
    written, reason = rows()[name][2], layouts()[name].read_only
    dash = re.fullmatch(r'– \((?P<reason>.+)\)', written)
    assert bool(dash) == bool(reason), f'{written!r} on the page, {reason!r} in the code'
    assert dash is None or dash['reason'] in reason


@pytest.mark.parametrize('name', dialect_names())
def test_the_tower_of_a_layout_of_one_is_named(name):
    read, tower = rows()[name][1], layouts()[name].tower
    named = {tower for tower, words in READ.items() if re.match(rf'{re.escape(words)}( |$)', read)}
    assert named == ({tower} if tower else set()), read


def test_towers_of_whole_models_are_named():
    for name, layout in layouts().items():
        file, read, _ = rows()[name]
        if {'vision', 'text'} <= set(layout.towers):
            assert re.match(r'towers,|the same|everything', read), name
        elif layout.towers == ('lm',):
            assert read.startswith('language model,'), name
        # What is read beside towers alone, or trained parts alone, is no file of a backbone.
        if not layout.whole and name != 'vlpeft':
            assert any(part in read for part in ('method', 'connectors', 'trained part')), name
        assert file


@pytest.mark.parametrize('name', [name for name in dialect_names() if get_dialect(name).tower])
def test_classifiers_that_are_left_out_are_named(name):
    left_out = [reason for _, reason in layouts()[name].ignored if re.search(r'\bthe classifier of ', reason)]
    assert bool(re.search(r'\bno classifiers?\b', rows()[name][0])) == bool(left_out)


def test_layouts_written_as_safetensors_are_those_that_are_tensors_alone():
    sentence = re.search(r'Layouts of hubs \(([^)]+)\) are written as `\.safetensors`', PAGE)[1]
    patterns = re.findall(r'`([\w*]+)`', sentence)
    claimed = {name for name in layouts() for pattern in patterns if fnmatch(name, pattern)}
    assert claimed == {name for name, layout in layouts().items() if layout.flat and not layout.read_only}
    # Files of hubs may be read as such, too.
    assert all('.safetensors' in rows()[name][0] for name in claimed)


def test_what_is_left_out_on_reading_is_named():
    text = ' '.join(PAGE.partition('Left out on reading')[2].partition('\n\n')[0].split())
    towers = {name for name, layout in layouts().items() if 'vision' in layout.towers and layout.ignored}
    reasons = {reason for name in towers for _, reason in layouts()[name].ignored}
    words = {
        'momentum copies, made anew from the loaded weights': 'momentum copies',
        'feature queues, filled anew': 'feature queues',
        'a constant': '`position_ids` (a constant)',
        'dead in the released code: built and never used': 'what its code builds and never uses',
        'of the decoder, which sees no frames': "the VQA decoder's own temporal embedding",
    }
    assert reasons == set(words), 'another reason: the page must name it, and this list'
    assert all(said in text for said in words.values())
