"""Tokens as Entra's v2 endpoint issues them, for the roles that the service knows: pure functions."""

import base64
import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from joserfc import jwt
from joserfc.jwk import Key, RSAKey

OPERATOR_TENANT_ID = "7d2f4c1e-5b0a-4e86-9c33-1f6a8e0b2d47"
SAMPLE_TENANT_ID = "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30"
SECOND_TENANT_ID = "c4f0a9d7-2e61-4b38-9d5a-7f1e3c82b046"
AUDIENCE = "api://copilot-data-sharing"
TOOLS_AUDIENCE = "https://service.powerapps.com/"
"""What admin tools ask tokens for, some of them without the slash (D16)."""
PORTAL_CLIENT_ID = "0e6d1f52-7b3c-4a98-8f21-5c9d4b7e3a60"
"""The only client in which a person can sign in here; all others have tokens without that."""
LIFETIME = timedelta(hours=1)

_POWER_PLATFORM_ADMINISTRATOR = "11648597-926c-4cf3-9c36-bcebb0ba8dcc"


class Role(StrEnum):
    """Whom a token can speak for."""

    TENANT_ADMIN = "tenant-admin"
    CAPTURE_SERVICE = "capture-service"
    OPERATOR = "operator"
    REVIEWER = "reviewer"
    APPROVER = "approver"


@dataclass(frozen=True, slots=True)
class _Client:
    app_id: str
    claims: Mapping[str, Any] = field(default_factory=dict)


_OPERATIONS_CONSOLE = "e4a7c9d0-83b2-4a5f-b1c6-0d9f7e2a6c58"
_REVIEW_CONSOLE = "c85d1f3a-6e90-47b4-8a2d-93b7f5e0c416"
_CLIENTS: Mapping[Role, _Client] = {
    Role.TENANT_ADMIN: _Client(
        "91f0b6d8-2c7e-4d35-a0f9-5e8c3b1a7d62",
        {"scp": "DataSharing.Manage", "wids": [_POWER_PLATFORM_ADMINISTRATOR]},
    ),
    Role.CAPTURE_SERVICE: _Client(
        "5a3e8b72-f1d4-4c09-96be-d27c0f4a8e15", {"idtyp": "app", "roles": ["Captures.Write"]}
    ),
    Role.OPERATOR: _Client(_OPERATIONS_CONSOLE, {"scp": "access_as_user", "roles": ["Operations.Read"]}),
    Role.REVIEWER: _Client(_REVIEW_CONSOLE, {"scp": "access_as_user", "roles": ["Captures.Review"], "acrs": ["c1"]}),
    Role.APPROVER: _Client(_REVIEW_CONSOLE, {"scp": "access_as_user", "roles": ["Captures.Approve"]}),
}


def mint(
    key: Key,
    role: Role,
    *,
    issuer: str,
    now: datetime,
    tenant: str | None = None,
    claims: Mapping[str, Any] | None = None,
    header: Mapping[str, Any] | None = None,
) -> str:
    """Return a signed access token (JWT, compact).

    Args:
        key: what signs it: the issuer's key, or another one for a token that must be refused.
        role: whom it speaks for.
        issuer: the issuer's address, without tenant and slash.
        now: when it is issued (aware); it is valid from then for an hour.
        tenant: its ``tid`` (GUID, lower case); unless given, the sample tenant for a tenant admin and the operator's
            for everyone else.
        claims: replaces or adds claims; None as a value removes one.
        header: replaces or adds header members, ``alg`` included; None as a value removes one.

    Raises:
        ValueError: if ``tenant`` is not a GUID.
    """
    tid = tenant or (SAMPLE_TENANT_ID if role is Role.TENANT_ADMIN else OPERATOR_TENANT_ID)
    client = _CLIENTS[role]
    oid = str(uuid.uuid5(uuid.UUID(tid), role))
    issued_at = int(now.timestamp())
    standard = {
        "iss": f"{issuer}/{tid}/v2.0",
        "aud": AUDIENCE,
        "tid": tid,
        "oid": oid,
        # A user's subject differs from one client to the next; an application's is its object id.
        "sub": oid if client.claims.get("idtyp") == "app" else _opaque(oid, client.app_id, length=32),
        "azp": client.app_id,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + int(LIFETIME.total_seconds()),
        "uti": _opaque(oid, str(issued_at), length=16),
        "ver": "2.0",
    }
    full_header = _overridden({"typ": "JWT", "alg": "RS256", "kid": key.thumbprint()}, header)
    full_claims = _overridden({**standard, **client.claims}, claims)
    return jwt.encode(full_header, full_claims, key, algorithms=[full_header["alg"]], default_type=None)


def jwk_set(key: RSAKey, issuer: str) -> dict[str, Any]:
    """Return the public half of ``key`` as Entra publishes it: without ``alg``, and ``{tenantid}`` left as it is."""
    public = key.as_dict(private=False)
    return {"keys": [{**public, "use": "sig", "kid": key.thumbprint(), "issuer": f"{issuer}/{{tenantid}}/v2.0"}]}


def _overridden(values: Mapping[str, Any], overrides: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in {**values, **(overrides or {})}.items() if value is not None}


def _opaque(*parts: str, length: int) -> str:
    digest = hashlib.sha256(" ".join(parts).encode()).digest()[:length]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")
