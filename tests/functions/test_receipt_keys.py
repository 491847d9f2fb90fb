"""``GET /api/receipt-keys``: for anybody, public members only, and an honest 503."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from shared import bootstrap
from shared.ports import StoreUnavailable
from tests.functions.api import SECRET, Api
from tests.world import SIGNER

Keys = list[dict[str, Any]]


@pytest.fixture
def sign_with(api: Api, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Awaitable[Keys]]], None]:
    class Signer:
        def __init__(self, public_keys: Callable[[], Awaitable[Keys]]) -> None:
            self.public_keys = public_keys

    def use(public_keys: Callable[[], Awaitable[Keys]]) -> None:
        signer: Any = Signer(public_keys)
        monkeypatch.setattr(bootstrap._Process, "services", replace(bootstrap.services(), signer=signer))

    return use


async def test_the_keys_are_answered_to_anybody_as_a_jwk_set(api: Api) -> None:
    status, body, _ = await api.call("receipt_keys", role=None)
    assert (status, body) == (200, {"keys": list(await SIGNER.public_keys())})
    (key,) = body["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}


async def test_a_private_member_never_leaves(api: Api, sign_with: Any) -> None:
    async def everything() -> Keys:
        return [{**key, "d": SECRET, "key_ops": [SECRET]} for key in await SIGNER.public_keys()]

    sign_with(everything)
    status, body, _ = await api.call("receipt_keys", role=None)
    assert (status, body) == (200, {"keys": list(await SIGNER.public_keys())})


async def test_a_vault_that_cannot_be_reached_is_a_503(api: Api, sign_with: Any) -> None:
    async def fail() -> Keys:
        raise StoreUnavailable("vault-timeout")

    sign_with(fail)
    status, problem, headers = await api.call("receipt_keys", role=None)
    assert (status, problem) == (503, "unavailable") and headers["Retry-After"]
