"""Persons in captures (decision D18): pseudonyms in the place of their ids, and nothing else that names them."""

import hashlib
import hmac
from enum import Enum, auto
from functools import lru_cache
from typing import Any

PSEUDONYM_BYTES = 16

IDS = ("userid", "useroid", "userhash", "enduserpseudoid", "aadobjectid")
"""Endings of names of what tells one person from another: kept as a pseudonym."""

DROPPED = (
    *("username", "userfullname", "displayname", "userprincipalname", "upn"),
    *("email", "emailaddress", "phonenumber"),
    *("clientaddress", "clientport", "clientip", "sourceaddress", "sourceport", "ipaddress"),
    *("peerip", "peeraddr", "peeraddress", "useragent", "useragentoriginal"),
)
"""Endings of names of what names a person, or says from where somebody called: not kept."""

DROPPED_BEGINNINGS = ("process.", "host.", "geo.", "device.", "os.")
"""Beginnings of names of what speaks of the machine that sent, or of its place: nobody's business."""


class _Kind(Enum):
    KEPT = auto()
    PSEUDONYM = auto()
    DROPPED = auto()


def pseudonym(key: str, person: str) -> str:
    """Return what stands for a person in an enrollment's captures: HMAC-SHA-256, 128 bits, in hexadecimal digits.

    Args:
        key: the enrollment's; another gives the same person another pseudonym, and nothing leads back without it.
        person: the id as it was sent.
    """
    return hmac.digest(key.encode(), person.encode(), hashlib.sha256)[:PSEUDONYM_BYTES].hex()


def without_persons(value: Any, key: str | None) -> Any:
    """Return a JSON value with pseudonyms for ids of persons, and without the members that name them otherwise.

    Args:
        value: there may be such members at any depth of it.
        key: the enrollment's; without one there are no pseudonyms, and ids are dropped like names.
    """
    if isinstance(value, dict):
        kept = {}
        for name, member in value.items():
            kind = _kind(name)
            if kind is _Kind.KEPT:
                kept[name] = without_persons(member, key)
            elif kind is _Kind.PSEUDONYM and key is not None and isinstance(member, str | int):
                kept[name] = pseudonym(key, str(member))
        return kept
    if isinstance(value, list):
        return [without_persons(each, key) for each in value]
    return value


@lru_cache(4096)
def _kind(name: str) -> _Kind:
    """Tell what becomes of a member, by its name alone: user.id is userId is user_id."""
    lower = name.lower()
    plain = lower.replace(".", "").replace("_", "").replace("-", "")
    if lower.startswith(DROPPED_BEGINNINGS) or plain.endswith(DROPPED):
        return _Kind.DROPPED
    return _Kind.PSEUDONYM if plain.endswith(IDS) else _Kind.KEPT
