"""Invented interactions with assistants, as people write them: what the demo and the tests capture."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from local import exports


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

    def span(self, ended_at: datetime, number: int, tenant_id: str) -> dict[str, Any]:
        """Return the sample as a span by OpenTelemetry's GenAI conventions (``local.exports``).

        Args:
            ended_at: when it happened.
            number: tells it from the other samples' spans.
            tenant_id: whose it is.
        """
        texts = {"input": ("user", self.input), "output": ("assistant", self.output)}
        messages = {
            f"gen_ai.{name}.messages": json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
            for name, (role, text) in texts.items()
        }
        optional = {"environment.id": self.environment_id, "user.id": self.user_id}
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.agent.name": self.feature,
            "microsoft.tenant.id": tenant_id,
            **messages,
            **{name: value for name, value in optional.items() if value is not None},
            **self.telemetry,
        }
        return exports.span(ended_at, number, attributes, hashlib.sha256(self.input.encode()).hexdigest()[:32])


def load() -> list[Sample]:
    """Return all samples, the languages in turn, always in the same order."""
    files = sorted(Path(__file__).parent.glob("*.json"))
    languages = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    return [_sample(values) for turn in zip(*languages, strict=True) for values in turn]


def _sample(values: Mapping[str, Any]) -> Sample:
    renamed = {"environmentId": "environment_id", "userId": "user_id"}
    return Sample(**{renamed.get(name, name): value for name, value in values.items()})
