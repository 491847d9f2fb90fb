"""Bodies of POSTs, prepared before anything is measured."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from local import samples
from shared.model.items import format_instant

_SAMPLES = samples.load()
# In random order they compress worse than people's sentences do, so what is stored is rather over- than understated.
_WORDS = " ".join(f"{sample.input} {sample.output}" for sample in _SAMPLES).split()


def bodies(count: int, *, captures: int, capture_bytes: int) -> list[str]:
    """Return ``count`` different bodies of ``captures`` captures, each of which is about ``capture_bytes`` of JSON.

    They happened now, always with the same words.
    """
    chosen = random.Random(captures)  # noqa: S311 - it is to be the same each time
    at = format_instant(datetime.now(UTC))
    return [_json({"captures": [_capture(chosen, at, capture_bytes) for _ in range(captures)]}) for _ in range(count)]


def captures(seed: int, count: int, capture_bytes: int) -> list[dict[str, Any]]:
    """Return ``count`` captures of about ``capture_bytes`` that happened now, with messages instead of plain texts."""
    chosen = random.Random(seed)  # noqa: S311 - they are to be the same each time
    at = format_instant(datetime.now(UTC))
    return [_with_messages(_capture(chosen, at, capture_bytes)) for _ in range(count)]


def _with_messages(capture: dict[str, Any]) -> dict[str, Any]:
    said = {
        f"{name}Messages": [{"role": role, "parts": [{"type": "text", "content": capture.pop(name)}]}]
        for name, role in (("input", "user"), ("output", "assistant"))
    }
    return capture | said


def _capture(chosen: random.Random, at: str, size: int) -> dict[str, Any]:
    capture = chosen.choice(_SAMPLES).capture(at)
    room = size - len(_json({**capture, "input": "", "output": ""}).encode())
    return {**capture, "input": _text(chosen, room // 4), "output": _text(chosen, room - room // 4)}


def _text(chosen: random.Random, size: int) -> str:
    words: Sequence[str] = chosen.choices(_WORDS, k=size // 2)
    text = " ".join(words).encode()[:size]
    return text.decode(errors="ignore").replace('"', "'").replace("\\", "/")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
