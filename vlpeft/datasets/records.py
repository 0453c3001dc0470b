"""Annotation records with their place in the file, from JSON lines or from one JSON list."""

from collections.abc import Iterator

from .annotations import AnnotationError, read_json, read_jsonl, read_list, type_name
from .json_lines import JSONError, parse_plain


def read_records(path: str) -> Iterator[tuple[str, dict]]:
    """Objects of a file of JSON lines or of one JSON list; what the file holds decides, not its name.

    Yields:
        Place for messages, and the object.

    Raises:
        AnnotationError: The file is missing, neither of both, or an entry is not an object.
    """
    first = next((line for _, line in read_list(path)), '{}')
    if not first.startswith('{'):
        return entries(path, read_json(path))
    try:
        parse_plain(first)
    except JSONError:
        _refuse_single_object(path)
    return read_jsonl(path)


def entries(path: str, content: object, key: str | None = None) -> Iterator[tuple[str, dict]]:
    """Objects of a list in a JSON file.

    Args:
        path: The file, or the place of ``content`` in it, for messages.
        content: What the file, or the place, holds.
        key: Key of the list in ``content``. Defaults to None, ``content`` is the list.

    Yields:
        Place for messages, and the object.

    Raises:
        AnnotationError: There is no such list, or an entry is not an object.
    """
    listed = content if key is None else content.get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        wanted = 'a list of objects' if key is None else f"a list '{key}'"
        # An object within the file has its place already.
        where = path if key and type(content) is dict else f'{path}:{getattr(content, "line", 1)}'
        raise AnnotationError(f'{where}: expected {wanted}, got {_described(content)}')
    lines = getattr(listed, 'lines', None)
    for number, entry in enumerate(listed):
        where = (
            f'{path}: {key or "entry"}[{number}]'
            if lines is None
            else (f'{path}:{lines[number]}: {key or "entry"}[{number}]')
        )
        if not isinstance(entry, dict):
            raise AnnotationError(f'{where}: expected an object {{…}}, got {type_name(entry)}')
        yield where, entry


def _refuse_single_object(path: str) -> None:
    """One object over several lines is neither a list nor JSON lines; a broken first line is left to the caller."""
    try:
        content = read_json(path)
    except AnnotationError:
        return
    raise AnnotationError(f'{path}:1: expected a list of objects, or an object a line; got {_described(content)}')


def _described(content: object) -> str:
    is_object = isinstance(content, dict) and content
    return f'an object with the keys {", ".join(map(str, content))}' if is_object else type_name(content)


def field(where: str, record: dict, key: str, *types: type):
    """A value of a record.

    Raises:
        AnnotationError: The key is missing, its value is of another type, or it is an empty text.
    """
    value = record.get(key)
    if not isinstance(value, types) or isinstance(value, bool) or value == '':
        wanted = ' or '.join(
            dict(str='a text', int='an integer', list='a list', dict='an object')[kind.__name__] for kind in types
        )
        raise AnnotationError(f"{where}: '{key}' must be {wanted}; keys found: {', '.join(record) or 'none'}")
    return value
