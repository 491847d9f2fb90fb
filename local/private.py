"""Files that only their owner may read: keys, and what contains them."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` with mode 0600, so that a reader sees either all of it or what was there before."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mkstemp makes it 0600
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).replace(path)


def read_or_create(path: Path, create: Callable[[], str]) -> str:
    """Return what ``path`` holds; if it does not exist, keep there what ``create`` returns, with mode 0600."""
    if not path.exists():
        write(path, create())
    return path.read_text(encoding="utf-8")
