"""The keys that sign receipts (P6)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

_ALGORITHM = "ES256"
_TYPE = "deletion-receipt+jwt"


class LocalSigner:
    """Keys in memory: the first one signs, and all are published. For development and tests."""

    def __init__(self, keys: Sequence[ECKey]) -> None:
        self._keys = keys

    @classmethod
    def read(cls, file: Path) -> "LocalSigner":
        """Return the signer whose private keys ``file`` holds: a JWK Set."""
        return cls([ECKey.import_key(key) for key in json.loads(file.read_text(encoding="utf-8"))["keys"]])

    async def sign(self, claims: Mapping[str, Any]) -> str:
        """See ``ReceiptSigner``."""
        key = self._keys[0]
        header = {"alg": _ALGORITHM, "kid": key.thumbprint(), "typ": _TYPE}
        return jws.serialize_compact(header, json.dumps(claims), key, algorithms=[_ALGORITHM])

    async def public_keys(self) -> Sequence[Mapping[str, Any]]:
        """See ``ReceiptSigner``."""
        return [
            {**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig", "alg": _ALGORITHM}
            for key in self._keys
        ]
