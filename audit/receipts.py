"""Checking a receipt offline: is it signed by one of the keys, and is what is shown beside it what was signed (P6)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.model.deletion import Receipt
from shared.model.signatures import NotSigned, ReceiptKeys, object_of

_SAID_TWICE = {"containersDeleted": "containersDeleted", "purgedAt": "firstLookAt"}
"""What a deletion says of itself too, and by what name it was signed; receipts of today say nothing of containers."""

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


def read_keys(file: Path) -> ReceiptKeys:
    """Return the EC P-256 keys of a JWK Set, of private ones the public half.

    Raises:
        ReceiptError: if the file cannot be read, or holds no such key.
    """
    members = _parsed(_content(file), f"{file} is not a JWK Set.")
    try:
        keys = ReceiptKeys(members["keys"])
    except (KeyError, TypeError, ValueError):
        raise ReceiptError(f"{file} is not a JWK Set of EC P-256 keys.") from None
    if not keys:
        raise ReceiptError(f"{file} holds no EC P-256 key.")
    return keys


def read_receipt(file: Path, keys: ReceiptKeys) -> SignedReceipt:
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


def _verified(token: str, keys: ReceiptKeys, *, compared: bool = False) -> SignedReceipt:
    try:
        signed = keys.read(token)
    except NotSigned as error:
        raise ReceiptError(str(error)) from None
    return SignedReceipt(signed.claims, signed.key_id, compared)


def _compare(claims: Mapping[str, Any], deletion: Mapping[str, Any], receipt: Mapping[str, Any]) -> None:
    for name, signed in claims.items():
        shown = receipt if name in _OF_RECEIPT else deletion
        # As JSON, because to Python true is 1 and 1 is 1.0.
        if name not in shown or json.dumps(shown[name], sort_keys=True) != json.dumps(signed, sort_keys=True):
            raise ReceiptError(f"The deletion does not show the {name} that was signed.")
    if receipt.keys() - (claims.keys() & _OF_RECEIPT) - {"jws"}:
        raise ReceiptError("The receipt shows more than was signed.")
    for name, signed_as in _SAID_TWICE.items():
        if name in deletion and signed_as in claims and deletion[name] != claims[signed_as]:
            raise ReceiptError(f"The deletion shows another {name} than was signed.")


def _content(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ReceiptError(f"{file} cannot be read ({getattr(error, 'strerror', None) or 'not a text'}).") from None


def _parsed(text: str, otherwise: str) -> dict[str, Any]:
    try:
        return object_of(text)
    except ValueError:
        raise ReceiptError(otherwise) from None


def _text(value: Any) -> str:
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value)
