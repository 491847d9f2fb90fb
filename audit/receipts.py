"""Checking a receipt offline: is it signed by one of the keys, and is what is shown beside it what was signed (P6)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from shared.model.deletion import Receipt
from shared.stores.receipt_keys import ALGORITHM, TYPE

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_SAID_TWICE = {"containersDeleted": "containersDeleted", "purgedAt": "firstLookAt"}
"""What a deletion says of itself too, and by what name it was signed."""

_OF_RECEIPT = {str(field.alias) for field in Receipt.model_fields.values()}


class ReceiptError(Exception):
    """The receipt proves nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt whose signature is good.

    Attributes:
        claims: what was signed.
        key_id: the thumbprint of the key that signed it.
        compared: whether a deletion was shown beside it, and says the same.
    """

    claims: Mapping[str, Any]
    key_id: str
    compared: bool

    def table(self) -> str:
        """Return what was signed, a line for each fact, and what was checked."""
        width = max(map(len, self.claims), default=0)
        facts = [f"  {name:{width}}  {_text(value)}" for name, value in self.claims.items()]
        lines = [*facts, f"The receipt is genuine: signed by key {self.key_id}."]
        if self.compared:
            lines.append("The deletion shows each of these facts as it was signed; nothing else in it is signed.")
        return "\n".join(lines)


def read_keys(file: Path) -> Sequence[ECKey]:
    """Return the EC P-256 keys of a JWK Set, of private ones the public half.

    Raises:
        ReceiptError: if the file cannot be read, or holds no such key.
    """
    members = _parsed(_content(file), f"{file} is not a JWK Set.")
    try:
        ours = [key for key in members["keys"] if (key["kty"], key["crv"]) == ("EC", "P-256")]
        keys = [ECKey.import_key({name: key[name] for name in ("kty", "crv", "x", "y")}) for key in ours]
    except (JoseError, KeyError, TypeError, ValueError):
        raise ReceiptError(f"{file} is not a JWK Set of EC P-256 keys.") from None
    if not keys:
        raise ReceiptError(f"{file} holds no EC P-256 key.")
    return keys


def read_receipt(file: Path, keys: Sequence[ECKey]) -> SignedReceipt:
    """Return the receipt in a file, which holds a deletion as the API answers it, or a compact JWS alone.

    Raises:
        ReceiptError: if the file cannot be read, if none of ``keys`` has signed the receipt, or if it was signed for
            other facts than the deletion shows.
    """
    text = _content(file).strip()
    if not text.startswith("{"):
        return _verified(text, keys)
    deletion = _parsed(text, f"{file} is not a deletion's JSON.")
    receipt = deletion.get("receipt")
    if not isinstance(receipt, dict):
        raise ReceiptError("The file is a deletion without a receipt, or none at all.")
    if not receipt.get("jws") or not isinstance(receipt["jws"], str):
        raise ReceiptError("The receipt is not signed.")
    signed = _verified(receipt["jws"], keys, compared=True)
    _compare(signed.claims, deletion, receipt)
    return signed


def _verified(token: str, keys: Sequence[ECKey], *, compared: bool = False) -> SignedReceipt:
    if not _COMPACT.fullmatch(token):
        raise ReceiptError("The receipt is not a compact JWS.")
    try:
        header = jws.extract_compact(token.encode()).headers()
        # Nothing is taken from the header but which of our keys it is: neither another algorithm nor a key of its own.
        if header.keys() != {"alg", "kid", "typ"} or (header["alg"], header["typ"]) != (ALGORITHM, TYPE):
            raise ReceiptError(f"The JWS is not a deletion's receipt signed with {ALGORITHM}.")
        key = next((key for key in keys if key.thumbprint() == header["kid"]), None)
        if key is None:
            raise ReceiptError("The receipt is signed by a key that is not among these keys.")
        payload = jws.deserialize_compact(token, key, algorithms=[ALGORITHM]).payload
    except (JoseError, ValueError, TypeError, RecursionError):
        raise ReceiptError("The signature is wrong: the receipt is not what was signed.") from None
    return SignedReceipt(
        _parsed(payload.decode(errors="replace"), "The JWS says no facts."), key.thumbprint(), compared
    )


def _compare(claims: Mapping[str, Any], deletion: Mapping[str, Any], receipt: Mapping[str, Any]) -> None:
    for name, signed in claims.items():
        shown = receipt if name in _OF_RECEIPT else deletion
        # As JSON, because to Python true is 1 and 1 is 1.0.
        if name not in shown or json.dumps(shown[name], sort_keys=True) != json.dumps(signed, sort_keys=True):
            raise ReceiptError(f"The deletion does not show the {name} that was signed.")
    if receipt.keys() - (claims.keys() & _OF_RECEIPT) - {"jws"}:
        raise ReceiptError("The receipt shows more than was signed.")
    for name, signed_as in _SAID_TWICE.items():
        if name in deletion and deletion[name] != claims.get(signed_as):
            raise ReceiptError(f"The deletion shows another {name} than was signed.")


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ReceiptError(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'not a text'}).") from None


def _parsed(text: str, otherwise: str) -> dict[str, Any]:
    try:
        members = json.loads(text, object_pairs_hook=_once_each)
    except (ValueError, RecursionError):
        raise ReceiptError(otherwise) from None
    if not isinstance(members, dict):
        raise ReceiptError(otherwise)
    return members


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two members of one name a reader may believe the one that is not compared.
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member twice")
    return members


def _text(value: Any) -> str:
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value)
