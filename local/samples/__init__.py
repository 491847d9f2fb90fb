"""Invented interactions with assistants, as people write them: what the demo and the tests capture."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Sample:
    """One interaction that has not happened at any time yet.

    Attributes:
        language: of input and output (ISO 639-1).
        feature: the assistant's feature, such as ``power-automate.flow-from-description``.
        input: what the user wrote; no two samples have the same.
        output: what the assistant answered; no two samples have the same.
        telemetry: numbers and flags about the interaction.
        environment_id: the Power Platform environment (GUID), where known.
        user_id: the user (GUID), where known.
    """

    language: str
    feature: str
    input: str
    output: str
    telemetry: Mapping[str, Any]
    environment_id: str | None = None
    user_id: str | None = None

    def capture(self, captured_at: str) -> dict[str, Any]:
        """Return the sample as an element of ``captures`` in a POST, as if it happened then (RFC 3339)."""
        optional = {"environmentId": self.environment_id, "userId": self.user_id}
        return {
            "capturedAt": captured_at,
            "feature": self.feature,
            **{name: value for name, value in optional.items() if value is not None},
            "input": self.input,
            "output": self.output,
            "telemetry": dict(self.telemetry),
        }


def load() -> list[Sample]:
    """Return all samples, the languages in turn, always in the same order."""
    files = sorted(Path(__file__).parent.glob("*.json"))
    languages = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [_sample(values) for turn in zip(*languages, strict=True) for values in turn]


def _sample(values: Mapping[str, Any]) -> Sample:
    renamed = {"environmentId": "environment_id", "userId": "user_id"}
    return Sample(**{renamed.get(name, name): value for name, value in values.items()})
