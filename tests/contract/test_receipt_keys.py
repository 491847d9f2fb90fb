"""Both signers: what they sign can be checked with what they publish, and how Key Vault may fail."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import AioHttpTransport
from azure.keyvault.keys.aio import KeyClient
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from local.ports import free_ports
from shared.ports import ReceiptSigner, StoreUnavailable
from shared.stores import receipt_keys
from shared.stores.receipt_keys import KeyVaultSigner, LocalSigner
from tests.clocks import ManualClock

CLAIMS = {"tenantId": "3b9e6a52-0c4d-4f18-a7e1-62d05c8f9b30", "sequence": 2, "reappeared": []}
SECRET = "Herr Schneider, Rechnung 4711"
TOKEN = "token-of-the-app"


def base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Version:
    """A version of the key, which stays in the vault."""

    def __init__(self, key: ECKey | RSAKey | OctKey) -> None:
        self.id = uuid.uuid4().hex
        self.key = key
        self.enabled = True
        self.readable = True

    @property
    def shown(self) -> dict[str, Any]:
        members = self.key.as_dict(private=False) if not isinstance(self.key, OctKey) else {"kty": "oct-HSM"}
        kinds = {"EC": "EC-HSM", "RSA": "RSA", "oct-HSM": "oct-HSM"}
        return {**members, "kty": kinds[members["kty"]], "key_ops": ["sign", "verify"]}


class Vault:
    """Speaks the few calls of Key Vault that a signer needs, and its challenges."""

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self.url = f"https://kv-{uuid.uuid4().hex[:16]}.vault.azure.net"
        self.resource = "https://vault.azure.net"
        self.versions = [Version(ECKey.generate_key("P-256"))]
        self.calls: list[str] = []
        self.failing: dict[str, int] = {}  # status by call
        self.retry_after: dict[str, str] = {}  # headers of what fails
        self.answers: dict[str, Any] = {}  # something else than a vault's answer, by call
        self.hangs = False
        self.rotates = False
        self.der = False

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if self.hangs:
            await asyncio.sleep(30)
        if "Authorization" not in request.headers:
            challenge = f'Bearer authorization="https://login.example/{"1" * 32}", resource="{self.resource}"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        assert request.headers["Authorization"] == f"Bearer {TOKEN}"
        _, keys, name, *rest = request.path.rstrip("/").split("/")
        assert (keys, name) == ("keys", "receipts")
        call = rest[-1] if rest and rest[-1] in {"versions", "sign"} else "get"
        self.calls.append(call)
        if call in self.failing:
            failure = {"error": {"code": "x", "message": SECRET}}
            return web.json_response(failure, status=self.failing[call], headers=self.retry_after)
        if call in self.answers:
            return web.json_response(self.answers[call])
        if call == "versions":
            return self._page(int(request.query.get("page", 0)))
        version = next(each for each in reversed(self.versions) if not rest or each.id == rest[0])
        if call == "sign":
            return web.json_response({"kid": self.id_of(version), "value": self._sign(version, await request.json())})
        if not version.readable:
            return web.json_response({"error": {"code": "Forbidden", "message": SECRET}}, status=403)
        if self.rotates:
            self.versions.append(Version(ECKey.generate_key("P-256")))
        shown = {**version.shown, "kid": self.id_of(version)}
        return web.json_response({"key": shown, "attributes": {"enabled": version.enabled}})

    def id_of(self, version: Version) -> str:
        return f"{self.url}/keys/receipts/{version.id}"

    def _page(self, page: int) -> web.Response:
        version = self.versions[page]
        item = {"kid": self.id_of(version), "attributes": {"enabled": version.enabled}}
        more = page + 1 < len(self.versions)
        link = f"{self.url}/keys/receipts/versions?api-version=7.6&page={page + 1}" if more else None
        return web.json_response({"value": [item], "nextLink": link})

    def _sign(self, version: Version, body: dict[str, str]) -> str:
        assert body["alg"] == "ES256" and isinstance(version.key, ECKey)
        digest = base64.urlsafe_b64decode(body["value"] + "==")
        der = version.key.private_key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        if self.der:
            return base64url(der)
        return base64url(b"".join(number.to_bytes(32) for number in utils.decode_dss_signature(der)))


class ToLoopback(AioHttpTransport):
    """Carries what is for a vault to the port of the test's; the SDK sends no token without TLS."""

    def __init__(self, vault: Vault) -> None:
        super().__init__(use_env_settings=False)
        self._vault = vault

    async def send(self, request: Any, **config: Any) -> Any:
        url = request.url
        request.url = url.replace(self._vault.url, f"http://127.0.0.1:{self._vault.port}")
        try:
            return await super().send(request, **config)
        finally:
            request.url = url


class Identity:
    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        assert scopes == ("https://vault.azure.net/.default",)
        return AccessToken(TOKEN, int(time.time()) + 3600)

    async def close(self) -> None: ...

    async def __aenter__(self) -> "Identity":
        return self

    async def __aexit__(self, *_: object) -> None: ...


@pytest_asyncio.fixture
async def vault() -> AsyncIterator[Vault]:
    vault = Vault()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", vault.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", vault.port).start()
    yield vault
    await runner.cleanup()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest_asyncio.fixture
async def remote(vault: Vault, clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KeyVaultSigner]:
    monkeypatch.setattr(receipt_keys, "KeyClient", partial(KeyClient, transport=ToLoopback(vault)))
    signer = KeyVaultSigner.connect(f"{vault.url}/keys/receipts", Identity(), clock)
    yield signer
    await signer.close()


@pytest.fixture(params=["local", "vault"])
def signer(request: pytest.FixtureRequest, remote: KeyVaultSigner, tmp_path: Path) -> ReceiptSigner:
    if request.param == "vault":
        return remote
    members = ECKey.generate_key("P-256", {"key_ops": ["sign"]}).as_dict(private=True)
    file = tmp_path / "keys.json"
    file.write_text(json.dumps({"keys": [members, ECKey.generate_key("P-256").as_dict(private=True)]}))
    return LocalSigner.read(file)


async def check(signer: ReceiptSigner, token: str) -> str:
    """Check a receipt with what is published, and return its key's id."""
    keys = KeySet.import_key_set({"keys": [dict(key) for key in await signer.public_keys()]})  # type: ignore[typeddict-item]
    verified = jws.deserialize_compact(token, keys, algorithms=["ES256"])
    assert json.loads(verified.payload) == CLAIMS
    assert verified.headers() == {
        "alg": "ES256",
        "typ": "deletion-receipt+jwt",
        "kid": keys.get_by_kid(verified.headers()["kid"]).thumbprint(),
    }
    return str(verified.headers()["kid"])


async def refusal(call: Any) -> str:
    with pytest.raises(StoreUnavailable) as failed:
        await call
    assert SECRET not in str(failed.value) and failed.value.__cause__ is None
    return failed.value.code


async def test_what_is_signed_can_be_checked_with_what_is_published(signer: ReceiptSigner) -> None:
    assert await check(signer, await signer.sign(CLAIMS)) == await check(signer, await signer.sign(CLAIMS))


async def test_only_public_members_are_published(signer: ReceiptSigner) -> None:
    for key in await signer.public_keys():
        assert set(key) == {"kty", "crv", "x", "y", "kid", "use", "alg"}
        assert (key["kty"], key["crv"], key["use"], key["alg"]) == ("EC", "P-256", "sig", "ES256")


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [ECKey.generate_key("P-384").as_dict(private=True)],
        [ECKey.generate_key("P-256").as_dict(private=False)],
        [ECKey.generate_key("P-256").as_dict(private=True), ECKey.generate_key("P-521").as_dict(private=True)],
        [RSAKey.generate_key(2048).as_dict(private=True)],
        [OctKey.generate_key(256).as_dict(private=True)],
    ],
)
def test_a_file_without_keys_that_can_sign_is_refused(keys: Any, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
    with pytest.raises((ValueError, JoseError)):
        LocalSigner.read(tmp_path / "keys.json")


async def test_a_new_version_signs_at_once_and_old_receipts_can_still_be_checked(
    vault: Vault, remote: KeyVaultSigner
) -> None:
    before = await remote.sign(CLAIMS)
    first = await check(remote, before)
    vault.versions.append(Version(ECKey.generate_key("P-256")))
    after = await remote.sign(CLAIMS)
    assert await check(remote, after) != first == await check(remote, before)


async def test_a_rotation_in_the_midst_of_signing_does_no_harm(vault: Vault, remote: KeyVaultSigner) -> None:
    vault.rotates = True
    receipt = await remote.sign(CLAIMS)
    vault.rotates = False
    assert await check(remote, receipt) == vault.versions[0].key.thumbprint()


async def test_every_version_is_published_a_minute_later_at_most(
    vault: Vault, remote: KeyVaultSigner, clock: ManualClock
) -> None:
    await remote.public_keys()
    vault.versions += [Version(ECKey.generate_key("P-256")) for _ in range(3)]
    clock.move(timedelta(minutes=1))
    published = {key["kid"] for key in await remote.public_keys()}
    assert published == {version.key.thumbprint() for version in vault.versions}


async def test_whoever_asks_for_keys_over_and_over_does_not_load_the_vault(
    vault: Vault, remote: KeyVaultSigner, clock: ManualClock
) -> None:
    await asyncio.gather(*(remote.public_keys() for _ in range(20)))
    assert vault.calls == ["versions", "get"]
    clock.move(timedelta(minutes=1))
    await remote.public_keys()
    assert vault.calls == ["versions", "get", "versions"]


async def test_a_vault_that_fails_is_left_alone_for_a_moment(
    vault: Vault, remote: KeyVaultSigner, clock: ManualClock
) -> None:
    vault.failing["versions"] = 403
    codes = await asyncio.gather(*(refusal(remote.public_keys()) for _ in range(20)))
    assert set(codes) == {"vault-403"} and vault.calls == ["versions"]
    vault.failing.clear()
    clock.move(timedelta(seconds=5))
    assert len(await remote.public_keys()) == 1


@pytest.mark.parametrize("readable", [True, False])
async def test_a_disabled_version_is_published_if_the_vault_shows_it_and_never_keeps_the_others(
    vault: Vault, remote: KeyVaultSigner, readable: bool
) -> None:
    old = vault.versions[0]
    old.enabled, old.readable = False, readable
    vault.versions.append(Version(ECKey.generate_key("P-256")))
    expected = [version.key.thumbprint() for version in vault.versions if version.readable]
    assert [key["kid"] for key in await remote.public_keys()] == expected


async def test_a_version_that_was_seen_stays_published_when_it_is_disabled(
    vault: Vault, remote: KeyVaultSigner, clock: ManualClock
) -> None:
    receipt = await remote.sign(CLAIMS)
    vault.versions[0].enabled = vault.versions[0].readable = False
    vault.versions.append(Version(ECKey.generate_key("P-256")))
    clock.move(timedelta(minutes=1))
    await check(remote, receipt)


async def test_an_enabled_version_that_cannot_be_read_is_a_failure(vault: Vault, remote: KeyVaultSigner) -> None:
    vault.versions[0].readable = False
    assert await refusal(remote.public_keys()) == "vault-403"


@pytest.mark.parametrize(
    "key",
    [
        ECKey.generate_key("P-384"),
        ECKey.generate_key("secp256k1"),
        RSAKey.generate_key(2048),
        OctKey.generate_key(256),
    ],
    ids=lambda key: getattr(key, "curve_name", key.key_type),
)
async def test_a_key_of_another_kind_signs_nothing_and_is_not_published(
    vault: Vault, remote: KeyVaultSigner, key: Any
) -> None:
    vault.versions.append(Version(key))
    assert await refusal(remote.sign(CLAIMS)) == "vault-key-not-p256"
    assert "sign" not in vault.calls
    assert [each["kid"] for each in await remote.public_keys()] == [vault.versions[0].key.thumbprint()]


async def test_a_key_whose_thumbprint_others_would_compute_otherwise_is_refused(
    vault: Vault, remote: KeyVaultSigner
) -> None:
    version = vault.versions[0]
    x = base64url(b"\0" + base64.urlsafe_b64decode(version.shown["x"] + "=="))
    vault.answers["get"] = {"key": {**version.shown, "x": x, "kid": vault.id_of(version)}, "attributes": {}}
    assert await refusal(remote.sign(CLAIMS)) == "vault-key-not-p256"


@pytest.mark.parametrize("status", [403, 404, 429])
@pytest.mark.parametrize("call", ["get", "sign"])
async def test_whatever_a_vault_refuses_is_a_code(vault: Vault, remote: KeyVaultSigner, call: str, status: int) -> None:
    vault.failing[call] = status
    assert await refusal(remote.sign(CLAIMS)) == f"vault-{status}"


@pytest.mark.parametrize(
    ("call", "asked", "requests"),
    [("get", "30", 1), ("sign", "30", 1), ("get", None, 3), ("sign", None, 1)],  # the SDK repeats no POST
)
async def test_a_vault_that_asks_for_fewer_requests_says_how_long_to_wait(
    vault: Vault, remote: KeyVaultSigner, call: str, asked: str | None, requests: int
) -> None:
    vault.failing[call] = 429
    vault.retry_after = {} if asked is None else {"Retry-After": asked}
    with pytest.raises(StoreUnavailable, match="vault-429") as refused:
        await remote.sign(CLAIMS)
    assert (refused.value.throttled, refused.value.retry_after) == (True, None if asked is None else 30.0)
    assert vault.calls.count(call) == requests, "the SDK waits for no longer than a second"
    vault.failing, vault.retry_after = {call: 403}, {}
    with pytest.raises(StoreUnavailable, match="vault-403") as refused:
        await remote.sign(CLAIMS)
    assert not refused.value.throttled


@pytest.mark.parametrize("call", ["get", "versions", "sign"])
@pytest.mark.parametrize(
    "answer", [{}, [], SECRET, {"key": None, "value": None}, {"key": {"kty": "EC", "crv": "P-256"}}]
)
async def test_an_answer_that_is_not_a_vaults_is_a_code(
    vault: Vault, remote: KeyVaultSigner, call: str, answer: Any
) -> None:
    vault.answers[call] = answer
    code = await refusal(remote.public_keys() if call == "versions" else remote.sign(CLAIMS))
    assert code in {"vault-not-understood", "vault-key-not-p256", "vault-signature-wrong", "vault-no-key"}


async def test_a_signature_that_is_not_the_keys_is_no_receipt(vault: Vault, remote: KeyVaultSigner) -> None:
    vault.answers["sign"] = {"kid": "x", "value": base64url(bytes(64))}
    assert await refusal(remote.sign(CLAIMS)) == "vault-signature-wrong"
    vault.answers.clear()
    vault.der = True
    assert await refusal(remote.sign(CLAIMS)) == "vault-signature-wrong"


async def test_a_challenge_of_another_resource_gets_no_token(vault: Vault, remote: KeyVaultSigner) -> None:
    vault.resource = "https://vault.example"
    assert await refusal(remote.sign(CLAIMS)) == "vault-not-understood"
    assert vault.calls == []


async def test_a_vault_that_hangs_or_is_not_there_is_told_in_bounded_time(
    vault: Vault, remote: KeyVaultSigner, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault.hangs = True
    monkeypatch.setattr(receipt_keys, "_call", replace(receipt_keys._call, seconds=0.2))
    assert await refusal(remote.sign(CLAIMS)) == "vault-timeout"
    assert await refusal(remote.public_keys()) == "vault-timeout"
    monkeypatch.setattr(receipt_keys, "_call", replace(receipt_keys._call, seconds=20.0))
    vault.port = free_ports(1)[0]
    clock.move(timedelta(seconds=5))
    assert await refusal(remote.sign(CLAIMS)) == "vault-unreachable"
    assert await refusal(remote.public_keys()) == "vault-unreachable"
