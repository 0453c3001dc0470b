"""Files that pages name and that are no pages: links to configs and others lead to a page with the text of the file, of
a notebook with its cells.

Where pages are read as Markdown such a link opens the file. On the site it opens ``<path>.html``, which lies where the
file lies in the repository, so that the link as it is written only gets the ending.
"""

import json
from collections.abc import Callable, Iterator
from html import escape
from pathlib import Path
from shutil import copytree

from docutils import nodes
from markdown_it import MarkdownIt
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

#: Language of a file, by its ending, where that is not the ending without its point.
LANGUAGES = {'.yml': 'yaml', '.cff': 'yaml', '': 'text', '.txt': 'text'}


class LinksToFiles(SphinxTransform):
    """Turns what would be a download into a link to the page of the file."""

    default_priority = 400

    def apply(self, **kwargs) -> None:
        linked = self.env.__dict__.setdefault('linked_files', {})
        linked[self.env.docname] = set()
        for node in list(self.document.findall(addnodes.download_reference)):
            path, _ = self.env.relfn2path(node['reftarget'], self.env.docname)
            linked[self.env.docname].add(path)
            link = nodes.reference('', '', *node.children, refuri=f'{node["reftarget"]}.html', internal=True)
            node.replace_self(link)


def pages_of_files(app) -> Iterator[tuple[str, dict, str]]:
    """Pages of the files that any page links to."""
    linked = getattr(app.env, 'linked_files', {})
    for path in sorted(set().union(*linked.values())):
        text = (Path(app.srcdir) / path).read_text()
        suffix, highlight = Path(path).suffix, app.builder.highlighter.highlight_block
        if suffix == '.ipynb':
            body = cells(text, highlight)
        else:
            body = f'<h1>{escape(path)}</h1>{highlight(text, LANGUAGES.get(suffix, suffix.lstrip(".")))}'
        yield path, dict(title=path, body=f'<section>{body}</section>'), 'page.html'


def cells(notebook: str, highlight: Callable[[str, str], str]) -> str:
    """HTML of a notebook's cells: its texts, and its code."""
    markdown = MarkdownIt('commonmark', dict(html=False)).enable('table')
    parts = []
    for cell in json.loads(notebook)['cells']:
        source = ''.join(cell['source'])
        parts.append(markdown.render(source) if cell['cell_type'] == 'markdown' else highlight(source, 'python'))
    return '\n'.join(parts)


def copy_pictures(app, error) -> None:
    """Puts pictures where they lie in the repository, for pages that name them in HTML, by the width of the window."""
    if error is None:
        copytree(Path(app.srcdir) / 'docs/images', Path(app.outdir) / 'docs/images', dirs_exist_ok=True)


def forget(app, env, docname: str) -> None:
    """What a page linked to before it changed or went."""
    getattr(env, 'linked_files', {}).pop(docname, None)


def setup(app) -> dict:
    """Called by Sphinx."""
    app.add_transform(LinksToFiles)
    app.connect('env-purge-doc', forget)
    app.connect('html-collect-pages', pages_of_files)
    app.connect('build-finished', copy_pictures)
    return dict(parallel_read_safe=False, parallel_write_safe=True)
