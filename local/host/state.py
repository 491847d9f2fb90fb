"""The host's small state files, which several hosts may share."""

import json
import os
from pathlib import Path
from typing import Any


def write(file: Path, value: dict[str, Any]) -> None:
    """Replace ``file`` in one step: a host that reads it at this moment sees the old value or the new one."""
    draft = file.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(value))
    draft.replace(file)


def read(file: Path) -> dict[str, Any] | None:
    """Return what was written, or None if nothing was."""
    try:
        value: dict[str, Any] = json.loads(file.read_text())
    except FileNotFoundError:
        return None
    return value
