"""Pictures that a text holds itself (``data:`` URLs) or names on a server, with a limit of their size."""

import base64
import binascii
import re
import urllib.error
import urllib.parse
import urllib.request

from .base import ClipError

MAX_BYTES, TIMEOUT_S, SHOWN = 1 << 26, 20, 60
INLINE = re.compile(r'data:(?P<type>[^;,]*)(?P<options>(?:;[^;,]*)*),', re.IGNORECASE)


def is_inline(path: str) -> bool:
    """Whether a path is a ``data:`` URL."""
    return path[:5].lower() == 'data:'


def is_remote(path: str) -> bool:
    """Whether a path is an http or https URL."""
    return path[:8].lower().startswith(('http://', 'https://'))


def short(path: str) -> str:
    """A path for messages; of a ``data:`` URL its beginning and size."""
    return f'{path[:SHOWN]}… ({len(path):,} characters)' if is_inline(path) and len(path) > SHOWN else path


def check_inline(url: str) -> re.Match:
    """The head of a ``data:`` URL of an image, whose content is not looked at.

    Raises:
        ClipError: It is of another type, or too long.
    """
    head = INLINE.match(url)
    if head is None or not head['type'].lower().startswith('image/'):
        raise ClipError(short(url), 'expected data:image/…;base64,… with the content of an image', 'wrong_type')
    if len(url) > MAX_BYTES * 4 // 3:
        raise ClipError(short(url), f'longer than {MAX_BYTES:,} bytes')
    return head


def inline_bytes(url: str) -> bytes:
    """Content of a ``data:`` URL of an image.

    Raises:
        ClipError: As :func:`check_inline`, or it is damaged.
    """
    name, head = short(url), check_inline(url)
    if not head['options'].lower().endswith(';base64'):
        return urllib.parse.unquote_to_bytes(url[head.end() :])
    try:
        return base64.b64decode(''.join(url[head.end() :].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ClipError(name, f'no base64 ({error})') from error


def remote_bytes(url: str) -> bytes:
    """Content of an http or https URL.

    Raises:
        ClipError: It cannot be had in 20 s, or is too long.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310  http and https only
            data = answer.read(MAX_BYTES + 1)
    except (OSError, ValueError, urllib.error.URLError) as error:
        raise ClipError(url, f'cannot be downloaded ({error})', 'missing') from error
    if len(data) > MAX_BYTES:
        raise ClipError(url, f'longer than {MAX_BYTES:,} bytes')
    return data
