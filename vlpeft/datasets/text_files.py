"""Text of annotation files: UTF-8, or what a byte order mark says."""

import codecs
from pathlib import Path

from vlpeft.nearest import if_folder

# Longer marks first: UTF-32's begins like UTF-16's.
MARKS = (
    (codecs.BOM_UTF8, 'utf-8'),
    (codecs.BOM_UTF32_LE, 'utf-32-le'),
    (codecs.BOM_UTF32_BE, 'utf-32-be'),
    (codecs.BOM_UTF16_LE, 'utf-16-le'),
    (codecs.BOM_UTF16_BE, 'utf-16-be'),
)


class AnnotationError(ValueError):
    """An annotation file that is missing, empty or malformed; the message names the file and the line."""


def existing(path: str) -> str:
    """``path``, if there is such a file.

    Raises:
        AnnotationError: There is none.
    """
    if not Path(path).is_file():
        raise AnnotationError(f'annotation file {path} does not exist{if_folder(path)}')
    return path


def read_text(path: str) -> str:
    r"""Text of a file without its byte order mark; all line breaks are ``\n``.

    Args:
        path: The file: UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        AnnotationError: The file is missing, or is no such text (names the line).
    """
    data = Path(existing(path)).read_bytes()
    mark, encoding = next(((mark, name) for mark, name in MARKS if data.startswith(mark)), (b'', 'utf-8'))
    body = data[len(mark) :]
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        line = body.count('\n'.encode(encoding), 0, error.start) + 1
        raise AnnotationError(
            f'{path}:{line}: not {encoding.upper()} (byte 0x{body[error.start]:02x}: {error.reason})'
            '; save the file as UTF-8'
        ) from error
    if '\0' in text:
        line = text.count('\n', 0, text.index('\0')) + 1
        raise AnnotationError(
            f'{path}:{line}: holds zero bytes: no text, or UTF-16 without a byte order mark; save the file as UTF-8'
        )
    return text.replace('\r\n', '\n').replace('\r', '\n')
