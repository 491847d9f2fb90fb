"""Messages between people and assistants, in the shape of OpenTelemetry's GenAI conventions (decision D17).

The reference are the JSON schemas of version 1.41.1 of the conventions (``gen-ai-input-messages.json``,
``gen-ai-output-messages.json``, ``gen-ai-system-instructions.json``). Types of parts that they do not know pass as they
are.
"""

import base64
import binascii
import hashlib
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

CONVENTIONS = "1.41.1"
"""The version of OpenTelemetry's semantic conventions whose messages are meant."""

TEXT_MAX_BYTES = 256 * 1024
"""Bytes of UTF-8 in an input or an output, or in a text of a part."""

INLINE_MAX_BYTES = 16 * 1024
"""Of a media part that holds its bytes: more are replaced by their SHA-256 and length."""


def is_short_enough(text: str) -> bool:
    """Tell whether a text is not longer than ``TEXT_MAX_BYTES``."""
    return len(text) <= TEXT_MAX_BYTES // 4 or len(text.encode()) <= TEXT_MAX_BYTES


def _part(part: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if not isinstance(part.get("type"), str):
        raise ValueError("needs a type that is a text")
    if not all(is_short_enough(value) for value in part.values() if isinstance(value, str)):
        raise ValueError(f"may have at most {TEXT_MAX_BYTES} bytes of UTF-8 in a text")
    return without_long_media(part)


Part = Annotated[
    dict[str, JsonValue],
    AfterValidator(_part),
    WithJsonSchema(
        {
            "type": "object",
            "required": ["type"],
            "properties": {
                "type": {
                    "type": "string",
                    "description": "text, reasoning, tool_call, tool_call_response, blob, file, uri, or any other.",
                }
            },
            "additionalProperties": True,
        }
    ),
]


class Message(BaseModel):
    """One message: who speaks (``system``, ``user``, ``assistant``, ``tool`` or another), and what.

    Its members, and those of its parts, are named as OpenTelemetry's conventions name them.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", hide_input_in_errors=True)

    role: Annotated[str, Field(max_length=200)]
    parts: list[Part]
    name: str | None = None
    finish_reason: str | None = None


def without_long_media(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part without inline bytes that are too many: their SHA-256 and how many there were stand for them."""
    if part.get("type") == "blob" and isinstance(part.get("content"), str):
        name, encoded = "content", part["content"]
    elif part.get("type") == "uri" and str(part.get("uri", "")).startswith("data:"):
        name, encoded = "uri", part["uri"].partition(",")[2]
    else:
        return part
    if len(encoded) <= INLINE_MAX_BYTES:
        return part
    try:
        media = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):  # percent encoded, or none at all: what was sent is what is hashed
        media = encoded.encode()
    if len(media) <= INLINE_MAX_BYTES:
        return part
    kept = {member: value for member, value in part.items() if member != name}
    return {**kept, "sha256": hashlib.sha256(media).hexdigest(), "bytes": len(media)}
