"""Records of benchmarks, one JSON file each, and the table that is made of them alone."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vlpeft.atomic import write_atomically
from vlpeft.engine.run_record import code_state

from . import entries as known
from .entries import Entry

BEGIN, END = '<!-- benchmarks: made by run_benchmarks.py -->', '<!-- benchmarks: end -->'


class BenchmarkError(ValueError):
    """A benchmark failed, or a record or page is not what it should be."""


def machine() -> str:
    """Its class: how many processors of which make, and GPUs if there are any."""
    import torch

    info = Path('/proc/cpuinfo')
    lines = info.read_text().splitlines() if info.is_file() else []
    named = next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), None)
    found = f'{os.cpu_count()} cores of {named or platform.machine()}'
    if torch.cuda.is_available():
        found += f', {torch.cuda.device_count()} x {torch.cuda.get_device_name()}'
    return found


def make_record(entry: Entry, printed: str, seconds: float) -> dict[str, Any]:
    """The record of a benchmark that has ended.

    Args:
        entry: What was run.
        printed: Its standard output.
        seconds: How long it took.

    Raises:
        BenchmarkError: It printed no JSON object.
    """
    objects = [json.loads(line) for line in printed.splitlines() if line.startswith('{')]
    if not objects:
        raise BenchmarkError(f'{entry.name}: {" ".join(entry.command)} --json printed no JSON object')
    code = code_state() or dict(commit=None, dirty=None)
    return dict(
        name=entry.name,
        command=entry.command,
        created_at=datetime.now(timezone.utc).isoformat(timespec='seconds'),
        seconds=round(seconds, 1),
        machine=machine(),
        packages={name: version(name) for name in ('torch', 'transformers')},
        **code,
        results=objects,
    )


def write_record(record: Mapping[str, Any], folder: Path) -> None:
    """Writes ``{name}.json``, whole or not at all."""
    text = json.dumps(record, indent=1, ensure_ascii=False) + '\n'
    write_atomically(folder / f'{record["name"]}.json', lambda part: Path(part).write_text(text, encoding='utf-8'))


def read_record(entry: Entry, folder: Path) -> dict[str, Any] | None:
    """The record of an entry; None where there is none, or its settings were others.

    Raises:
        BenchmarkError: The file is no record.
    """
    path = folder / f'{entry.name}.json'
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding='utf-8'))
        return record if record['command'] == entry.command and record['results'] else None
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f'{path} is no record of a benchmark: {error}; delete it to run it again') from error


def table(folder: Path) -> str:
    """The records of a folder as Markdown: a line for each figure, and below it what ran where.

    Raises:
        BenchmarkError: There is no record, or a file is none.
    """
    records = {entry: record for entry in known.ENTRIES if (record := read_record(entry, folder)) is not None}
    if not records:
        raise BenchmarkError(f'{folder} has no records of benchmarks with their present settings')
    lines = ['| what | figure | beside it |', '|---|---:|---|']
    for entry, record in records.items():
        lines += [f'| {row.what} | {row.figure} | {row.beside} |' for row in entry.rows(record['results'])]
    lines += ['', '| record | command | machine, versions, commit |', '|---|---|---|']
    lines += [
        f'| `{entry.name}` | `python {" ".join(entry.command)}` | {_where(records[entry])} |' for entry in records
    ]
    missing = [entry.name for entry in known.ENTRIES if entry not in records]
    if missing:
        lines += ['', f'Not run: {", ".join(missing)}.']
    return '\n'.join(lines) + '\n'


def _where(record: Mapping[str, Any]) -> str:
    versions = ', '.join(f'{name} {text}' for name, text in record['packages'].items())
    commit = (record['commit'] or 'no git')[:9] + (' and changes' if record['dirty'] else '')
    return f'{record["machine"]}; {versions}; {commit}; {record["created_at"][:10]}'


def put_table(page: Path, made: str) -> None:
    """Puts a table between the marks of a page.

    Raises:
        BenchmarkError: The page has no marks.
    """
    text = page.read_text(encoding='utf-8')
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise BenchmarkError(f'{page} has no place for the table: a line {BEGIN} and after it a line {END}')
    write_atomically(
        page, lambda part: Path(part).write_text(f'{before}{BEGIN}\n\n{made}\n{END}{after}', encoding='utf-8')
    )
