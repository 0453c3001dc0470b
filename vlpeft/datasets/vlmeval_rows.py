"""Rows of VLMEvalKit's tables: TSV files with ``index``, ``image`` or ``image_path``, ``question``, and choices."""

import ast
import csv
import re
from collections.abc import Iterator

from .text_files import AnnotationError, existing

#: VLMEvalKit takes a shorter text under ``image`` for the index of the row that has the image.
LONGEST_INDEX = 64
#: Bytes of a field; of an image as text it is 4/3 of the file. csv's own limit, 128 KiB, is less than most photographs.
LARGEST_FIELD = 1 << 28
LETTER = re.compile('[A-Z]')


def read_rows(path: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Rows of a table, without their empty fields.

    Yields:
        'file:line' for messages, the line being the row's last, and the fields by column.

    Raises:
        AnnotationError: The file is missing, no UTF-8, no table, or lacks the column 'index' or 'question', or a row
            has no index, one that was used before, or more fields than there are columns.
    """
    before, seen = csv.field_size_limit(LARGEST_FIELD), {}
    try:
        with open(existing(path), encoding='utf-8-sig', newline='') as file:
            rows = csv.DictReader(file, delimiter='\t')
            absent = [column for column in ('index', 'question') if column not in (rows.fieldnames or ())]
            if absent:
                found = ', '.join(rows.fieldnames or ()) or 'none'
                raise AnnotationError(f"{path}:1: no column '{absent[0]}'; columns found: {found:.200}")
            for row in rows:
                where = f'{path}:{rows.line_num}'
                if None in row:
                    raise AnnotationError(f'{where}: more fields than the {len(rows.fieldnames)} columns')
                row = {column: text for column, text in row.items() if text}
                index = row.get('index')
                if index is None or index in seen:
                    said = "'index' is empty" if index is None else f'index {index!r} was already used at {seen[index]}'
                    raise AnnotationError(f'{where}: {said}')
                seen[index] = where
                yield where, row
    except UnicodeDecodeError as error:
        raise AnnotationError(f'{path}: not UTF-8 ({error.reason}); save the table as UTF-8') from error
    except csv.Error as error:
        raise AnnotationError(f'{path}:{rows.line_num}: not valid TSV ({error})') from error
    finally:
        csv.field_size_limit(before)


def choices_of(row: dict[str, str]) -> dict[str, str]:
    """Texts of the choices of a row by letter."""
    return {column: text for column, text in sorted(row.items()) if LETTER.fullmatch(column) and text.strip()}


def texts_of(where: str, column: str, text: str) -> list[str]:
    """The texts of a field that may be a list as Python writes it: ``['first', 'second']``.

    Raises:
        AnnotationError: It begins and ends like a list and is none of texts and numbers.
    """
    if not (text.startswith('[') and text.endswith(']')):
        return [text]
    try:
        listed = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        listed = None
    if not isinstance(listed, list) or not listed or not all(isinstance(entry, str | int | float) for entry in listed):
        raise AnnotationError(f"{where}: '{column}' looks like a list and is none of texts, got {text:.60}")
    return list(map(str, listed))
