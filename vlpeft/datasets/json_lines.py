"""JSON that knows its lines: values of a text with the line on which each begins.

``json.loads`` forgets where an entry stood. Here a list, and a list under a key of an object, are read entry by entry
with the same decoder, and keep the line of each.
"""

import json
import re
from collections.abc import Iterator

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r'[ \t\n\r]*')
_HALF = re.compile(r'\\u[dD][89a-fA-F]')


class JSONError(ValueError):
    """A text that is not JSON.

    Args:
        line: Where, from 1.
        reason: What is wrong, in a few words.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(line, reason)
        self.line, self.reason = line, reason


class PlacedList(list):
    """A list of a JSON file; ``lines`` holds the line of each entry, ``line`` its own."""

    line: int
    lines: list[int]


class PlacedDict(dict):
    """An object of a JSON file; ``line`` is its line."""

    line: int


def parse(text: str) -> object:
    """The value of a JSON text; a top list, and lists directly under a top object, are :class:`PlacedList`.

    Raises:
        JSONError: The text is not JSON.
    """
    reader = _Reader(text)
    start = reader.peek()
    if start == '[':
        value = reader.list()
    elif start == '{':
        value = reader.object()
    else:
        value = reader.value()
    if reader.peek():
        raise reader.error('more text behind the end of the value')
    return value


def parse_plain(text: str) -> object:
    """The value of a JSON text that is a line of a file, in plain lists and dicts.

    Raises:
        JSONError: The text is not JSON.
    """
    reader = _Reader(text)
    value = reader.value()
    if reader.peek():
        raise reader.error('more text behind the end of the value')
    return value


class _Reader:
    """A place in a text, and its line."""

    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0
        self._counted, self._line = 0, 1

    @property
    def line(self) -> int:
        self._line += self.text.count('\n', self._counted, self.at)
        self._counted = self.at
        return self._line

    def error(self, reason: str) -> JSONError:
        return JSONError(self.line, reason)

    def peek(self) -> str:
        """The next character that is no blank; '' at the end."""
        self.at = _BLANK.match(self.text, self.at).end()
        return self.text[self.at : self.at + 1]

    def take(self, *expected: str) -> str:
        found = self.peek()
        if found not in expected:
            wanted = ' or '.join(map(repr, expected))
            raise self.error(f'expected {wanted}, got {repr(found) if found else "the end of the file"}')
        self.at += 1
        return found

    def value(self) -> object:
        """The next value, whatever it is."""
        self.peek()
        start, line = self.at, self.line
        try:
            value, self.at = _DECODER.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            raise JSONError(line + self.text.count('\n', start, error.pos), error.msg) from error
        except RecursionError as error:
            raise JSONError(line, 'nested too deeply') from error
        except ValueError as error:  # an integer of thousands of digits
            raise JSONError(line, str(error).partition(':')[0]) from error
        if _HALF.search(self.text, start, self.at):
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError as error:
                raise JSONError(line, r'a text holds half of a pair of characters (\ud800 to \udfff)') from error
        return value

    def _members(self, end: str) -> Iterator[None]:
        """Stops before each member of a list or an object, and behind the whole."""
        self.at += 1
        if self.peek() == end:
            self.at += 1
            return
        while True:
            yield
            if self.take(',', end) == end:
                return

    def list(self) -> PlacedList:
        self.peek()
        found = PlacedList()
        found.line, found.lines = self.line, []
        for _ in self._members(']'):
            self.peek()
            found.lines.append(self.line)
            found.append(self.value())
        return found

    def object(self) -> PlacedDict:
        self.peek()
        found = PlacedDict()
        found.line = self.line
        for _ in self._members('}'):
            if self.peek() != '"':
                raise self.error('expected a key in double quotes')
            key = self.value()
            self.take(':')
            found[key] = self.list() if self.peek() == '[' else self.value()
        return found
