"""The project's pages in Markdown: links, anchors, tables and code blocks, read by the rules that GitHub goes by."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.workspace import ROOT

FENCE = re.compile(r'^(?P<mark>```+|~~~+)(?P<language>[\w-]*)[^\n]*\n(?P<body>.*?)^(?P=mark)\s*$', re.M | re.S)
LINK = re.compile(r'!?\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^()\s]+)\)')


def pages() -> list[Path]:
    """All pages of the project."""
    patterns = ('*.md', 'docs/**/*.md', 'configs/**/*.md', '.github/**/*.md')
    return sorted({path for pattern in patterns for path in ROOT.glob(pattern)})


def code_blocks(text: str, language: str) -> list[str]:
    """Bodies of the fenced blocks of one language."""
    return [match['body'] for match in FENCE.finditer(text) if match['language'] == language]


def own_configs(text: str) -> list[str]:
    """Python blocks that are whole configs; those of docs/extend, which import a package of their own, are left out."""
    blocks = code_blocks(text, 'python')
    return [
        block
        for block in blocks
        if re.search(r'^_base_ = ', block, re.M) and '...' not in block and 'custom_imports' not in block
    ]


def links(text: str) -> Iterator[tuple[str, str]]:
    """(text, target) of the links and pictures outside of code."""
    prose = re.sub(r'`[^`\n]*`', lambda span: span[0].replace('[', ' ').replace(']', ' '), FENCE.sub('', text))
    for match in LINK.finditer(prose):
        yield match['text'], match['target']


def anchors(text: str) -> set[str]:
    """Names by which a page's headings can be linked to."""
    seen: Counter[str] = Counter()
    names = set()
    for heading in re.findall(r'^#{1,6} +(.+?) *#*$', FENCE.sub('', text), re.M):
        plain = re.sub(r'\[([^\]]*)\]\([^)]*\)', r'\1', heading)
        name = re.sub(r'[^\w\- ]', '', plain.lower()).replace(' ', '-')
        names.add(f'{name}-{seen[name]}' if seen[name] else name)
        seen[name] += 1
    return names


def section(text: str, anchor: str) -> str:
    """What stands under the heading of this name, up to the next heading of its level or above."""
    lines = text.splitlines(keepends=True)
    levels = [
        (number, len(line) - len(line.lstrip('#')), anchors(line))
        for number, line in enumerate(lines)
        if re.match(r'#{1,6} ', line)
    ]
    start, level = next((number, level) for number, level, names in levels if anchor in names)
    end = next((number for number, other, _ in levels if number > start and other <= level), len(lines))
    return ''.join(lines[start + 1 : end])


def table_rows(text: str) -> list[list[str]]:
    """Cells of the first table of a text, head first, the rule below it left out."""
    found = re.search(r'(?:^\|.*\|\n)+', text, re.M)
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in found[0].splitlines()]
    return [row for row in rows if not all(re.fullmatch(r':?-+:?', cell) for cell in row)]
