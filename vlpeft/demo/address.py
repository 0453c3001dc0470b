"""Where a page is served."""

import socket
from ipaddress import ip_address

from .sources import DemoError


def listen(host: str, port: int) -> socket.socket:
    """A socket on which visitors wait until the page is there.

    Args:
        host: Address or name of an interface of this machine.
        port: 0 takes a free one.

    Raises:
        DemoError: The port is taken or not allowed, or no interface has this address.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise DemoError(
            f'cannot serve on {host}, port {port} ({error.strerror or error}); choose another --port (0 takes a free '
            'one) or --host'
        ) from error


def address_of(server: socket.socket) -> str:
    """What to type into a browser."""
    host, port = server.getsockname()[:2]
    return f'http://{f"[{host}]" if ":" in host else host}:{port}'


def local_names(server: socket.socket) -> list[str] | None:
    """What visitors may call this machine; None where more than itself reaches the page, by whatever name."""
    host = server.getsockname()[0]
    return ['localhost', host, f'[{host}]'] if ip_address(host).is_loopback else None
