"""P6: a receipt is read only if one of the keys has signed it as one; whoever checks it is told what is wrong."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import ECKey

from shared.model.signatures import NotSigned, ReceiptKeys, UnknownKey, header_of, object_of

KEY, OTHER = ECKey.generate_key("P-256"), ECKey.generate_key("P-256")
FACTS = '{"sequence": 2}'
NO_RECEIPT = "The JWS is not a deletion's receipt signed with ES256."


def signed(payload: str | bytes = FACTS, key: ECKey = KEY, **header: Any) -> str:
    return jws.serialize_compact(header_of(key) | header, payload, key)


def keys() -> ReceiptKeys:
    return ReceiptKeys([KEY.as_dict(private=True), {"kty": "oct", "crv": "P-256"}, {"kty": "EC", "crv": "P-384"}])


def test_what_a_key_has_signed_is_read_and_says_by_which_key() -> None:
    read = keys().read(signed())
    assert (read.claims, read.key_id) == ({"sequence": 2}, KEY.thumbprint())
    assert len(keys()) == 1, "keys of other kinds are none of ours"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: "", "The receipt is not a compact JWS."),
        (lambda: f"{signed()}.x", "The receipt is not a compact JWS."),
        (lambda: signed(typ="JWT"), NO_RECEIPT),
        (lambda: signed(cty="json"), NO_RECEIPT),
        (lambda: signed(key=OTHER), "The receipt is signed by a key that is not among these keys."),
        (
            lambda: signed(key=OTHER, kid=KEY.thumbprint()),
            "The signature is wrong: the receipt is not what was signed.",
        ),
        (lambda: "x.e30.e30", "The signature is wrong: the receipt is not what was signed."),
        (lambda: signed("[]"), "The JWS says no facts."),
        (lambda: signed(b"\xff"), "The JWS says no facts."),
        (lambda: signed('{"sequence": 2, "sequence": 3}'), "The JWS says no facts."),
    ],
)
def test_what_is_no_receipt_is_refused_in_these_words(make: Callable[[], str], told: str) -> None:
    with pytest.raises(NotSigned) as refused:
        keys().read(make())
    assert str(refused.value) == told
    assert isinstance(refused.value, UnknownKey) == ("not among" in told), "only then is it not known to be false"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("[" * 200_000, "nested too deeply", id="nested"),
        ("[1]", "not an object"),
        ('{"a": 1, "a": 1}', "a member twice"),
        ('{"a": [{"b": 1, "b": 2}]}', "a member twice"),
    ],
)
def test_facts_are_an_object_with_each_member_once(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}$"):
        object_of(text)
    assert object_of(json.dumps({"a": {"b": 1}})) == {"a": {"b": 1}}


@pytest.mark.parametrize("key", [{}, {"kty": "EC"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, 5])
def test_keys_that_are_no_jwks_are_refused(key: Any) -> None:
    with pytest.raises(ValueError, match=r"^not JWKs$"):
        ReceiptKeys([key])
