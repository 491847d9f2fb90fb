"""Ports that stay ours between a component's stop and its next start."""

import random
import socket
from contextlib import ExitStack

# Below the ports that Linux (32768) and macOS and Windows (49152) hand out for outgoing connections: one of those could
# be taken by any client while a component is down.
_RANGE = range(10_000, 32_000)
_ATTEMPTS = 1_000


def is_free(port: int) -> bool:
    """Whether something could listen on ``port`` at 127.0.0.1."""
    with socket.socket() as candidate:
        # As a server does: connections that have just ended do not count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports on which nothing listens at 127.0.0.1.

    Raises:
        OSError: if there are not as many.
    """
    ports: list[int] = []
    with ExitStack() as held:  # each is held until all are found, so that none is found twice
        for port in random.SystemRandom().sample(_RANGE, _ATTEMPTS):
            if len(ports) == count:
                break
            candidate = held.enter_context(socket.socket())
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(port)
    if len(ports) < count:
        raise OSError(f"No {count} free ports between {_RANGE.start} and {_RANGE.stop}.")
    return ports
