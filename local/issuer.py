"""The local stand-in for Entra: publishes its signing key, issues tokens signed with it, and signs people in."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from joserfc.jwk import RSAKey

from local import private
from local.sign_in import ORGANIZATIONS, SignIn
from local.tokens import Role, jwk_set, mint

KEY_FILE = "issuer-key.pem"
"""In the stack's directory: whoever can read it can sign in as anyone, on this stack."""


def load_key(directory: Path) -> RSAKey:
    """Return the signing key (RSA, 2048 bits) that is kept in ``directory``, made if there is none."""
    return RSAKey.import_key(private.read_or_create(directory / KEY_FILE, _new_key))


def _new_key() -> str:
    return RSAKey.generate_key(2048).as_pem(private=True).decode()


class Issuer:
    """Serves the key set, the configuration documents of every tenant and the sign-in, on the loop that started it.

    Attributes:
        key: the signing key.
        url: ``http://127.0.0.1:PORT``, without a slash at the end; an issuer is ``{url}/{tenant id}/v2.0``.
        jwks_uri: where the public key is.
    """

    def __init__(self, key: RSAKey, port: int, now: Callable[[], datetime]) -> None:
        """Publish ``key`` at ``port``, once started; who signs in gets tokens of the time that ``now`` tells."""
        self.key = key
        self.url = f"http://127.0.0.1:{port}"
        self.jwks_uri = f"{self.url}/discovery/v2.0/keys"
        self._port = port
        self._sign_in = SignIn(key, self.url, now)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Begin to serve.

        Raises:
            OSError: if the port is taken.
        """
        app = web.Application()
        app.router.add_get("/discovery/v2.0/keys", self._keys)
        app.router.add_get("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/{tenant}/oauth2/v2.0/authorize", self._sign_in.authorize)
        app.router.add_post("/{tenant}/oauth2/v2.0/token", self._sign_in.token)
        app.router.add_get("/{tenant}/oauth2/v2.0/logout", self._sign_in.sign_out)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        """Stop serving; do nothing if it does not serve."""
        runner, self._runner = self._runner, None
        if runner:
            await runner.cleanup()

    def token(
        self, role: Role, *, now: datetime, tenant: str | None = None, claims: Mapping[str, Any] | None = None
    ) -> str:
        """Return a token of this issuer; see ``local.tokens.mint``."""
        return mint(self.key, role, issuer=self.url, now=now, tenant=tenant, claims=claims)

    async def _keys(self, _: web.Request) -> web.Response:
        return _public(jwk_set(self.key, self.url))

    async def _configuration(self, request: web.Request) -> web.Response:
        tenant = request.match_info["tenant"]
        endpoints = f"{self.url}/{tenant}/oauth2/v2.0"
        return _public(
            {
                "issuer": f"{self.url}/{'{tenantid}' if tenant == ORGANIZATIONS else tenant}/v2.0",
                "authorization_endpoint": f"{endpoints}/authorize",
                "token_endpoint": f"{endpoints}/token",
                "end_session_endpoint": f"{endpoints}/logout",
                "jwks_uri": self.jwks_uri,
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "refresh_token"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "scopes_supported": ["openid", "profile", "offline_access"],
                "claims_parameter_supported": True,
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["pairwise"],
            }
        )


def _public(document: Mapping[str, Any]) -> web.Response:
    """Return a document that any page may read."""
    return web.json_response(document, headers={"Access-Control-Allow-Origin": "*"})
