"""The local issuer's tokens, checked with its published key as the service checks Entra's."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import aiohttp
import pytest
from joserfc import jws, jwt
from joserfc.errors import BadSignatureError
from joserfc.jwk import KeySet, OctKey, RSAKey

from local.issuer import KEY_FILE, Issuer, load_key
from local.ports import free_ports
from local.tokens import AUDIENCE, OPERATOR_TENANT_ID, SAMPLE_TENANT_ID, Role, jwk_set, mint

NOW = datetime(2031, 5, 6, 7, 8, 9, 500_000, tzinfo=UTC)
KEY = RSAKey.generate_key(2048)
TENANT = "00000000-1111-2222-3333-444444444444"


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    issuer = Issuer(KEY, free_ports(1)[0], lambda: NOW)
    await issuer.start()
    yield issuer
    await issuer.stop()


async def get(url: str) -> Any:
    async with aiohttp.ClientSession(raise_for_status=True) as session, session.get(url) as response:
        return await response.json()


def claims_of(token: str, key: RSAKey = KEY) -> dict[str, Any]:
    keys = KeySet.import_key_set(jwk_set(key, "http://127.0.0.1:1"))  # type: ignore[arg-type]
    return jwt.decode(token, keys, algorithms=["RS256"]).claims


@pytest.mark.parametrize("role", list(Role))
async def test_every_role_gets_a_token_that_the_published_key_verifies(issuer: Issuer, role: Role) -> None:
    token = issuer.token(role, now=NOW)
    published = await get(f"{issuer.url}/discovery/v2.0/keys")
    verified = jwt.decode(token, KeySet.import_key_set(published), algorithms=["RS256"])
    assert verified.header == {"typ": "JWT", "alg": "RS256", "kid": published["keys"][0]["kid"]}

    claims = verified.claims
    tenant = SAMPLE_TENANT_ID if role is Role.TENANT_ADMIN else OPERATOR_TENANT_ID
    issued_at = int(NOW.timestamp())
    assert claims["iss"] == f"{issuer.url}/{tenant}/v2.0"
    assert (claims["aud"], claims["tid"], claims["ver"]) == (AUDIENCE, tenant, "2.0")
    assert (claims["iat"], claims["nbf"], claims["exp"]) == (issued_at, issued_at, issued_at + 3600)
    assert UUID(claims["oid"]) and UUID(claims["azp"]) and claims["sub"] and claims["uti"]
    assert not {"name", "preferred_username", "email", "upn"} & set(claims)


def test_what_each_role_carries() -> None:
    carried = ("idtyp", "scp", "roles", "wids", "acrs")
    claims = {role: claims_of(mint(KEY, role, issuer="http://127.0.0.1:1", now=NOW)) for role in Role}
    assert {role: {name: of[name] for name in carried if name in of} for role, of in claims.items()} == {
        Role.TENANT_ADMIN: {"scp": "DataSharing.Manage", "wids": ["11648597-926c-4cf3-9c36-bcebb0ba8dcc"]},
        Role.CAPTURE_SERVICE: {"idtyp": "app", "roles": ["Captures.Write"]},
        Role.OPERATOR: {"scp": "access_as_user", "roles": ["Operations.Read"]},
        Role.REVIEWER: {"scp": "access_as_user", "roles": ["Captures.Review"], "acrs": ["c1"]},
        Role.APPROVER: {"scp": "access_as_user", "roles": ["Captures.Approve"]},
    }
    assert len({of["oid"] for of in claims.values()}) == len(Role)


async def test_the_configuration_of_a_tenant_names_its_issuer_and_the_keys(issuer: Issuer) -> None:
    configuration = await get(f"{issuer.url}/{TENANT}/v2.0/.well-known/openid-configuration")
    claims = claims_of(issuer.token(Role.TENANT_ADMIN, tenant=TENANT, now=NOW))
    assert claims["iss"] == configuration["issuer"] == f"{issuer.url}/{TENANT}/v2.0"
    assert configuration["jwks_uri"] == issuer.jwks_uri
    assert urlsplit(issuer.url).hostname == "127.0.0.1"


@pytest.mark.parametrize("tenant", [TENANT, "organizations"])
async def test_the_configuration_has_all_that_a_page_needs_to_sign_in(issuer: Issuer, tenant: str) -> None:
    configuration = await get(f"{issuer.url}/{tenant}/v2.0/.well-known/openid-configuration")
    for name, path in (("authorization", "authorize"), ("token", "token"), ("end_session", "logout")):
        assert configuration[f"{name}_endpoint"] == f"{issuer.url}/{tenant}/oauth2/v2.0/{path}"
    assert configuration["response_types_supported"] == ["code"]
    assert configuration["code_challenge_methods_supported"] == ["S256"]
    assert configuration["token_endpoint_auth_methods_supported"] == ["none"]


async def test_the_configuration_of_all_tenants_leaves_the_tenant_open_as_entras_does(issuer: Issuer) -> None:
    configuration = await get(f"{issuer.url}/organizations/v2.0/.well-known/openid-configuration")
    assert configuration["issuer"] == f"{issuer.url}/{{tenantid}}/v2.0"


async def test_any_page_may_read_the_configuration_and_the_keys(issuer: Issuer) -> None:
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        for url in (f"{issuer.url}/organizations/v2.0/.well-known/openid-configuration", issuer.jwks_uri):
            async with session.get(url, headers={"Origin": "http://127.0.0.1:1"}) as answer:
                assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_only_the_public_half_is_published(issuer: Issuer) -> None:
    (key,) = (await get(issuer.jwks_uri))["keys"]
    assert set(key) == {"kty", "use", "kid", "n", "e", "issuer"}
    assert key["issuer"] == f"{issuer.url}/{{tenantid}}/v2.0"


def test_an_admins_object_id_and_tenant_go_together() -> None:
    here, there = (
        claims_of(mint(KEY, Role.TENANT_ADMIN, issuer="http://127.0.0.1:1", now=NOW, tenant=tenant))
        for tenant in (TENANT, SAMPLE_TENANT_ID)
    )
    assert (here["tid"], there["tid"]) == (TENANT, SAMPLE_TENANT_ID)
    assert here["oid"] != there["oid"]


def test_a_tenant_that_is_no_guid_is_refused() -> None:
    with pytest.raises(ValueError, match="UUID"):
        mint(KEY, Role.TENANT_ADMIN, issuer="http://127.0.0.1:1", now=NOW, tenant="contoso")


def test_claims_and_header_can_be_broken_one_by_one() -> None:
    token = mint(
        KEY,
        Role.OPERATOR,
        issuer="http://127.0.0.1:1",
        now=NOW,
        claims={"aud": "api://other", "roles": None, "exp": int((NOW - timedelta(hours=2)).timestamp())},
        header={"alg": "PS256", "kid": None},
    )
    broken = jwt.decode(token, KEY, algorithms=["PS256"])
    assert "kid" not in broken.header
    assert (broken.claims["aud"], broken.claims["exp"]) == ("api://other", int(NOW.timestamp()) - 7200)
    assert "roles" not in broken.claims and broken.claims["scp"] == "access_as_user"


def test_a_token_can_be_signed_with_a_key_that_is_not_the_issuers() -> None:
    kid = KEY.thumbprint()
    other = RSAKey.generate_key(2048)
    with pytest.raises(BadSignatureError):
        claims_of(mint(other, Role.OPERATOR, issuer="http://127.0.0.1:1", now=NOW, header={"kid": kid}))
    secret = OctKey.generate_key(256)
    symmetric = mint(secret, Role.OPERATOR, issuer="http://127.0.0.1:1", now=NOW, header={"alg": "HS256", "kid": kid})
    assert jws.extract_compact(symmetric.encode()).headers()["alg"] == "HS256"


def test_the_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    first = load_key(tmp_path)
    assert load_key(tmp_path).thumbprint() == first.thumbprint()
    assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in tmp_path.iterdir()] == [KEY_FILE]
