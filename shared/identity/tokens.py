"""From an ``Authorization`` header to a caller: signature, issuer, audience, time and tenant of an Entra token."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError
from joserfc.jwk import Key
from joserfc.util import urlsafe_b64decode

from shared.clock import Clock
from shared.configuration import Configuration
from shared.identity.callers import Caller
from shared.identity.signing_keys import SigningKeys
from shared.model import deadlines
from shared.model.items import GUID
from shared.problems import Unauthenticated

_ALGORITHMS = ["RS256"]
_TYPES = frozenset({"jwt", "at+jwt"})
_MAX_TOKEN_LENGTH = 16 * 1024
# Members that nobody has registered are passed over (RFC 7515, 4).
_HEADERS = jws.JWSRegistry(algorithms=_ALGORITHMS, strict_check_header=False)
_HEADERS.max_header_length = _MAX_TOKEN_LENGTH
_WRONG_CLAIMS = {
    "aud": Unauthenticated.AUDIENCE,
    "iss": Unauthenticated.ISSUER,
    "nbf": Unauthenticated.NOT_YET,
    "iat": Unauthenticated.NOT_YET,
}
_SIGNED_MAX = 1_000


@dataclass(frozen=True, slots=True)
class _Opened:
    """A token whose signature is right.

    Attributes:
        key: what has signed it.
        claims: what it says.
        good_at: the second, since 1970, in which that was last found to hold, and for which audiences.
    """

    key: Key
    claims: dict[str, Any]
    good_at: tuple[int, Sequence[str]] | None = None


class Tokens:
    """Verifies bearer tokens; whatever is not known to be right is refused."""

    def __init__(self, configuration: Configuration, keys: SigningKeys, clock: Clock) -> None:
        self._configuration = configuration
        self._keys = keys
        self._clock = clock
        self._signed: dict[bytes, _Opened] = {}

    async def caller(self, authorization: str | None, *, for_admin_tools: bool = False) -> Caller:
        """Return whom the header's token speaks for.

        Args:
            authorization: the value of the ``Authorization`` header, or None.
            for_admin_tools: whether the token must be for the tenant settings, and not for the API (D16).

        Raises:
            Unauthenticated: if there is no token that is valid here and now.
            Unavailable: if the issuer's keys cannot be had.
        """
        scheme, _, token = (authorization or "").strip(" ").partition(" ")
        token = token.lstrip(" ")
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated(Unauthenticated.MISSING)
        if len(token) > _MAX_TOKEN_LENGTH:
            raise Unauthenticated(Unauthenticated.TOO_LONG)
        configuration = self._configuration
        audiences = configuration.tenant_settings_audiences if for_admin_tools else configuration.audiences
        claims = await self._verified_claims(token, audiences)
        tenant_id, object_id = claims["tid"], claims["oid"]
        app_id = claims.get("azp") or claims.get("appid")
        if not isinstance(app_id, str):
            raise Unauthenticated(Unauthenticated.NO_APPLICATION)
        # Both ways round: a token that says neither or both is no one's.
        is_app = claims.get("idtyp") == "app"
        if is_app == bool(claims.get("scp")):
            raise Unauthenticated(Unauthenticated.USER_OR_APPLICATION)
        return Caller(
            tenant_id=tenant_id,
            object_id=object_id,
            app_id=app_id,
            is_app=is_app,
            operated=tenant_id == configuration.operator_tenant_id,
            roles=_texts(claims, "roles"),
            directory_roles=_texts(claims, "wids"),
            auth_contexts=_texts(claims, "acrs"),
        )

    async def _verified_claims(self, token: str, audiences: Sequence[str]) -> dict[str, Any]:
        """Return a token's claims, checked once in each second; its signature only once for each published key."""
        try:
            digest = hashlib.sha256(token.encode("ascii")).digest()  # so that no token is kept
            opened = self._signed.get(digest) or await self._opened(token)
            # A key that the issuer has withdrawn, or published anew, says nothing any more of what it has signed.
            if not any(opened.key is each for each in await self._keys.with_id(str(opened.key.kid))):
                opened = await self._opened(token)
            now = int(self._clock.now().timestamp())
            if opened.good_at != (now, audiences):  # they are compared with whole seconds
                self._check(opened.claims, opened.key.get("issuer"), audiences, now)
                opened = replace(opened, good_at=(now, audiences))
        except BadSignatureError:
            raise Unauthenticated(Unauthenticated.SIGNATURE) from None
        except (JoseError, ValueError, TypeError, RecursionError):  # the last from JSON that is thousands deep
            raise Unauthenticated(Unauthenticated.INVALID) from None
        self._signed[digest] = opened
        while len(self._signed) > _SIGNED_MAX:
            del self._signed[next(iter(self._signed))]
        return opened.claims

    async def _opened(self, token: str) -> _Opened:
        """Return the key that has signed a token, and its claims, which are not looked at yet.

        Raises:
            Unauthenticated, JoseError, ValueError, TypeError, RecursionError: if it is not signed, or not a token.
        """
        header: Any = jws.extract_compact(token.encode("ascii"), registry=_HEADERS).headers()
        if not isinstance(header, dict):  # the library takes any JSON that "alg" is in
            raise Unauthenticated(Unauthenticated.NO_HEADER)
        _refuse_repeated_members(token)
        # Any other type is signed for another use; without one, as RFC 7519 allows, nothing says so.
        if str(header.get("typ", "jwt")).lower().removeprefix("application/") not in _TYPES:
            raise Unauthenticated(Unauthenticated.NOT_FOR_ACCESS)
        if "crit" in header:
            raise Unauthenticated(Unauthenticated.CRITICAL)
        key_id = header.get("kid")
        if header.get("alg") not in _ALGORITHMS or not isinstance(key_id, str):
            raise Unauthenticated(Unauthenticated.SIGNATURE_KIND)
        key = next((key for key in await self._keys.with_id(key_id) if key.kid == key_id), None)
        if key is None:
            raise Unauthenticated(Unauthenticated.UNKNOWN_KEY)
        claims: dict[str, Any] = jwt.decode(token, key, algorithms=_ALGORITHMS, registry=_HEADERS).claims
        for name, refusal in (("tid", Unauthenticated.TENANT_NO_GUID), ("oid", Unauthenticated.OBJECT_NO_GUID)):
            if not isinstance(claims.get(name), str) or not GUID.fullmatch(claims[name]):
                raise Unauthenticated(refusal)
        return _Opened(key, claims)

    def _check(self, claims: dict[str, Any], keys_issuer: object, audiences: Sequence[str], now: int) -> None:
        issuers = [issuer.replace("{tenantid}", claims["tid"]) for issuer in self._configuration.issuers]
        # Entra publishes some keys for one issuer alone, that of personal accounts for instance; with such a key nobody
        # may speak for another tenant.
        if isinstance(keys_issuer, str) and "{tenantid}" not in keys_issuer:
            issuers = [issuer for issuer in issuers if issuer == keys_issuer]
            if not issuers:
                raise Unauthenticated(Unauthenticated.OTHERS_KEY)
        registry = jwt.JWTClaimsRegistry(
            now=now,
            leeway=int(deadlines.CLOCK_SKEW.total_seconds()),
            iss={"essential": True, "values": issuers},
            aud={"essential": True, "values": list(audiences)},
            exp={"essential": True},
            nbf={"essential": True},
        )
        try:
            registry.validate(claims)
        except ExpiredTokenError:
            raise Unauthenticated(Unauthenticated.EXPIRED) from None
        except MissingClaimError as error:
            raise Unauthenticated.without(error.claim) from None
        except InvalidClaimError as error:
            raise Unauthenticated(_WRONG_CLAIMS.get(error.claim) or Unauthenticated.INVALID) from None


def _refuse_repeated_members(token: str) -> None:
    """Refuse a header or claims that have a name twice: which of them counts depends on who parses it (RFC 7519, 4).

    Raises:
        ValueError: if a part is no JSON; its message is not for the caller.
    """

    def unrepeated(members: list[tuple[str, Any]]) -> dict[str, Any]:
        named = dict(members)
        if len(named) < len(members):
            raise Unauthenticated(Unauthenticated.SAID_TWICE)
        return named

    for part in token.split(".")[:2]:
        json.loads(urlsafe_b64decode(part.encode("ascii")).decode(), object_pairs_hook=unrepeated)


def _texts(claims: dict[str, Any], name: str) -> frozenset[str]:
    values = claims.get(name)
    return frozenset(value for value in values if isinstance(value, str)) if isinstance(values, list) else frozenset()
