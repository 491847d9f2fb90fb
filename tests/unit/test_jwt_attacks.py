"""Attacks on tokens: whatever a forged or doubtful one says of itself is neither believed nor looked up."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from joserfc import jws

from local.tokens import AUDIENCE, Role, jwk_set
from shared.configuration import ENTRA_ISSUERS
from shared.identity import signing_keys
from shared.problems import Unauthenticated, Unavailable
from tests.clocks import ManualClock
from tests.tokens import BAD_TOKENS, ISSUER, KEY, NOW, OTHER_KEY, Issuer, encoded, token, verifier
from tests.world import OTHER_TENANT, TENANT

ATTACKER_JWK = OTHER_KEY.as_dict(private=False)
CERTIFICATE = base64.b64encode(OTHER_KEY.as_der(private=False)).decode()
V1, V2 = f"https://sts.windows.net/{TENANT}/", f"https://login.microsoftonline.com/{TENANT}/v2.0"


def signed(payload: bytes, header: bytes | None = None, key: Any = KEY) -> str:
    """Return a token with a good signature over exactly these bytes, which no library would write."""
    head = header or json.dumps({"typ": "JWT", "alg": "RS256", "kid": KEY.thumbprint()}).encode()
    signing_input = f"{encoded(head)}.{encoded(payload)}"
    signature = jws.JWSRegistry.algorithms["RS256"].sign(signing_input.encode(), key)
    return f"{signing_input}.{encoded(signature)}"


def payload() -> bytes:
    part = token().split(".")[1]
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def repeated(name: str, first: Any) -> str:
    """Return a token that says ``first`` of ``name`` before it says the truth, which the parser would take."""
    return signed(b"{" + json.dumps(name).encode() + b":" + json.dumps(first).encode() + b"," + payload()[1:])


def header(text: str) -> str:
    return signed(payload(), text.replace("KID", KEY.thumbprint()).encode())


async def refused(bad: str, issuer: Issuer | None = None) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as problem:
        await verifier(issuer).caller(f"Bearer {bad}")
    return problem.value


async def test_what_the_attacks_begin_from_is_a_good_token() -> None:
    assert await verifier().caller(f"Bearer {signed(payload())}")


@pytest.mark.parametrize(
    "key_id",
    [
        "not-published",
        "",
        "../../../../dev/null",
        "/proc/self/environ",
        "file:///etc/passwd",
        "https://evil.example/keys",
        "x' OR '1'='1",
        "x'; DROP TABLE keys; --",
        "$(id)",
        "\x00",
        "a\r\nb",
        pytest.param(KEY.thumbprint() + "\x00", id="the right one and a zero"),
        pytest.param(KEY.thumbprint().swapcase(), id="the right one in other case"),
        pytest.param(f" {KEY.thumbprint()}", id="the right one after a space"),
        pytest.param("k" * 8000, id="a long one"),
        0,
        True,
        1.5,
        [KEY.thumbprint()],
        {"kid": KEY.thumbprint()},
    ],
)
async def test_a_key_id_is_compared_and_nothing_else(key_id: Any) -> None:
    issuer = Issuer()
    kind = json.dumps({"typ": "JWT", "alg": "RS256", "kid": key_id}).encode()
    problem = await refused(signed(payload(), kind), issuer)
    assert issuer.fetches <= 1, "invented key ids do not load the issuer"
    assert str(key_id) == "" or str(key_id) not in problem.detail


@pytest.mark.parametrize(
    "members",
    [
        {"jwk": ATTACKER_JWK},
        {"jku": "https://evil.example/jwks.json"},
        {"x5u": "https://evil.example/cert.pem"},
        {"x5c": [CERTIFICATE]},
        {"x5t": "AAAA"},
        {"jku": "http://169.254.169.254/metadata", "jwk": ATTACKER_JWK, "x5c": [CERTIFICATE]},
    ],
    ids="+".join,
)
@pytest.mark.parametrize("key_id", [KEY.thumbprint(), OTHER_KEY.thumbprint()], ids=["our kid", "their kid"])
async def test_a_key_that_a_token_brings_along_is_ignored_and_never_fetched(
    members: dict[str, Any], key_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: object) -> None:
        raise AssertionError("a token had something fetched")

    monkeypatch.setattr("socket.socket.connect", no_network)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    issuer = Issuer()
    theirs = json.dumps({"typ": "JWT", "alg": "RS256", "kid": key_id, **members}).encode()
    await refused(signed(payload(), theirs, OTHER_KEY), issuer)
    assert issuer.fetches <= 1, "our own keys, at most"


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("tid", OTHER_TENANT),
        ("tid", TENANT),
        ("exp", NOW + 10**6),
        ("nbf", 0),
        ("iss", f"{ISSUER}/{OTHER_TENANT}/v2.0"),
        ("aud", "api://other"),
        ("wids", []),
        ("roles", ["Captures.Review"]),
        ("unheard-of", 1),
    ],
)
async def test_a_claim_that_comes_twice_is_no_claim(name: str, first: Any) -> None:
    twice = repeated(name, first) if name in json.loads(payload()) else repeated_both(name)
    await refused(twice)


def repeated_both(name: str) -> str:
    return signed(b"{" + f'"{name}":1,"{name}":2,'.encode() + payload()[1:])


async def test_a_claim_spelled_with_an_escape_is_the_same_claim() -> None:
    await refused(signed(b'{"\\u0074id":"' + OTHER_TENANT.encode() + b'",' + payload()[1:]))
    await refused(signed(b'{"x":[{"a":1,"a":2}],' + payload()[1:]))


@pytest.mark.parametrize(
    "text",
    [
        '{"alg":"none","alg":"RS256","kid":"KID"}',
        '{"alg":"RS256","kid":"other","kid":"KID"}',
        '{"alg":"RS256","kid":"KID","kid":"KID"}',
        '{"alg":"RS256","kid":"KID","typ":"JWT","typ":"JWT"}',
        '{"alg":"RS256","kid":"KID","x":{"a":1,"a":1}}',
    ],
)
async def test_a_header_member_that_comes_twice_is_refused(text: str) -> None:
    await refused(header(text))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "application/jwt", None])
async def test_an_access_token_by_any_of_its_names(kind: str | None) -> None:
    assert await verifier().caller(f"Bearer {token(header={'typ': kind})}")


@pytest.mark.parametrize(
    "kind",
    ["JWE", "id+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "application/id+jwt", "", "JWT ", 1, ["JWT"], {}],
)
async def test_a_token_of_another_type_is_refused(kind: Any) -> None:
    await refused(signed(payload(), json.dumps({"typ": kind, "alg": "RS256", "kid": KEY.thumbprint()}).encode()))


async def test_a_type_of_null_is_refused() -> None:
    await refused(header('{"alg":"RS256","kid":"KID","typ":null}'))


@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS384", "RS512", "PS256", "ES256", "rs256", "", 256])
async def test_one_algorithm_is_accepted(algorithm: Any) -> None:
    kind = json.dumps({"typ": "JWT", "alg": algorithm, "kid": KEY.thumbprint()}).encode()
    await refused(signed(payload(), kind))


async def test_a_token_of_100_kb_is_not_looked_into() -> None:
    issuer = Issuer()
    assert "too long" in (await refused(token(claims={"padding": "x" * 75_000}), issuer)).detail
    assert issuer.fetches == 0


@pytest.mark.parametrize("deep", [b"[" * 9000, b'{"a":' * 2000], ids=["arrays", "objects"])
async def test_json_that_is_thousands_deep_is_refused_and_is_no_error_of_ours(deep: bytes) -> None:
    rest, with_algorithm = token().split(".", 1)[1], b'{"alg":' + deep
    await refused(f"{encoded(deep)}.{rest}")
    await refused(f"{encoded(with_algorithm)}.{rest}")
    await refused(signed(b'{"a":' + deep))


@pytest.mark.parametrize(("ahead", "accepted"), [(59, True), (60, True), (61, False), (3600, False)])
async def test_a_token_of_the_future_has_a_minute(ahead: int, accepted: bool) -> None:
    made = token(claims={"nbf": NOW + ahead, "exp": NOW + 7200})
    if accepted:
        assert await verifier().caller(f"Bearer {made}")
    else:
        await refused(made)


@pytest.mark.parametrize(("ago", "accepted"), [(0, True), (59, True), (60, False), (61, False)])
async def test_an_expired_token_has_less_than_a_minute(ago: int, accepted: bool) -> None:
    made = token(claims={"exp": NOW - ago})
    if accepted:
        assert await verifier().caller(f"Bearer {made}")
    else:
        await refused(made)


@pytest.mark.parametrize("claim", ["exp", "nbf"])
@pytest.mark.parametrize("value", ["1", "9" * 20, None, True, [NOW], {}, "NaN"])
async def test_times_are_numbers(claim: str, value: Any) -> None:
    await refused(token(claims={claim: value}) if value is not True else token(claims={claim: [True]}))


@pytest.mark.parametrize("issuer", [V1, V2])
async def test_both_forms_of_entras_issuer_pass(issuer: str) -> None:
    assert await verifier(issuers=ENTRA_ISSUERS).caller(f"Bearer {token(claims={'iss': issuer})}")


@pytest.mark.parametrize(
    "issuer",
    [
        V1.replace(TENANT, OTHER_TENANT),
        V2.replace(TENANT, OTHER_TENANT),
        V1.rstrip("/"),
        f"{V2}/",
        V2.removesuffix("/v2.0"),
        f"{V1}v2.0",
        V2.replace("https", "http"),
        V2.replace("login.microsoftonline.com", "login.microsoftonline.com.evil.example"),
        V2.replace(TENANT, TENANT.upper()),
        V2.replace(TENANT, "common"),
        V2.replace(TENANT, "{tenantid}"),
        f"{V2}#",
        [V2],
        None,
    ],
)
async def test_no_other_form_does(issuer: Any) -> None:
    with pytest.raises(Unauthenticated):
        await verifier(issuers=ENTRA_ISSUERS).caller(f"Bearer {token(claims={'iss': issuer})}")


@pytest.mark.parametrize(
    "written", [TENANT.upper(), TENANT.title(), f"{{{TENANT}}}", TENANT.replace("-", ""), f"{TENANT}\n"]
)
async def test_a_tenant_id_has_one_spelling(written: str) -> None:
    await refused(token(claims={"tid": written}))
    await refused(token(claims={"tid": written, "iss": f"{ISSUER}/{written}/v2.0"}))


@pytest.mark.parametrize("audience", [AUDIENCE.upper(), f"{AUDIENCE}/", "*", "", [], ["api://other"], {AUDIENCE: 1}])
async def test_a_token_for_another_api_is_refused(audience: Any) -> None:
    await refused(token(claims={"aud": audience}))


@pytest.mark.parametrize("bad", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_refusal_is_followed_by_no_lower_guard(bad: str) -> None:
    tokens = verifier()
    for _ in range(2):
        with pytest.raises(Unauthenticated):
            await tokens.caller(f"Bearer {bad}")
    assert await tokens.caller(f"Bearer {token()}")


async def test_a_rotated_key_works_without_a_restart_and_the_old_one_no_longer() -> None:
    issuer, clock = Issuer(), ManualClock()
    tokens = verifier(issuer, clock)
    assert await tokens.caller(f"Bearer {token()}")
    both = [*issuer.keys["keys"], *jwk_set(OTHER_KEY, ISSUER)["keys"]]
    issuer.keys = {"keys": both}
    clock.move(timedelta(seconds=signing_keys.FETCH_INTERVAL))
    for key in (KEY, OTHER_KEY):
        assert await tokens.caller(f"Bearer {token(key=key)}")
    issuer.keys = jwk_set(OTHER_KEY, ISSUER)
    clock.move(timedelta(seconds=signing_keys.FETCH_INTERVAL))
    with pytest.raises(Unauthenticated):
        await tokens.caller(f"Bearer {token(header={'kid': 'made-up'})}")  # makes it look again
    with pytest.raises(Unauthenticated):
        await tokens.caller(f"Bearer {token()}")
    assert await tokens.caller(f"Bearer {token(key=OTHER_KEY)}")


async def test_without_the_issuer_known_keys_serve_for_a_day_and_then_nobody_gets_in() -> None:
    issuer, clock = Issuer(), ManualClock()
    tokens = verifier(issuer, clock)
    later = token(Role.CAPTURE_SERVICE, claims={"exp": NOW + 3 * 86400})
    assert await tokens.caller(f"Bearer {later}")
    issuer.down = True
    clock.move(timedelta(seconds=signing_keys.TRUST_FOR))
    assert await tokens.caller(f"Bearer {later}")
    clock.move(timedelta(seconds=signing_keys.FETCH_INTERVAL + 1))
    with pytest.raises(Unavailable):
        await tokens.caller(f"Bearer {later}")
    issuer.down = False
    clock.move(timedelta(seconds=signing_keys.FETCH_INTERVAL))
    assert await tokens.caller(f"Bearer {later}")
