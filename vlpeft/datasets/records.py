"""Annotation records with their place in the file, from JSON lines or from one JSON list."""

from collections.abc import Iterator

from .annotations import AnnotationError, read_json, read_jsonl


def read_records(path: str) -> Iterator[tuple[str, dict]]:
    """Objects of a file of JSON lines (``.jsonl``) or of one JSON list (any other name).

    Yields:
        tuple[str, dict]: Place for messages, and the object.

    Raises:
        AnnotationError: The file is missing, not JSON, not a list, or an entry is not an object.
    """
    return read_jsonl(path) if path.endswith('.jsonl') else entries(path, read_json(path))


def entries(path: str, content: object, key: str | None = None) -> Iterator[tuple[str, dict]]:
    """Objects of a list in a JSON file.

    Args:
        path (str): The file, for messages.
        content (object): What the file holds.
        key (str, optional): Key of the list in ``content``. Defaults to None, ``content`` is the list.

    Yields:
        tuple[str, dict]: Place for messages, and the object.

    Raises:
        AnnotationError: There is no such list, or an entry is not an object.
    """
    listed = content if key is None else content.get(key) if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise AnnotationError(f'{path}: expected ' + ('a list of objects' if key is None else f"a list '{key}'"))
    for number, entry in enumerate(listed):
        where = f'{path}: {key or "entry"}[{number}]'
        if not isinstance(entry, dict):
            raise AnnotationError(f'{where}: expected an object {{…}}, got {type(entry).__name__}')
        yield where, entry


def field(where: str, record: dict, key: str, *types: type):
    """A value of a record.

    Raises:
        AnnotationError: The key is missing, its value is of another type, or it is an empty text.
    """
    value = record.get(key)
    if not isinstance(value, types) or isinstance(value, bool) or value == '':
        wanted = ' or '.join(dict(str='a text', int='an integer', list='a list', dict='an object')[kind.__name__]
                             for kind in types)
        raise AnnotationError(f"{where}: '{key}' must be {wanted}; keys found: {', '.join(record) or 'none'}")
    return value
