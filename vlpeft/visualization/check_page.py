"""What a check of the data has found, as one HTML page: no script, no external resource, light and dark."""

from collections.abc import Mapping
from html import escape
from pathlib import Path

from .gallery_style import STYLE

SHOWN = 200
TABLE_STYLE = """
table { width: 100%; border-collapse: collapse; background: var(--card); border: 1px solid var(--line);
  font-size: 14px; margin-top: 10px; }
th, td { text-align: left; vertical-align: top; padding: 6px 11px; border-top: 1px solid var(--line);
  overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; }
td.count { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


def write_check_page(path: str | Path, title: str, report: Mapping, kinds: Mapping[str, str]) -> None:
    """Write the page.

    Args:
        path: HTML file to write.
        title: Heading of the page.
        report: ``Report.as_json`` of ``vlpeft.datasets.checking``.
        kinds: What each kind of finding means.
    """
    counts = report['counts']
    read = 'existence, size and first bytes only' if report['fast'] else 'every file was decoded'
    found = f'{sum(counts.values()):,} findings' if counts else 'nothing found'
    sections = [
        '<h2>Sets</h2>',
        _table(['set', 'samples'], [[entry['name'], entry['samples']] for entry in report['sets']]),
        *_lengths([entry for entry in report['sets'] if entry.get('tokens')]),
        '<h2>Findings</h2>',
        _table(['kind', 'what it is', 'number'], [[kind, kinds[kind], count] for kind, count in counts.items()]),
    ]
    for kind in counts:
        listed = [finding for finding in report['findings'] if finding['kind'] == kind]
        rows = [
            [finding['subject'], finding['detail'], '; '.join(finding['sets']), finding['samples'] or '']
            for finding in listed[:SHOWN]
        ]
        more = f'<p>The first {SHOWN} of {len(listed):,}; report.json has all.</p>' if len(listed) > SHOWN else ''
        sections += [
            f'<h2>{escape(kinds[kind].capitalize())}</h2>{more}',
            _table(['file or text', 'what is wrong', 'sets', 'samples'], rows),
        ]
    body = '\n'.join(sections)
    Path(path).write_text(
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<style>{STYLE}{TABLE_STYLE}</style></head>\n'
        f'<body><main>\n<h1>{escape(title)}</h1>\n<p>{report["files"]:,} files; {read}; {found}.</p>\n{body}\n'
        '</main></body></html>\n',
        encoding='utf-8',
        errors='replace',
    )


def _lengths(sets: list[Mapping]) -> list[str]:
    """Tokens of conversations: so many samples have at most so many."""
    if not sets:
        return []
    names = list(sets[0]['tokens'])
    rows = [[entry['name'], *entry['tokens'].values(), entry['max_length'] or 'none'] for entry in sets]
    return ['<h2>Tokens of conversations</h2>', _table(['set', *names, 'max_length'], rows)]


def _table(head: list[str], rows: list[list]) -> str:
    cells = ''.join(f'<th>{escape(name)}</th>' for name in head)
    lines = [''.join(_cell(value) for value in row) for row in rows]
    return f'<table><tr>{cells}</tr>\n' + '\n'.join(f'<tr>{line}</tr>' for line in lines) + '</table>'


def _cell(value) -> str:
    return f'<td class="count">{value:,}</td>' if isinstance(value, int) else f'<td>{escape(str(value))}</td>'
