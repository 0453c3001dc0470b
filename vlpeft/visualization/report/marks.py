"""Parts of which the report's sections are made: text, numbers, and tables whose cells hold bars."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from numbers import Real
from typing import Any

#: Characters of a text that are shown.
LONGEST = 600
#: Characters of a label that stays on one line.
SHORT = 20


def said(text: Any) -> str:
    """A text of the data for the page: escaped, and cut where it is very long."""
    text = str(text)
    return escape(text if len(text) <= LONGEST else f'{text[:LONGEST]}…')


def number(value: Any) -> str:
    """A figure as people read it, with its exact value for programs; other values as text."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return said(value)
    shown = f'{value:,}' if isinstance(value, int) else signed(value, 1)
    return f'<data value="{value!r}">{shown}</data>'


def signed(value: float, digits: int = 2) -> str:
    """A number with so many digits behind the point, and with a minus that is as wide as a digit."""
    return f'{value:,.{digits}f}'.replace('-', '\u2212')


def interval(ends: Sequence[float] | None) -> str:
    """Both ends of an interval, or a dash."""
    if ends is None:
        return '<span class="none">none</span>'
    return f'<span class="ends">{number(float(ends[0]))} – {number(float(ends[1]))}</span>'


def percent(part: int, whole: int) -> str:
    """'12.5 %'."""
    return f'{100 * part / whole:.1f}\u202f%' if whole else '–'


@dataclass(frozen=True)
class Bar:
    """A row of a chart of bars.

    Args:
        label: What it is of, HTML.
        value: Length of the bar, in the units of the chart's ``full``.
        told: The number beside it, HTML.
        ends: Interval of ``value``. Defaults to None.
        more: Further cells, HTML, by heading. Defaults to none.
    """

    label: str
    value: float
    told: str
    ends: Sequence[float] | None = None
    more: Mapping[str, str] | None = None


def bars(caption: str, heading: str, rows: Sequence[Bar], full: float, name: str = '', told: str = '') -> str:
    """A chart that is a table: who cannot see the bars reads the numbers.

    Args:
        caption: How to read it, in a sentence, HTML.
        heading: Of the labels.
        rows: From top to bottom.
        full: Value of a bar that is as long as its cell.
        name: Class of the chart, by which it is found. Defaults to ''.
        told: Heading of the numbers. Defaults to ''.
    """
    more = list(rows[0].more or {}) if rows else []
    headings = [heading, '', told, *more]
    head = ''.join(f'<th scope="col">{text}</th>' for text in headings)
    body = ''.join(_bar(row, full) for row in rows)
    return (
        f'<figure class="chart {name}"><figcaption>{caption}</figcaption><table class="bars"><thead><tr>{head}</tr>'
        f'</thead><tbody>{body}</tbody></table></figure>'
    )


def _bar(row: Bar, full: float) -> str:
    length = min(100.0, 100 * row.value / full) if full else 0
    drawn = f'<i class="bar" style="width:{length:.2f}%"></i>'
    if row.ends is not None:
        low, high = (min(100.0, 100 * end / full) for end in row.ends)
        drawn += f'<i class="whisker" style="left:{low:.2f}%;width:{high - low:.2f}%"></i>'
    cells = ''.join(f'<td class="number">{text}</td>' for text in (row.more or {}).values())
    short = ' class="short"' if len(row.label) <= SHORT else ''
    return (
        f'<tr><th scope="row"{short}>{row.label}</th><td class="track" aria-hidden="true">{drawn}</td>'
        f'<td class="number">{row.told}</td>{cells}</tr>'
    )


def histogram(values: Sequence[float], edges: Sequence[float]) -> list[int]:
    """How many values each bin [edge, next edge) holds; the last one holds its upper edge too."""
    counts = [0] * (len(edges) - 1)
    for value in values:
        place = next((i for i, edge in enumerate(edges[1:]) if value < edge), len(counts) - 1)
        counts[place] += 1
    return counts


def notice(text: str) -> str:
    """A sentence of the page's own, HTML."""
    return f'<p class="notice">{text}</p>'
