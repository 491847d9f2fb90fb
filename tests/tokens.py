"""Tokens good and bad, the issuer that publishes their keys, and what verifies them."""

import asyncio
import base64
import hmac
import json
from typing import Any

from joserfc.jwk import RSAKey

from local.tokens import AUDIENCE, OPERATOR_TENANT_ID, TOOLS_AUDIENCE, Role, jwk_set, mint
from shared.configuration import Configuration
from shared.identity.signing_keys import SigningKeys
from shared.identity.tokens import Tokens
from tests.clocks import ManualClock
from tests.world import OTHER_TENANT, TENANT

ISSUER = "http://127.0.0.1:8082"
KEY = RSAKey.generate_key(2048)
OTHER_KEY = RSAKey.generate_key(2048)


class Issuer:
    """Publishes a JWK set, or is down."""

    def __init__(self) -> None:
        self.keys: Any = jwk_set(KEY, ISSUER)
        self.down = False
        self.fetches = 0

    async def fetch(self) -> Any:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.down:
            raise OSError("unreachable")
        return self.keys


def verifier(
    issuer: Issuer | None = None, clock: ManualClock | None = None, issuers: tuple[str, ...] | None = None
) -> Tokens:
    clock = clock or ManualClock()
    settings = Configuration(
        cosmos="",
        storage={},
        operator_tenant_id=OPERATOR_TENANT_ID,
        audiences=(AUDIENCE, "5d1c0bde-0000-4000-8000-000000000000"),
        tenant_settings_audiences=(TOOLS_AUDIENCE, TOOLS_AUDIENCE.rstrip("/")),
        review_auth_context="c1",
        receipt_key="receipt-keys.json",
        issuers=issuers or (f"{ISSUER}/{{tenantid}}/v2.0",),
    )
    return Tokens(settings, SigningKeys((issuer or Issuer()).fetch, clock), clock)


def token(role: Role = Role.TENANT_ADMIN, key: Any = KEY, **overrides: Any) -> str:
    return mint(key, role, issuer=ISSUER, now=ManualClock().now(), tenant=None, **overrides)


def encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).decode().rstrip("=")


def unsigned() -> str:
    _, payload, _ = token().split(".")
    header = encoded(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header}.{payload}."


def signed_with_the_public_key() -> str:
    _, payload, _ = token().split(".")
    header = encoded(json.dumps({"alg": "HS256", "typ": "JWT", "kid": KEY.thumbprint()}).encode())
    signature = hmac.digest(KEY.as_pem(private=False), f"{header}.{payload}".encode(), "sha256")
    return f"{header}.{payload}.{encoded(signature)}"


def with_header(header: Any) -> str:
    _, payload, signature = token().split(".")
    return f"{encoded(json.dumps(header).encode())}.{payload}.{signature}"


NOW = int(ManualClock().now().timestamp())
BAD_TOKENS = {
    "empty": "",
    "no JWT": "abc",
    "three dots": "a.b.c",
    "not ASCII": "é.é.é",
    "too long": "a" * 20_000,
    "unsigned": unsigned(),
    "HS256 with the public key": signed_with_the_public_key(),
    "a list for a header": with_header(["alg"]),
    "a text for a header": with_header("an alg"),
    "a critical extension": with_header({"alg": "RS256", "kid": KEY.thumbprint(), "crit": ["x"], "x": 1}),
    "a key id that is a path": token(header={"kid": "../../keys"}),
    "another key": token(key=OTHER_KEY),
    "another key under our key's id": token(key=OTHER_KEY, header={"kid": KEY.thumbprint()}),
    "no key id": token(header={"kid": None}),
    "expired": token(claims={"exp": NOW - 60}),
    "not yet valid": token(claims={"nbf": NOW + 61}),
    "never expires": token(claims={"exp": None}),
    "expires at a text": token(claims={"exp": "tomorrow"}),
    "no nbf": token(claims={"nbf": None}),
    "wrong audience": token(claims={"aud": "api://someone-else"}),
    "no audience": token(claims={"aud": None}),
    "wrong issuer": token(claims={"iss": "https://evil.example/v2.0"}),
    "issuer of another tenant": token(claims={"iss": f"{ISSUER}/{OTHER_TENANT}/v2.0"}),
    "no tid": token(claims={"tid": None}),
    "tid in capitals": token(claims={"tid": TENANT.upper(), "iss": f"{ISSUER}/{TENANT.upper()}/v2.0"}),
    "tid is a path": token(claims={"tid": "../common", "iss": f"{ISSUER}/../common/v2.0"}),
    "tid is a list": token(claims={"tid": [TENANT]}),
    "no oid": token(claims={"oid": None}),
    "no app": token(claims={"azp": None}),
    "app is a number": token(claims={"azp": 5}),
    "neither user nor app": token(claims={"scp": None}),
    "both user and app": token(claims={"idtyp": "app"}),
}
