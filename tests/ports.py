"""Ports on which the processes of a test meet."""

import random
import socket

#: Below those that the system gives to outgoing connections, one of which could take a free port before it is used.
RANGE = range(10_000, 30_000)
# No test may seed it, and the processes of the suite draw apart from each other.
_DRAW = random.SystemRandom()


def free_port() -> int:
    """A port on which nobody listens."""
    while True:
        port = _DRAW.choice(RANGE)
        with socket.socket() as probe:
            try:
                probe.bind(('', port))
            except OSError:
                continue
        return port
