"""The table of contents is docs/index.md: each table row is an entry, by its first link, each section a part.

So one line makes a page known to readers of the Markdown and of the site, and pages have no directives that only Sphinx
reads. Pages in the folder of a README.md that the same section has before them are listed below it, pages in a folder
``topic`` below ``topic.md``.
"""

import re
from pathlib import Path

ROW = re.compile(r'^\| *\[(?P<title>[^\]]+)\]\((?P<path>[^)#]+)\.md\)', re.M)


def tables_of_contents(index: Path, root: Path) -> dict[str, list[tuple[str, list[str]]]]:
    """Page -> (caption, entries) of the tables of contents that it shall have, as Sphinx names pages."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for section in re.split(r'^## +', index.read_text(), flags=re.M)[1:]:
        caption = section.partition('\n')[0].strip()
        parents: dict[Path, str] = {}
        for row in ROW.finditer(section):
            path = (index.parent / row['path']).resolve().relative_to(root)
            holder = parents.get(path.parent)
            page, label = (holder, '') if holder else (index.relative_to(root).with_suffix('').as_posix(), caption)
            tables = found.setdefault(page, [])
            if not tables or tables[-1][0] != label:
                tables.append((label, []))
            tables[-1][1].append(f'{row["title"]} </{path.as_posix()}>')
            if path.name != 'README':
                parents[path] = path.as_posix()
            elif path.parent != Path():
                parents[path.parent] = path.as_posix()
    return found


def add_tables(app, docname: str, source: list[str]) -> None:
    """Appends to a page the tables of contents that it shall have; they show in the side bar alone."""
    index = Path(app.srcdir) / f'{app.config.root_doc}.md'
    tables = tables_of_contents(index, Path(app.srcdir)).get(docname, [])
    if tables:
        app.env.note_dependency(str(index))
    for caption, entries in tables:
        options = [':hidden:', *([f':caption: {caption}'] if caption else [])]
        source[0] += '\n'.join(['', '', '```{toctree}', *options, '', *entries, '```', ''])


def setup(app) -> dict:
    """Called by Sphinx."""
    app.connect('source-read', add_tables)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
