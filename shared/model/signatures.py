"""The signature of a receipt (P6): how it is written, and whose it is. Service, sweep and auditors all ask here."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

ALGORITHM = "ES256"
TYPE = "deletion-receipt+jwt"
CURVE = "P-256"

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_PUBLIC = ("kty", "crv", "x", "y")


class NotSigned(Exception):
    """None of the keys has signed this as a receipt; the message says why."""


class UnknownKey(NotSigned):
    """It names a key that is not among the keys, so that nobody can tell; ``claims`` is what it says, true or not."""

    def __init__(self, claims: Mapping[str, Any]) -> None:
        super().__init__("The receipt is signed by a key that is not among these keys.")
        self.claims = claims


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, and the thumbprint of the key that signed it."""

    claims: Mapping[str, Any]
    key_id: str


class ReceiptKeys:
    """The public keys that sign receipts, by their thumbprints (RFC 7638)."""

    def __init__(self, keys: Iterable[Mapping[str, Any]]) -> None:
        """Take the EC P-256 keys among JWKs, of private ones the public half.

        Raises:
            ValueError: if they are not JWKs.
        """
        try:
            ours = [key for key in keys if (key["kty"], key["crv"]) == ("EC", CURVE)]
            imported = [ECKey.import_key({name: key[name] for name in _PUBLIC}) for key in ours]
        except (JoseError, KeyError, TypeError, ValueError):
            raise ValueError("not JWKs") from None
        self._by_id = {key.thumbprint(): key for key in imported}

    def __len__(self) -> int:
        return len(self._by_id)

    def read(self, token: str) -> Signed:
        """Return what ``token``, a compact JWS, says, if one of the keys has signed it as a receipt.

        Raises:
            UnknownKey: if it names a key that is not among these.
            NotSigned: if it is anything else.
        """
        if not _COMPACT.fullmatch(token):
            raise NotSigned("The receipt is not a compact JWS.")
        try:
            extracted = jws.extract_compact(token.encode())
            header = extracted.headers()
            # Nothing is taken from the header but which of our keys it is: no other algorithm, and no key of its own.
            if header.keys() != {"alg", "kid", "typ"} or (header["alg"], header["typ"]) != (ALGORITHM, TYPE):
                raise NotSigned(f"The JWS is not a deletion's receipt signed with {ALGORITHM}.")
            key = self._by_id.get(header["kid"])
            if key is not None:
                extracted = jws.deserialize_compact(token, key, algorithms=[ALGORITHM])
        except (JoseError, ValueError, TypeError, RecursionError):
            raise NotSigned("The signature is wrong: the receipt is not what was signed.") from None
        try:
            claims = object_of(extracted.payload.decode(errors="replace"))
        except ValueError:
            raise NotSigned("The JWS says no facts.") from None
        if key is None:
            raise UnknownKey(claims)
        return Signed(claims, header["kid"])


def header_of(key: ECKey) -> dict[str, Any]:
    """Return the header of a receipt that ``key`` signs."""
    return {"alg": ALGORITHM, "kid": key.thumbprint(), "typ": TYPE}


def object_of(text: str) -> dict[str, Any]:
    """Return the JSON object that ``text`` is, each of whose members is there once.

    Raises:
        ValueError: if it is none.
    """
    try:
        members = json.loads(text, object_pairs_hook=_once_each)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(members, dict):
        raise ValueError("not an object")
    return members


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two members of one name a reader may believe the one that is not compared.
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member twice")
    return members
