"""Reading annotation files: every complaint names the file and the line."""

import csv
import io
import os
import re
from collections.abc import Iterator

from .json_lines import JSONError, parse, parse_plain
from .text_files import AnnotationError, existing, read_text

__all__ = ['AnnotationError', 'existing', 'locate', 'read_csv', 'read_json', 'read_jsonl', 'read_list', 'type_name']

URL = re.compile(r'[A-Za-z][A-Za-z0-9+.-]*://|data:')
WINDOWS = re.compile(r'[A-Za-z]:[/\\]|[^/]*\\')


def read_jsonl(path: str) -> Iterator[tuple[str, dict]]:
    """Objects of a JSON-lines file; blank lines are skipped.

    Args:
        path: The file, see :func:`read_text`.

    Yields:
        'file:line' for messages, and the object.

    Raises:
        AnnotationError: The file is missing or no text, or a line is not a JSON object.
    """
    for where, line in read_list(path):
        try:
            record = parse_plain(line)
        except JSONError as error:
            raise AnnotationError(f'{where}: not valid JSON ({error.reason})') from error
        if not isinstance(record, dict):
            raise AnnotationError(f'{where}: expected a JSON object {{…}}, got {type_name(record)}')
        yield where, record


def read_csv(path: str, *columns: str) -> Iterator[tuple[str, dict]]:
    """Rows of a CSV file with a header.

    Args:
        path: The file, see :func:`read_text`.
        *columns: Columns that must be there and filled.

    Yields:
        'file:line' for messages, and the row.

    Raises:
        AnnotationError: The file is missing or no text, or a column or a value is.
    """
    rows = csv.DictReader(io.StringIO(read_text(path)))
    try:
        absent = [column for column in columns if column not in (rows.fieldnames or [])]
        if absent:
            found = ', '.join(rows.fieldnames or []) or 'none'
            raise AnnotationError(f"{path}:1: no column '{absent[0]}'; columns found: {found}")
        for row in rows:
            where = f'{path}:{rows.line_num}'
            for column in columns:
                if not row[column]:
                    raise AnnotationError(f"{where}: '{column}' is empty")
            yield where, row
    except csv.Error as error:
        raise AnnotationError(f'{path}:{rows.line_num}: not valid CSV ({error})') from error


def read_list(path: str) -> Iterator[tuple[str, str]]:
    """Lines of a text file, stripped; blank lines are skipped.

    Args:
        path: The file, see :func:`read_text`.

    Yields:
        'file:line' for messages, and the line.

    Raises:
        AnnotationError: The file is missing or no text.
    """
    for number, line in enumerate(read_text(path).split('\n'), start=1):
        if line.strip():
            yield f'{path}:{number}', line.strip()


def read_json(path: str) -> object:
    """Content of a JSON file, whose lists know the lines of their entries (:mod:`.json_lines`).

    Raises:
        AnnotationError: The file is missing, no text, or not JSON (with the line).
    """
    try:
        return parse(read_text(path))
    except JSONError as error:
        raise AnnotationError(f'{path}:{error.line}: not valid JSON ({error.reason})') from error


def type_name(value: object) -> str:
    """What a message calls the type of a JSON value."""
    names = dict(bool='true or false', int='a number', float='a number', str='a text', list='a list', dict='an object')
    return next((names[kind.__name__] for kind in type(value).__mro__ if kind.__name__ in names), 'null')


def locate(path: str, folder: str, roots: tuple[str, ...], where: str) -> str:
    """Full path of a media file that an annotation names.

    Annotations come from others, so a path must not leave the data root; links inside the root are followed, because
    whoever set up the folder put them there.

    Args:
        path: As written in the annotation, relative to ``folder`` or absolute.
        folder: Media folder.
        roots: Folders, one of which must hold the file.
        where: 'file:line' for the message.

    Returns:
        Normalised path.

    Raises:
        AnnotationError: The path leads outside every root, is a URL, or is written as Windows does.
    """
    if '\0' in path:
        raise AnnotationError(f'{where}: {path!r} holds a zero byte, which no path can')
    full = os.path.normpath(os.path.join(folder, path))
    if URL.match(path) and not os.path.exists(full):
        raise AnnotationError(
            f"{where}: '{path[:200]}' is a URL, and nothing is downloaded; save the file and give "
            f'its path, relative to {folder}'
        )
    if os.sep == '/' and WINDOWS.match(path) and not os.path.exists(full):
        raise AnnotationError(f"{where}: '{path}' is a path of Windows; write folders with '/', relative to {folder}")
    # Texts are compared: Path objects took a third of the time of reading a large file.
    inside = os.path.join(os.path.abspath(full), '')
    if not any(inside.startswith(os.path.join(os.path.abspath(root), '')) for root in roots):
        raise AnnotationError(f"{where}: '{path}' lies outside the data root {roots[0]}")
    return full
