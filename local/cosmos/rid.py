"""Resource ids (``_rid``): how the service numbers databases, containers and items, and addresses by them."""

import base64
from collections.abc import Sequence

_DATABASE_BYTES = 4


def encode(raw: bytes) -> str:
    """A ``_rid`` as the service writes it: base64 that is safe in an address."""
    return base64.b64encode(raw, b"+-").decode()


def decode(text: str) -> bytes:
    """The bytes of a ``_rid``; none if it is no such text."""
    try:
        return base64.b64decode(text, b"+-", validate=True)
    except ValueError:
        return b""


def is_of_database(text: str) -> bool:
    """Whether it can be the ``_rid`` of a database. No database may have such a name."""
    return len(decode(text)) == _DATABASE_BYTES


def addresses(segments: Sequence[str]) -> bool:
    """Whether a path (decoded segments) is made of ids and not of names: .NET reads a container's ranges so."""
    return len(segments) > 1 and segments[0] == "dbs" and is_of_database(segments[1])
