"""Azurite, the storage of the stack: one process per geo, so that one geo can be down alone."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from local.process import ROOT, ProgramMissing

_BLOB_SERVICE = ROOT / "local/node_modules/azurite/dist/src/blob/main.js"
_EXIT_WITH_STDIN = ROOT / "local/exit-with-stdin.cjs"


def account_name(place: str) -> str:
    """Return the name of the storage account that stands for a geo, or for ``{geo}/2``, its second."""
    return f"st{place.replace('/', '')}"


def require() -> None:
    """Raise ``ProgramMissing`` unless Node and Azurite are there."""
    if shutil.which("node") is None:
        raise ProgramMissing("There is no node on the PATH, on which Azurite runs: install Node 20.19 or newer.")
    if not _BLOB_SERVICE.exists():
        raise ProgramMissing("Azurite is not installed: run `make setup`.")


def command(*, port: int, location: Path | None) -> list[str]:
    """Return how to run a blob service that keeps its data on disk below ``location``, or in memory alone."""
    return [
        "node",
        *("-r", str(_EXIT_WITH_STDIN), str(_BLOB_SERVICE)),
        *("--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *(["--inMemoryPersistence"] if location is None else ["--location", str(location)]),
        "--silent",  # its access log holds full URIs (P8)
        "--skipApiVersionCheck",  # azure-storage-blob speaks a newer version than Azurite knows
        "--disableTelemetry",
    ]


def environment(accounts: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which Azurite has ``accounts``, name to key (base64), instead of its well-known one."""
    return {"AZURITE_ACCOUNTS": ";".join(f"{name}:{key}" for name, key in accounts.items())}


def connection_string(*, account: str, key: str, port: int) -> str:
    """Return the connection string of ``account`` (blob service only)."""
    endpoint = f"http://127.0.0.1:{port}/{account}"
    return f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};BlobEndpoint={endpoint};"
