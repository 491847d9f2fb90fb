"""The master-key signature in the ``Authorization`` header."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import unquote

from local.cosmos import rid
from local.cosmos.errors import Unauthorized

_MASTER = re.compile(r"type=master&ver=1\.0&sig=(?P<signature>[A-Za-z0-9+/=]+)")


def verify(key: bytes, authorization: str, method: str, segments: Sequence[str], date: str) -> None:
    """Check that a request was signed with the account's key.

    Args:
        key: the account's key, decoded.
        authorization: the header as it came, percent-encoded.
        method: the HTTP method.
        segments: the decoded path, without empty segments.
        date: the ``x-ms-date`` header.

    Raises:
        Unauthorized: the header is missing, of another type, or signed otherwise.
    """
    match = _MASTER.fullmatch(unquote(authorization))
    if match is None:
        raise Unauthorized("The Authorization header is not a master-key signature.")
    try:
        given = base64.b64decode(match["signature"], validate=True)
    except binascii.Error:
        raise Unauthorized("The signature is not base64.") from None
    # An even path ends with a resource's own name, an odd one with the type of what it contains.
    named = len(segments) % 2 == 0
    resource_type = "" if not segments else segments[-2 if named else -1]
    owners = segments if named else segments[:-1]
    # An address by _rid needs no names: the last one says it all.
    link = owners[-1].lower() if rid.addresses(segments) else "/".join(owners)
    text = f"{method.lower()}\n{resource_type.lower()}\n{link}\n{date.lower()}\n\n"
    if not hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).digest(), given):
        raise Unauthorized("The signature does not match the account's key.")
