"""Every link between the project's pages leads somewhere, and every page of docs/ is found from its index."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.docs.markdown_pages import anchors, links, pages, section
from tests.workspace import ROOT

PAGES = pages()


def targets(page: Path) -> list[tuple[str, Path, str]]:
    """(target as written, file, anchor) of the links of a page that stay in the repository."""
    found = []
    for _, target in links(page.read_text()):
        if '://' not in target and not target.startswith('mailto:'):
            path, _, anchor = target.partition('#')
            found.append((target, (page.parent / unquote(path)).resolve() if path else page, anchor))
    return found


def faults(page: Path, root: Path = ROOT) -> list[str]:
    wrong = []
    for target, file, anchor in targets(page):
        # A folder is no page on the site.
        if not file.is_file():
            wrong.append(f'{target}: no such file')
        elif not file.is_relative_to(root):
            wrong.append(f'{target}: outside of the repository')
        elif anchor and (file.suffix != '.md' or anchor not in anchors(file.read_text())):
            wrong.append(f'{target}: no such heading')
    return wrong


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    assert faults(page) == []


def test_dead_links_are_found(tmp_path):
    (tmp_path / 'docs').mkdir()
    (tmp_path / 'docs/b.md').write_text('# What `k_test` is: a rule\n\n## Twice\n\n## Twice\n')
    page = tmp_path / 'a.md'
    page.write_text(
        '`[not](a link)`\n```\n[nor](this.md)\n```\n[1](docs/b.md#what-k_test-is-a-rule) '
        '[2](docs/b.md#twice-1) ![3](docs/c.svg) [4](docs/b.md#thrice) [5](../a.md) [6](https://a.org/x) [7](docs)'
    )
    assert faults(page, tmp_path) == [
        'docs/c.svg: no such file',
        'docs/b.md#thrice: no such heading',
        '../a.md: no such file',
        'docs: no such file',
    ]


def test_every_page_is_reached_from_the_index():
    index = ROOT / 'docs/index.md'
    reached, waiting = {index}, [index]
    while waiting:
        for _, file, _ in targets(waiting.pop()):
            if file.suffix == '.md' and file not in reached:
                reached.add(file)
                waiting.append(file)
    documentation = {page for page in PAGES if page.is_relative_to(ROOT / 'docs')}
    assert len(documentation) > 15 and documentation - reached == set()
    named = {file for _, file, _ in targets(index)}
    assert documentation - named == {index}, 'pages without a line in docs/index.md'


def test_a_section_ends_where_the_next_one_begins():
    text = '# A\n\n## B b\none\n### C\ntwo\n## D\nthree\n'
    assert section(text, 'b-b') == 'one\n### C\ntwo\n' and section(text, 'c') == 'two\n'


def test_pages_that_messages_and_comments_name_are_there():
    """In code, scripts and recipes a page is named by its path below the repository."""
    suffixes = {'.py', '.sh', '.yml'}
    files = [path for folder in ('vlpeft', 'tools', 'configs') for path in (ROOT / folder).rglob('*')]
    named = {
        (path.relative_to(ROOT).as_posix(), page)
        for path in files
        if path.suffix in suffixes
        for page in re.findall(r'\bdocs/[\w/-]+\.md', path.read_text())
    }
    assert len(named) > 20
    assert [(path, page) for path, page in sorted(named) if not (ROOT / page).is_file()] == []
