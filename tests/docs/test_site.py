"""The site is built without a warning, every link of it leads somewhere, and it works without a network."""

import inspect
import posixpath
import subprocess
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

import vlpeft
from tests.browser import DESKTOP, PHONE, needs_chromium, open_page, too_wide
from tests.docs.markdown_pages import pages
from tests.workspace import ROOT
from vlpeft import registry
from vlpeft.adapters import Adapter

FRONT = 'docs/index.html'


class Page(HTMLParser):
    """What a page names: ids, addresses in links, addresses of files that it loads, links of its side bar, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids, self.links, self.loaded, self.contents = set(), [], [], []
        self.words, self._bar, self._depth = [], 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[name] for name in ('id', 'name') if given.get(name)}
        if tag == 'div':
            self._depth += 1
            if 'sidebar-tree' in (given.get('class') or ''):
                self._bar = self._depth
        if tag == 'a' and given.get('href'):
            self.links.append(given['href'])
            if self._bar:
                self.contents.append(given['href'])
        elif tag in ('img', 'script') and given.get('src'):
            self.loaded.append(given['src'])
        elif tag == 'source':
            self.loaded.append(given['srcset'])
        elif tag == 'link' and given.get('rel') != 'canonical':
            self.loaded.append(given['href'])

    def handle_endtag(self, tag):
        if tag == 'div':
            self._bar = 0 if self._bar == self._depth else self._bar
            self._depth -= 1

    def handle_data(self, data):
        self.words.append(data)


class Site(NamedTuple):
    """``pages`` by path below ``folder``."""

    folder: Path
    pages: dict[str, Page]
    result: subprocess.CompletedProcess


@pytest.fixture(scope='module')
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp('site')
    options = ['-q', '--fail-on-warning', '--keep-going', '-c', 'docs', '-d', str(folder / 'doctrees')]
    command = [sys.executable, '-m', 'sphinx', *options, '.', str(folder / 'html')]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    html = folder / 'html'
    found = {path.relative_to(html).as_posix(): Page(path.read_text()) for path in html.rglob('*.html')}
    return Site(html, found, result)


def test_it_is_built_from_scratch_without_a_warning(site):
    assert (site.result.returncode, site.result.stderr) == (0, '')
    written = {f'{page.relative_to(ROOT).with_suffix("").as_posix()}.html' for page in pages()}
    assert (
        len(written) > 50 and {name for name in written - set(site.pages) if not name.startswith('.github/')} == set()
    )


def test_every_link_leads_to_a_page_and_a_place_on_it(site):
    wrong, seen = [], 0
    for name, page in site.pages.items():
        for address in {*page.links, *page.loaded}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            seen += 1
            path = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(parts.path)))
            path = path if parts.path else name
            if not (site.folder / path).is_file():
                wrong.append(f'{name}: {address}: no such file')
            elif parts.fragment and unquote(parts.fragment) not in site.pages[path].ids:
                wrong.append(f'{name}: {address}: no such place')
    assert seen > 5000 and wrong == []


def test_nothing_is_loaded_from_elsewhere(site):
    foreign = {address for page in site.pages.values() for address in page.loaded if urlsplit(address).netloc}
    assert foreign == set()


def test_every_page_is_in_the_table_of_contents(site):
    listed = {posixpath.normpath(posixpath.join('docs', link)) for link in site.pages[FRONT].contents}
    missing = [
        page.relative_to(ROOT).as_posix()
        for page in pages()
        if page.is_relative_to(ROOT / 'docs')
        and page != ROOT / 'docs/index.md'
        and f'{page.relative_to(ROOT).with_suffix("").as_posix()}.html' not in listed
    ]
    assert len(listed) > 50 and missing == []
    # Pages of methods lie below that of all methods: they are not all seen at once.
    assert 'README.html' in listed and 'configs/uniadapter/README.html' in listed


def described(site: Site) -> set[str]:
    """Full names of what the API reference describes, from the inventory that Sphinx writes."""
    head, _, packed = (site.folder / 'objects.inv').read_bytes().partition(b'zlib.\n')
    assert head.startswith(b'# Sphinx inventory version 2')
    rows = [line.split(' ') for line in zlib.decompress(packed).decode().splitlines()]
    # A priority below zero has another name of what is described elsewhere.
    return {row[0] for row in rows if row[1] in ('py:class', 'py:function', 'py:exception') and int(row[2]) >= 0}


def public_things() -> set:
    """What a config can name, and classes and functions that our packages export."""
    found = set()
    for one in registry.ALL:
        one.import_from_location()
        found |= {part for part in one.module_dict.values() if part.__module__.startswith('vlpeft.')}
    for folder in [
        ROOT / 'vlpeft',
        *(path for path in (ROOT / 'vlpeft').iterdir() if (path / '__init__.py').is_file()),
    ]:
        package = import_module('vlpeft' if folder == ROOT / 'vlpeft' else f'vlpeft.{folder.name}')
        things = [getattr(package, name) for name in getattr(package, '__all__', ())]
        found |= {thing for thing in things if inspect.isclass(thing) or inspect.isfunction(thing)}
    return found


def test_the_reference_describes_all_that_is_public(site):
    things = public_things()
    names = {name.rpartition('.')[2] for name in described(site)}
    assert len(things) > 200 and vlpeft.attach in things
    assert sorted(thing.__qualname__ for thing in things if thing.__name__ not in names) == []


def test_nothing_is_described_twice(site):
    last = [name.rpartition('.')[2] for name in described(site)]
    assert sorted({name for name in last if last.count(name) > 1}) == []


def test_every_method_has_its_options(site):
    text = ''.join(site.pages['docs/api/methods.html'].words)
    registry.ADAPTERS.import_from_location()
    methods = [part for part in registry.ADAPTERS.module_dict.values() if part.__module__.startswith('vlpeft.')]
    assert len(methods) >= 20
    for method in methods:
        assert issubclass(method, Adapter)
        _, _, described = text.partition(f'class {method.__name__}(')
        signature = described.partition(')\n')[0]
        options = list(inspect.signature(method).parameters)
        assert [option for option in options if f'{option}' not in signature] == [], method.__name__


def test_inferencers_are_described_with_what_they_inherit_and_give_back(site):
    ids = site.pages['docs/api/apis.html'].ids
    for name in ('VQAInferencer', 'CaptionInferencer', 'ChatInferencer', 'RetrievalInferencer'):
        assert {f'vlpeft.{name}.adapters', f'vlpeft.{name}.add_adapter', f'vlpeft.{name}.kept'} <= ids
        assert name == 'RetrievalInferencer' or f'vlpeft.{name}.__call__' in ids
    assert {
        'vlpeft.apis.vqa_inferencer.Answer',
        'vlpeft.apis.caption_inferencer.Caption',
        'vlpeft.apis.retrieval_inferencer.Found',
    } <= ids


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address at which a folder is served."""
    handler = partial(QuietHandler, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *words) -> None:
        """Says nothing."""


@needs_chromium
@pytest.mark.parametrize('size', [DESKTOP, PHONE], ids=['desktop', 'phone'])
@pytest.mark.parametrize(
    'name', [FRONT, 'README.html', 'docs/methods/uniadapter.html', 'docs/api/attach.html', 'docs/own_data.html']
)
def test_pages_open_without_a_network_and_fit(site, name, size):
    with open_page((site.folder / name).as_uri(), size) as page:
        assert page.locator('h1').count() == 1 and too_wide(page) <= 0


@needs_chromium
def test_the_first_page_leads_to_the_front(site):
    with open_page((site.folder / 'index.html').as_uri()) as page:
        page.wait_for_url(f'**/{FRONT}')
        assert page.inner_text('h1').startswith('Documentation')


@needs_chromium
@pytest.mark.parametrize('served', [False, True], ids=['as files', 'served'])
def test_the_search_finds_a_method(site, served):
    with ExitStack() as stack:
        root = stack.enter_context(serve(site.folder)) if served else site.folder.as_uri()
        page = stack.enter_context(open_page(f'{root}/{FRONT}'))
        page.fill('input.sidebar-search', 'UniAdapter')
        page.press('input.sidebar-search', 'Enter')
        page.wait_for_selector('#search-results li a')
        found = page.locator('#search-results li a').evaluate_all('links => links.map(link => link.href)')
        if served:
            # The words around what was found are read from the pages.
            page.wait_for_selector('#search-results li p.context')
    assert any('/docs/methods/uniadapter.html' in address for address in found)
