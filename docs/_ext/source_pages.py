"""Files that pages name and that are no pages: links to configs and others lead to a page with the text of the file.

Where pages are read as Markdown such a link opens the file. On the site it opens ``<path>.html``, which lies where the
file lies in the repository, so that the link as it is written only gets the ending.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path
from shutil import copytree

from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

#: Language of a file, by its ending, where that is not the ending without its point.
LANGUAGES = {
    '.py': 'python',
    '.yml': 'yaml',
    '.cff': 'yaml',
    '.sh': 'bash',
    '.ipynb': 'json',
    '': 'text',
    '.txt': 'text',
}


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
        language = LANGUAGES.get(Path(path).suffix, Path(path).suffix.lstrip('.'))
        body = app.builder.highlighter.highlight_block(text, language)
        yield path, dict(title=path, body=f'<section><h1>{escape(path)}</h1>{body}</section>'), 'page.html'


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
