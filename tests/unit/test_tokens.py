"""Tokens: only those that the issuer made for us, that are valid now, and that say who is calling."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from local.tokens import OPERATOR_TENANT_ID, Role, jwk_set, mint
from shared.configuration import ENTRA_ISSUERS
from shared.identity import signing_keys
from shared.identity.callers import EVERYBODY, Who
from shared.identity.signing_keys import SigningKeys
from shared.problems import Unauthenticated, Unavailable
from tests.clocks import ManualClock
from tests.tokens import (
    BAD_TOKENS,
    ISSUER,
    KEY,
    OTHER_KEY,
    Issuer,
    token,
    verifier,
)
from tests.world import OTHER_TENANT, TENANT


async def test_each_role_is_what_its_token_says() -> None:
    tokens = verifier()
    admin = await tokens.caller(f"Bearer {token()}")
    assert admin.is_admin_of(TENANT) and not admin.is_admin_of(OTHER_TENANT)
    assert not admin.is_capture_service and not admin.is_operator
    service = await tokens.caller(f"bearer {token(Role.CAPTURE_SERVICE)}")
    assert service.is_capture_service and not service.is_operator and not service.is_admin_of(OPERATOR_TENANT_ID)
    operator = await tokens.caller(f"Bearer {token(Role.OPERATOR)}")
    assert operator.is_operator and not operator.is_capture_service and not operator.is_admin_of(TENANT)


async def test_an_app_role_that_another_tenant_assigned_counts_for_nothing() -> None:
    tokens = verifier()
    for role in (Role.CAPTURE_SERVICE, Role.OPERATOR):
        foreign = mint(KEY, role, issuer=ISSUER, now=ManualClock().now(), tenant=OTHER_TENANT)
        caller = await tokens.caller(f"Bearer {foreign}")
        assert not caller.is_capture_service and not caller.is_operator


async def test_an_app_cannot_administer_and_a_user_cannot_post_captures() -> None:
    tokens = verifier()
    wids = ["62e90394-69f5-4237-9190-012177145e10"]
    app = await tokens.caller(f"Bearer {token(claims={'scp': None, 'idtyp': 'app', 'wids': wids})}")
    assert not app.is_admin_of(TENANT)
    user = await tokens.caller(f"Bearer {token(Role.CAPTURE_SERVICE, claims={'idtyp': None, 'scp': 'x'})}")
    assert not user.is_capture_service


@pytest.mark.parametrize(
    "wids",
    [None, [], "62e90394-69f5-4237-9190-012177145e10", [1], ["88d8e3e3-8f55-4a1e-953a-9b9898b8876b"], {"a": 1}],
)
async def test_a_user_without_one_of_the_directory_roles_is_no_admin(wids: Any) -> None:
    assert not (await verifier().caller(f"Bearer {token(claims={'wids': wids})}")).is_admin_of(TENANT)


async def test_entras_own_two_forms_of_issuer_are_for_the_tokens_tenant_only() -> None:
    tokens = verifier(issuers=ENTRA_ISSUERS)
    for issuer in (f"https://login.microsoftonline.com/{TENANT}/v2.0", f"https://sts.windows.net/{TENANT}/"):
        assert await tokens.caller(f"Bearer {token(claims={'iss': issuer})}")
    for issuer in (f"https://login.microsoftonline.com/{OTHER_TENANT}/v2.0", ENTRA_ISSUERS[0], f"{ISSUER}/{TENANT}"):
        with pytest.raises(Unauthenticated):
            await tokens.caller(f"Bearer {token(claims={'iss': issuer})}")


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_token_that_is_not_known_to_be_right_is_refused(bad: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        await verifier().caller(f"Bearer {bad}")
    assert not bad or bad not in refused.value.detail


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", f"Token {token()}", token()])
async def test_without_a_bearer_token_nobody_calls(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        await verifier().caller(header)


async def test_a_minute_of_skew_is_forgiven_and_time_is_the_injected_clocks() -> None:
    clock = ManualClock()
    tokens = verifier(clock=clock)
    good = token()
    clock.move(timedelta(hours=1, seconds=59))
    assert await tokens.caller(f"Bearer {good}")
    clock.move(timedelta(seconds=1))
    with pytest.raises(Unauthenticated):
        await tokens.caller(f"Bearer {good}")
    clock.set(ManualClock().now() - timedelta(seconds=60))
    assert await tokens.caller(f"Bearer {good}")


async def test_keys_are_fetched_once_for_many_and_again_for_an_unknown_id_but_not_at_will() -> None:
    issuer, clock = Issuer(), ManualClock()
    tokens = verifier(issuer, clock)
    await asyncio.gather(*(tokens.caller(f"Bearer {token()}") for _ in range(10)))
    assert issuer.fetches == 1
    issuer.keys = jwk_set(OTHER_KEY, ISSUER)
    clock.move(timedelta(seconds=signing_keys.FETCH_INTERVAL))
    assert await tokens.caller(f"Bearer {token(key=OTHER_KEY)}"), "a rotated key works without a restart"
    for _ in range(5):
        with pytest.raises(Unauthenticated):
            await tokens.caller(f"Bearer {token()}")
    assert issuer.fetches == 2


async def test_a_key_that_is_published_for_one_issuer_speaks_for_no_other() -> None:
    issuer = Issuer()
    [key] = issuer.keys["keys"]
    for published, accepted in (
        (f"{ISSUER}/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0", False),
        (f"{ISSUER}/{TENANT}/v2.0", True),
        (f"{ISSUER}/{{tenantid}}/v2.0", True),
    ):
        issuer.keys = {"keys": [{**key, "issuer": published}]}
        if accepted:
            assert await verifier(issuer).caller(f"Bearer {token()}")
        else:
            with pytest.raises(Unauthenticated):
                await verifier(issuer).caller(f"Bearer {token()}")


async def test_keys_of_other_kinds_are_passed_over() -> None:
    issuer = Issuer()
    others = [{"kty": "EC", "crv": "P-999", "kid": "a"}, {"kty": "RSA", "use": "enc", "kid": "b"}, {"kty": "new"}]
    issuer.keys = {"keys": [*others, *issuer.keys["keys"]]}
    assert await verifier(issuer).caller(f"Bearer {token()}")


async def test_an_issuer_that_hangs_keeps_nobody_waiting_whose_key_is_known() -> None:
    clock, hanging = ManualClock(), asyncio.Event()
    hanging.set()

    async def fetch() -> Any:
        await hanging.wait()
        return jwk_set(KEY, ISSUER)

    keys = SigningKeys(fetch, clock)
    await keys.with_id(KEY.thumbprint())
    hanging.clear()
    clock.move(timedelta(seconds=signing_keys.RENEW_AFTER + 1))
    for _ in range(2):
        assert await keys.with_id(KEY.thumbprint())
    await asyncio.sleep(0)
    hanging.set()
    await asyncio.sleep(0.01)
    clock.move(timedelta(seconds=signing_keys.RENEW_AFTER))
    assert keys._age() == signing_keys.RENEW_AFTER, "renewed behind their backs"


@pytest.mark.parametrize("broken", [{}, {"keys": [{"kty": "RSA"}]}, [], "text", None])
async def test_an_issuer_that_is_down_or_broken_lets_in_nobody_and_recovers(broken: Any) -> None:
    issuer, clock = Issuer(), ManualClock()
    good_keys, issuer.keys = issuer.keys, broken
    tokens = verifier(issuer, clock)
    with pytest.raises(Unavailable):
        await tokens.caller(f"Bearer {token()}")
    issuer.keys = good_keys
    clock.move(timedelta(seconds=signing_keys.FIRST_FETCH_INTERVAL))
    assert await tokens.caller(f"Bearer {token()}")


@pytest.mark.parametrize("pass_by", [ManualClock.move, ManualClock.move_wall])
async def test_known_keys_are_trusted_for_a_day_without_the_issuer_and_then_no_longer(
    pass_by: Callable[[ManualClock, timedelta], None],
) -> None:
    issuer, clock = Issuer(), ManualClock()
    keys = SigningKeys(issuer.fetch, clock)
    await keys.with_id(KEY.thumbprint())
    issuer.down = True
    pass_by(clock, timedelta(seconds=signing_keys.TRUST_FOR))
    assert await keys.with_id(KEY.thumbprint())
    pass_by(clock, timedelta(seconds=1))
    with pytest.raises(Unavailable):
        await keys.with_id(KEY.thumbprint())
    issuer.down = False
    pass_by(clock, timedelta(seconds=signing_keys.FETCH_INTERVAL))
    assert await keys.with_id(KEY.thumbprint()), "as soon as the issuer is there"


async def test_it_takes_one_of_those_who_may() -> None:
    admin = await verifier().caller(f"Bearer {token()}")
    assert admin.is_one_of((Who.OPERATOR, Who.TENANT_ADMIN), TENANT)
    assert not admin.is_one_of((Who.OPERATOR, Who.TENANT_ADMIN), OTHER_TENANT)
    assert not admin.is_one_of((Who.TENANT_ADMIN,), None)
    assert not admin.is_one_of(set(Who) - {Who.TENANT_ADMIN}, TENANT)
    assert not admin.is_one_of(EVERYBODY, TENANT)


def lasting(key: Any = KEY, **claims: Any) -> str:
    """Return a token that is valid for two days."""
    return token(key=key, claims={"exp": int((ManualClock().now() + timedelta(days=2)).timestamp()), **claims})


async def test_a_key_that_was_withdrawn_vouches_no_longer_for_a_token_that_was_seen() -> None:
    issuer, clock = Issuer(), ManualClock()
    tokens = verifier(issuer, clock)
    seen = f"Bearer {lasting()}"
    assert await tokens.caller(seen) == await tokens.caller(seen)
    issuer.keys = jwk_set(OTHER_KEY, ISSUER)
    clock.move(timedelta(days=1, hours=1))
    with pytest.raises(Unauthenticated):
        await tokens.caller(seen)
    assert await tokens.caller(f"Bearer {lasting(OTHER_KEY)}")


async def test_a_token_that_was_seen_is_checked_again_for_all_but_its_signature() -> None:
    clock = ManualClock()
    tokens = verifier(clock=clock)
    seen = f"Bearer {token()}"
    assert await tokens.caller(seen)
    clock.move(timedelta(hours=1, minutes=2))
    with pytest.raises(Unauthenticated):
        await tokens.caller(seen)


async def test_a_token_that_was_good_a_moment_ago_is_still_for_one_audience_alone_and_ends_in_its_second() -> None:
    clock = ManualClock()
    tokens = verifier(clock=clock)
    seen = f"Bearer {token()}"
    clock.move(timedelta(hours=1, seconds=59))  # what a minute of skew leaves of an hour
    for _ in range(2):
        assert await tokens.caller(seen)
        with pytest.raises(Unauthenticated):
            await tokens.caller(seen, for_admin_tools=True)
    clock.move(timedelta(seconds=2))
    with pytest.raises(Unauthenticated):
        await tokens.caller(seen)


async def test_what_resembles_a_token_that_was_seen_is_not_taken_for_it() -> None:
    tokens = verifier()
    seen = token()
    assert await tokens.caller(f"Bearer {seen}")
    header, payload, signature = seen.split(".")
    other = token(Role.OPERATOR).split(".")[1]
    changed = ("B" if signature[0] == "A" else "A") + signature[1:]
    for forged in (f"{header}.{other}.{signature}", f"{header}.{payload}.", f"{header}.{payload}.{changed}"):
        with pytest.raises(Unauthenticated):
            await tokens.caller(f"Bearer {forged}")


async def test_the_tokens_that_were_seen_take_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.identity.tokens._SIGNED_MAX", 5)
    tokens = verifier()
    for n in range(20):
        assert await tokens.caller(f"Bearer {lasting(uti=str(n))}")
    assert len(tokens._signed) == 5
