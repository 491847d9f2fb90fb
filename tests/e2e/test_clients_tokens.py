"""What a client meets that brings a token in its own way, or a wrong one, or none."""

import asyncio
import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jws
from joserfc.jwk import RSAKey

from local.client import Answer, Client
from local.stack import Stack
from local.tokens import SAMPLE_TENANT_ID, Role, mint
from shared.identity import signing_keys

pytestmark = pytest.mark.asyncio(loop_scope="session")


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


class Bearer:
    """Asks for a setting with one token or another."""

    def __init__(self, client: Client, stack: Stack) -> None:
        self.client, self.stack = client, stack

    async def mint(self, *, key: RSAKey | None = None, later: timedelta = timedelta(), **more: Any) -> str:
        now = await self.client.now() + later
        return mint(key or self.stack.issuer.key, Role.OPERATOR, issuer=self.stack.issuer.url, now=now, **more)

    async def with_header(self, **members: Any) -> str:
        """Return a good token whose header says more than any library would write."""
        key = self.stack.issuer.key
        head = {"typ": "JWT", "alg": "RS256", "kid": key.thumbprint(), **members}
        signing_input = f"{encoded(json.dumps(head).encode())}.{(await self.mint()).split('.')[1]}"
        signature = jws.JWSRegistry.algorithms["RS256"].sign(signing_input.encode(), key)
        return f"{signing_input}.{encoded(signature)}"

    async def ask(self, authorization: str | None) -> Answer:
        headers = {} if authorization is None else {"Authorization": authorization}
        return await self.client.call("GET", f"tenants/{SAMPLE_TENANT_ID}/data-sharing", headers=headers)


@pytest.fixture
def bearer(either: Client, stack: Stack) -> Bearer:
    return Bearer(either, stack)


@pytest.mark.parametrize(
    "header",
    [
        {"x-gateway": "7", "nonce": "abc", "x5t": "abc"},
        {"a": "x" * 2000},
        {"typ": "application/at+jwt"},
        {"typ": "Application/AT+JWT"},
        {"typ": "application/jwt"},
    ],
    ids=lambda header: next(iter(header.items()))[0] + str(next(iter(header.values())))[:20],
)
async def test_a_header_that_says_more_or_says_it_in_full_is_fine(bearer: Bearer, header: dict[str, Any]) -> None:
    assert (await bearer.ask(f"Bearer {await bearer.with_header(**header)}")).status == 200


async def test_an_extension_that_is_critical_is_refused(bearer: Bearer) -> None:
    answer = await bearer.ask(f"Bearer {await bearer.with_header(crit=['x'], x=1)}")
    assert (answer.status, "extension" in answer.body["detail"]) == (401, True)


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER    ", "  Bearer  "])
async def test_spaces_and_letter_case_around_the_scheme_do_not_matter(bearer: Bearer, scheme: str) -> None:
    assert (await bearer.ask(scheme + await bearer.mint())).status == 200


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Basic dTpw", "Bearer   "])
async def test_without_a_token_the_challenge_names_no_error(bearer: Bearer, authorization: str | None) -> None:
    answer = await bearer.ask(authorization)
    assert (answer.status, answer.problem) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer realm="copilot-data-sharing"'


async def test_what_is_wrong_with_a_token_is_told(bearer: Bearer) -> None:
    ours = {"kid": bearer.stack.issuer.key.thumbprint()}
    told = {
        "expired": await bearer.mint(later=timedelta(hours=-2)),
        "not valid yet": await bearer.mint(later=timedelta(hours=2)),
        "audience": await bearer.mint(claims={"aud": "api://someone-else"}),
        "issuer": await bearer.mint(claims={"iss": "https://evil.example/v2.0"}),
        "has no exp": await bearer.mint(claims={"exp": None}),
        "signature": await bearer.mint(key=RSAKey.generate_key(2048), header=ours),
        "unknown key": await bearer.mint(key=RSAKey.generate_key(2048)),
    }
    for words, token in told.items():
        answer = await bearer.ask(f"Bearer {token}")
        assert (answer.status, answer.problem) == (401, "unauthenticated")
        assert words in answer.body["detail"], answer.body["detail"]
        challenge = answer.headers["www-authenticate"]
        assert f'error="invalid_token", error_description="{answer.body["detail"]}"' in challenge
    # Why a signature is bad is told nobody, and nothing else of a token whose signature is.
    forged_and_expired = told["signature"].rpartition(".")[0] + "." + told["expired"].rpartition(".")[2]
    answer = await bearer.ask(f"Bearer {forged_and_expired}")
    assert answer.body["detail"] == "The token's signature is wrong."


async def test_a_key_that_cannot_be_looked_up_now_is_no_final_no(
    bearer: Bearer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The issuer may have begun to sign with a new key just before it could not be reached any more."""
    monkeypatch.setattr(signing_keys, "FETCH_INTERVAL", 0.0)  # of the one that runs in this process
    known = f"Bearer {await bearer.mint()}"
    new = f"Bearer {await bearer.mint(key=RSAKey.generate_key(2048))}"
    assert (await bearer.ask(known)).status == 200
    assert (await bearer.ask(new)).status == 401
    await bearer.stack.issuer.stop()
    try:
        for _ in range(70):  # until the keys are fetched again: that is tried twice a minute
            answer = await bearer.ask(new)
            if answer.status != 401:
                break
            await asyncio.sleep(0.5)
        assert (answer.status, answer.problem) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await bearer.ask(known)).status == 200, "who is known is let in"
    finally:
        await bearer.stack.issuer.start()
