"""Reading annotation files: every complaint names the file and the line."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path


class AnnotationError(ValueError):
    """An annotation file that is missing, empty or malformed; the message names the file and the line."""


def read_jsonl(path: str) -> Iterator[tuple[str, dict]]:
    """Objects of a JSON-lines file; blank lines are skipped.

    Args:
        path (str): The file, UTF-8.

    Yields:
        tuple[str, dict]: 'file:line' for messages, and the object.

    Raises:
        AnnotationError: The file is missing, or a line is not a JSON object.
    """
    with open(existing(path), encoding='utf-8-sig') as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            where = f'{path}:{number}'
            try:
                record = json.loads(line)
            except json.JSONDecodeError as error:
                raise AnnotationError(f'{where}: not valid JSON ({error.msg} at column {error.colno})') from error
            if not isinstance(record, dict):
                raise AnnotationError(f'{where}: expected a JSON object {{…}}, got {type(record).__name__}')
            yield where, record


def read_csv(path: str, *columns: str) -> Iterator[tuple[str, dict]]:
    """Rows of a CSV file with a header.

    Args:
        path (str): The file, UTF-8.
        *columns (str): Columns that must be there and filled.

    Yields:
        tuple[str, dict]: 'file:line' for messages, and the row.

    Raises:
        AnnotationError: The file is missing, or a column or a value is.
    """
    with open(existing(path), encoding='utf-8-sig', newline='') as file:
        rows = csv.DictReader(file)
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


def read_list(path: str) -> Iterator[tuple[str, str]]:
    """Lines of a text file, stripped; blank lines are skipped.

    Args:
        path (str): The file, UTF-8.

    Yields:
        tuple[str, str]: 'file:line' for messages, and the line.

    Raises:
        AnnotationError: The file is missing.
    """
    with open(existing(path), encoding='utf-8-sig') as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield f'{path}:{number}', line.strip()


def read_json(path: str) -> object:
    """Content of a JSON file.

    Raises:
        AnnotationError: The file is missing or not JSON (with the line).
    """
    try:
        return json.loads(Path(existing(path)).read_text(encoding='utf-8-sig'))
    except json.JSONDecodeError as error:
        raise AnnotationError(f'{path}:{error.lineno}: not valid JSON ({error.msg})') from error


def locate(path: str, folder: str, roots: tuple[str, ...], where: str) -> str:
    """Full path of a media file that an annotation names.

    Annotations come from others, so a path must not leave the data root; links inside the root are followed, because
    whoever set up the folder put them there.

    Args:
        path (str): As written in the annotation, relative to ``folder`` or absolute.
        folder (str): Media folder.
        roots (tuple[str, ...]): Folders, one of which must hold the file.
        where (str): 'file:line' for the message.

    Returns:
        str: Normalised path.

    Raises:
        AnnotationError: The path leads outside every root.
    """
    full = os.path.normpath(os.path.join(folder, path))
    if not any(Path(os.path.abspath(full)).is_relative_to(os.path.abspath(root)) for root in roots):
        raise AnnotationError(f"{where}: '{path}' lies outside the data root {roots[0]}")
    return full


def existing(path: str) -> str:
    """``path``, if there is such a file.

    Raises:
        AnnotationError: There is none.
    """
    if not Path(path).is_file():
        raise AnnotationError(f'annotation file {path} does not exist')
    return path
