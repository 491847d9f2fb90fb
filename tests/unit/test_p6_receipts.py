"""P6: a receipt can be checked by others, offline, and nothing about it can be changed unnoticed."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import BadSignatureError
from joserfc.jwk import ECKey
from jwt.algorithms import ECAlgorithm
from jwt.exceptions import InvalidSignatureError

from audit.__main__ import main
from audit.receipts import ReceiptError, SignedReceipt, read_keys, read_receipt
from shared.model import deadlines
from shared.model.containers import DayContainer
from shared.model.deletion import Deletion
from shared.ports import StoreUnavailable
from tests import world as worlds
from tests.unit.opt_outs import look_again, purged
from tests.world import SIGNER, TENANT, World

DOCUMENT = Path(__file__).parents[2] / "docs" / "receipts.md"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


NO_RECORDS = hashlib.sha256().hexdigest()


async def verified() -> tuple[World, Deletion]:
    world, deletion = await purged()
    return world, await look_again(world, deletion)


def shown(deletion: Deletion) -> dict[str, Any]:
    """A deletion as the API answers it."""
    return {**deletion.to_json(), "overdue": False}


def decoded(segment: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(segment + "=="))


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


class Files:
    """What an auditor has saved."""

    def __init__(self, directory: Path, members: dict[str, Any]) -> None:
        self.members = members
        self.deletion = directory / "deletion.json"
        self.keys = directory / "receipt-keys.json"

    @property
    def token(self) -> str:
        return str(self.members["receipt"]["jws"])

    def check(self, content: Any = None) -> SignedReceipt:
        """Check what was saved, or other content in its place."""
        content = self.members if content is None else content
        self.deletion.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_receipt(self.deletion, read_keys(self.keys))


@pytest.fixture
async def files(tmp_path: Path) -> Files:
    _, deletion = await verified()
    files = Files(tmp_path, shown(deletion))
    files.keys.write_text(json.dumps({"keys": list(await SIGNER.public_keys())}))
    files.deletion.write_text(json.dumps(files.members))
    return files


# What is signed


async def test_the_signature_covers_every_fact() -> None:
    world, deletion = await verified()
    event = world.ledger.events[TENANT][-1]
    assert deletion.receipt is not None
    header, payload, _ = deletion.receipt.jws.split(".")
    (key,) = await SIGNER.public_keys()
    assert decoded(header) == {"alg": "ES256", "kid": key["kid"], "typ": "deletion-receipt+jwt"}
    assert decoded(payload) == {
        "tenantId": TENANT,
        "enrollmentId": deletion.enrollment_id,
        "geo": "europe",
        "storageAccount": "steurope",
        "startedAt": "2026-11-21T12:00:00.000000Z",
        "optedOutAt": "2026-11-24T12:00:02.000000Z",
        "deadline": "2026-12-24T12:00:02.000000Z",
        "sequence": 2,
        "ledgerHash": event.hash,
        "firstDay": "2026-11-21",
        "lastDay": "2026-11-24",
        "firstLookAt": "2026-11-24T12:00:04.000000Z",
        "secondLookAt": "2026-11-24T12:05:04.000000Z",
        "reappeared": [],
        "downloads": {"records": 0, "sha256": [], "recordsHash": NO_RECORDS, "copiesCovered": False},
    }


async def test_data_that_reappeared_is_signed_too(files: Files) -> None:
    world, deletion = await verified()
    world.stores["europe"].receive_container(DayContainer(deletion.enrollment_id, deletion.days[0]).name)
    world.clock.move(timedelta(hours=1))
    await world.sweep.run()
    for _ in range(2):
        await world.purge.run()
        world.clock.move(timedelta(minutes=5))
    again = await world.deletions.get(TENANT, deletion.enrollment_id)
    signed = files.check(shown(again))
    assert [entry["containersFound"] for entry in signed.claims["reappeared"]] == [1]
    with pytest.raises(ReceiptError, match="was signed"):
        before = deletion.receipt
        assert before is not None and again.receipt is not None
        files.check(shown(again.model_copy(update={"receipt": again.receipt.model_copy(update={"jws": before.jws})})))


@pytest.mark.parametrize("code", ["vault-timeout", "vault-key-not-p256"])
async def test_without_a_signature_nothing_is_finished_and_a_later_purge_finishes_it(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        async def sign(self, claims: Any) -> str:
            raise StoreUnavailable(code)

    world, deletion = await purged()
    monkeypatch.setattr(worlds, "SIGNER", Failing())
    world.clock.move(deadlines.SECOND_LOOK_DELAY)
    heartbeat = (await world.purge.run())["steurope"]
    assert (heartbeat.outcome, heartbeat.error) == ("failed", code)
    waiting = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert (waiting.status, waiting.receipt) == ("purged", None)
    monkeypatch.undo()
    assert (await world.purge.run())["steurope"].outcome == "done"
    done = await world.deletions.get(TENANT, deletion.enrollment_id)
    assert done.status == "verified" and done.receipt is not None and done.receipt.jws


# Checking


async def test_a_receipt_is_checked_with_the_published_keys(files: Files) -> None:
    signed = files.check()
    assert signed.compared and signed.claims["sequence"] == 2
    assert not files.check(files.token + "\n").compared


@pytest.mark.parametrize("place", [0, 1, 7, 0.25, 0.5, 0.75, -2, -1])
@pytest.mark.parametrize("segment", [0, 1, 2])
async def test_one_changed_byte_does_not_verify(files: Files, segment: int, place: float) -> None:
    segments = files.token.split(".")
    text = segments[segment]
    at = int(place * len(text)) if isinstance(place, float) else place % len(text)
    for other in (
        ALPHABET[(ALPHABET.index(text[at]) + 1) % 64],
        ALPHABET[(ALPHABET.index(text[at]) + 32) % 64],
        "!",
        "=",
    ):
        changed = text[:at] + other + text[at + 1 :]
        token = ".".join([*segments[:segment], changed, *segments[segment + 1 :]])
        assert token != files.token
        with pytest.raises(ReceiptError):
            files.check(token)
        with pytest.raises(ReceiptError):
            files.check({**files.members, "receipt": {**files.members["receipt"], "jws": token}})


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "A",
        lambda token: token + ".",
        lambda token: token + "=",
        lambda token: token[:-1],
        lambda token: token.rpartition(".")[0],
        lambda token: token.rpartition(".")[0] + ".",
        lambda token: token.replace(".", "..", 1),
        lambda token: token[:20] + "\n" + token[20:],
        lambda token: "",
        lambda token: "é" + token[1:],
        lambda token: "[" * 100_000,
    ],
)
async def test_what_is_no_compact_jws_is_refused(files: Files, change: Callable[[str], str]) -> None:
    with pytest.raises(ReceiptError):
        files.check(change(files.token))


Sign = Callable[[bytes], bytes]


async def forged(header: dict[str, Any], sign: Sign) -> str:
    """A receipt that somebody else makes, with ``header`` over the genuine one."""
    (published,) = await SIGNER.public_keys()
    members = {"alg": "ES256", "kid": published["kid"], "typ": "deletion-receipt+jwt", **header}
    content = ".".join(encoded(json.dumps(part).encode()) for part in (members, {"tenantId": TENANT}))
    return f"{content}.{encoded(sign(content.encode()))}"


def with_key(key: ECKey) -> Sign:
    return lambda content: ECAlgorithm(ECAlgorithm.SHA256).sign(content, key.private_key)


def with_secret(secret: bytes) -> Sign:
    return lambda content: hmac.digest(secret, content, "sha256")


@pytest.mark.parametrize("signature", [b"", bytes(64), b"genuine"])
@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, ["ES256"], "ES256"])
async def test_a_receipt_that_nobody_signed_is_refused(files: Files, algorithm: Any, signature: bytes) -> None:
    token = await forged({"alg": algorithm}, lambda _: signature)
    if signature == b"genuine":
        token = token.rpartition(".")[0] + "." + files.token.rpartition(".")[2]
    with pytest.raises(ReceiptError):
        files.check(token)


@pytest.mark.parametrize("algorithm", ["HS256", "ES256"])
@pytest.mark.parametrize(
    "secret",
    [
        lambda key: key.as_pem(private=False),
        lambda key: key.as_der(private=False),
        lambda key: json.dumps(key.as_dict(private=False)).encode(),
        lambda key: base64.urlsafe_b64decode(key.as_dict(private=False)["x"] + "=="),
    ],
)
async def test_the_public_key_is_nobodys_secret(files: Files, secret: Callable[[ECKey], bytes], algorithm: str) -> None:
    with pytest.raises(ReceiptError):
        files.check(await forged({"alg": algorithm}, with_secret(secret(SIGNER._keys[0]))))


OTHER = ECKey.generate_key("P-256")


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ({}, OTHER),
        ({"kid": OTHER.thumbprint()}, OTHER),
        ({"jwk": OTHER.as_dict(private=False)}, OTHER),
        ({"jku": "https://keys.example"}, SIGNER._keys[0]),
        ({"crit": ["exp"], "exp": 1}, SIGNER._keys[0]),
        ({"typ": "JWT"}, SIGNER._keys[0]),
        ({"alg": "ES384"}, SIGNER._keys[0]),
        ({"kid": None}, SIGNER._keys[0]),
    ],
)
async def test_only_our_keys_count_and_only_for_receipts(files: Files, header: dict[str, Any], key: ECKey) -> None:
    with pytest.raises(ReceiptError):
        files.check(await forged(header, with_key(key)))
    genuine = await forged({}, with_key(SIGNER._keys[0]))
    assert files.check(genuine).claims == {"tenantId": TENANT}, "what is refused here is not the forger's craft"


async def test_every_signed_claim_must_be_what_is_shown(files: Files) -> None:
    for name in files.check().claims:
        inside = name in files.members["receipt"]
        for other in ("2026-11-22", 0, None, True, [], {"at": 1}, "", ...):
            members = json.loads(json.dumps(files.members))
            place = members["receipt"] if inside else members
            if place[name] == other and type(place[name]) is type(other):
                continue
            if other is ...:
                del place[name]
            else:
                place[name] = other
            with pytest.raises(ReceiptError, match=name):
                files.check(members)


async def test_one_deletions_receipt_does_not_do_for_another(files: Files) -> None:
    _, deletion = await verified()
    other = {**shown(deletion), "enrollmentId": "f" * 32}
    with pytest.raises(ReceiptError, match="enrollmentId"):
        files.check(other)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace('"sequence": 2', '"sequence": 2.0'), "sequence"),
        (lambda text: text.replace('"sequence": 2', '"sequence": 3, "sequence": 2'), "JSON"),
        (lambda text: text.replace('"firstDay"', '"tenantId": "x", "firstDay"'), "more than was signed"),
        (lambda text: text.replace('"receipt"', '"receipts"'), "without a receipt"),
        (lambda text: text.replace('"jws"', '"jwt"'), "not signed"),
        (lambda text: re.sub('"jws": "[^"]*"', '"jws": ""', text), "not signed"),
        (lambda text: re.sub('"jws": "[^"]*"', '"jws": 5', text), "not signed"),
        (lambda text: text[:-1], "JSON"),
        (lambda text: '{"a":' * 100_000, "JSON"),
        (lambda text: "{}", "without a receipt"),
    ],
)
async def test_what_is_shown_must_be_one_thing(files: Files, change: Callable[[str], str], why: str) -> None:
    text = json.dumps(files.members)
    assert change(text) != text
    with pytest.raises(ReceiptError, match=why):
        files.check(change(text))


# The command


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["verify-receipt", *(str(each) for each in arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


async def test_the_command_prints_the_facts(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, files.deletion, "--keys", files.keys)
    assert (code, err) == (0, "")
    facts = dict(line.split(None, 1) for line in out.splitlines()[:-1])
    assert facts["tenantId"] == TENANT and facts["lastDay"] == "2026-11-24" and facts["reappeared"] == "[]"
    assert "shows each of these facts as it was signed" in out.splitlines()[-1]
    files.deletion.write_text(files.token)
    code, out, _ = run(capsys, files.deletion, "--keys", files.keys)
    assert code == 0 and "beside" not in out


async def test_of_private_keys_it_takes_the_public_half(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    private = SIGNER._keys[0].as_dict(private=True)
    files.keys.write_text(json.dumps({"keys": [private]}))
    code, out, err = run(capsys, files.deletion, "--keys", files.keys)
    assert (code, err) == (0, "") and str(private["d"]) not in out


async def test_without_keys_nothing_is_checked(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(capsys, files.deletion)
    assert ended.value.code == 2 and "--keys" in capsys.readouterr().err


OTHER_KEYS = json.dumps({"keys": [ECKey.generate_key("P-256").as_dict(private=False)]})


@pytest.mark.parametrize(
    ("deletion", "keys", "why"),
    [
        (None, ..., "cannot be read"),
        (b"\xff\xfe", ..., "cannot be read"),
        (b"", ..., "not a compact JWS"),
        (b"{", ..., "not a deletion's JSON"),
        (..., None, "cannot be read"),
        (..., b"[]", "not a JWK Set"),
        (..., b"{}", "not a JWK Set"),
        (..., b'{"keys": [5]}', "not a JWK Set"),
        (..., b'{"keys": []}', "no EC P-256 key"),
        (..., b'{"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]}', "not a JWK Set"),
        (..., b'{"keys": [{"kty": "oct", "crv": "P-256", "k": "AA"}]}', "no EC P-256 key"),
        (..., OTHER_KEYS.encode(), "not among these keys"),
    ],
)
async def test_the_command_says_what_is_wrong_in_a_line(
    files: Files, deletion: Any, keys: Any, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, content in ((files.deletion, deletion), (files.keys, keys)):
        if content is None:
            file.unlink()
        elif content is not ...:
            file.write_bytes(content)
    code, out, err = run(capsys, files.deletion, "--keys", files.keys)
    assert (code, out) == (1, "")
    assert why in err and len(err.splitlines()) == 1


# The page about it


async def test_the_page_names_every_claim(files: Files) -> None:
    table = DOCUMENT.read_text().partition("| claim |")[2].partition("\n\n")[0]
    named = {
        name for row in table.splitlines() for name in re.findall("`([a-zA-Z]+)`", row.split("|")[1] if row else "")
    }
    assert named == set(files.check().claims)


async def test_the_pages_python_does_what_it_says(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    world, deletion = await verified()
    files.deletion.write_text(json.dumps(shown(deletion)))
    events = [event.to_json() for event in world.ledger.events[TENANT]]
    history = files.deletion.with_name("history.json")
    history.write_text(json.dumps({"value": events}))
    monkeypatch.chdir(history.parent)
    pyjwt, joserfc, ledger = re.findall("```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    for check in (pyjwt, joserfc):
        names: dict[str, Any] = {}
        exec(check, names)
        assert names["claims"] == deletion.receipt_claims
        exec(ledger, names)
    history.write_text(json.dumps({"value": [{**event, "actor": "another"} for event in events]}))
    with pytest.raises(AssertionError):
        exec(ledger, names)
    content, _, signature = files.token.rpartition(".")
    changed = f"{content}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    files.deletion.write_text(json.dumps(files.members).replace(files.token, changed))
    for check, error in ((pyjwt, InvalidSignatureError), (joserfc, BadSignatureError)):
        with pytest.raises(error):
            exec(check, {})
