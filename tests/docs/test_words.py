"""Readers meet the field's words, and of ours only those of docs/glossary.md."""

import re

import pytest

from tests.docs.markdown_pages import pages, section
from tests.workspace import ROOT

#: Pictures of the code as a building, which tell nothing to somebody who has not drawn it.
BUILDING = re.compile(r'\b(houses?|rooms|doors?|shelf|shelves|siblings?|neighbou?rs?|ground floor)\b', re.I)
TEXTS = [
    *pages(),
    *(
        path
        for folder in ('configs', 'vlpeft', 'tools')
        for path in (ROOT / folder).rglob('*')
        if path.suffix in ('.py', '.sh', '.yml')
    ),
]


def test_nothing_is_explained_as_a_building():
    assert len(TEXTS) > 300
    found = [f'{path.relative_to(ROOT)}: {match[0]}' for path in TEXTS for match in BUILDING.finditer(path.read_text())]
    assert found == []


@pytest.mark.parametrize(
    'word', ['site', 'tower', 'kind', 'tap', 'layout', 'base', 'trained part', 'role', 'set', 'handle', 'family']
)
def test_words_of_ours_are_explained(word):
    glossary = (ROOT / 'docs/glossary.md').read_text()
    explained = section(glossary, 'ours') + section(glossary, 'the-fields')
    assert re.search(rf'^\| \*\*[^*|]*\b{word}\b[^*|]*\*\*', explained, re.M)
