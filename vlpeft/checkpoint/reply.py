"""What a server may answer: by http or https alone, and with a file, not with a web page."""

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from .errors import CheckpointError
from .shards import is_index

SCHEMES = ('http', 'https')
#: Bytes. The smallest safetensors file of one number has more.
SHORTEST = 64
_PAGES = (b'<!doctype', b'<html', b'<?xml')
_HEAD_BYTES = 512


class _Redirects(HTTPRedirectHandler):
    """To any host, as hubs send to their mirrors, but by http or https, and never from https to http.

    urllib refuses all other schemes but ftp.
    """

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        before, after = urlsplit(req.full_url).scheme, urlsplit(newurl).scheme
        if after not in SCHEMES or (before, after) == ('https', 'http'):
            raise CheckpointError(f'{req.full_url} redirects to {newurl[:200]}: from {before} that is not followed')
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(request: Request, timeout: float):
    """``urllib.request.urlopen`` for http and https, redirects included.

    Raises:
        CheckpointError: A redirect to another scheme, or from https to http.
        URLError: Another scheme, or no connection.
    """
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        UnknownHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPDefaultErrorHandler,
        _Redirects,
        HTTPErrorProcessor,
    ):
        opener.add_handler(handler())
    return opener.open(request, timeout=timeout)


def check_type(url: str, reply) -> None:
    """Refuses a reply that its server calls a web page, as log-in and error pages are that come with status 200.

    Raises:
        CheckpointError: It is one.
    """
    kind = reply.headers.get_content_type()
    if kind in ('text/html', 'application/xhtml+xml'):
        raise CheckpointError(f'{url} gives a web page ({kind}) instead of a file; open it in a browser to see why')


def check_content(url: str, part: Path) -> None:
    """Refuses and removes a finished download that is a web page whatever its server calls it, or too short.

    Raises:
        CheckpointError: It is.
    """
    with part.open('rb') as file:
        head = file.read(_HEAD_BYTES)
    if head.lstrip().lower().startswith(_PAGES):
        problem = 'a web page instead of a file; open it in a browser to see why'
    elif len(head) < SHORTEST and not is_index(urlsplit(url).path):
        problem = f'{len(head)} bytes, {head[:40]!r}, shorter than any checkpoint'
    else:
        return
    part.unlink()
    raise CheckpointError(f'{url} gives {problem}')
