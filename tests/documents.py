"""The commands in the documents, and where each of them can run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "bench" / "README.md",
    ROOT / "infra" / "README.md",
    ROOT / "portal" / "README.md",
]
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)

_INDENTED = re.compile(r"(?:^ {4}(?:make|\.venv/bin/)[^\n]*\n)+", re.MULTILINE)
_INLINE = re.compile(r"`((?:curl|make|\.venv/bin/\S+) [^`]*)`")
_OF_AZURE = re.compile(r"^# on Azure|(?:^|[|;&(])\s*azd? ", re.MULTILINE)
_OF_STACK = re.compile(r"\$(?:API|HOST)\b")
# All of it, from the first command on.
_WHOLLY_OF_AZURE = ROOT / "docs" / "deploy.md"
_WHOLLY_OF_STACK = ROOT / "docs" / "reviewing.md"


class Where(Enum):
    """What a block of commands needs."""

    AZURE = "a subscription: it cannot be run here, and says so by ``az`` or by ``# on Azure``"
    STACK = "a local stack, with the variables of the README's walk"
    TOOLS = "nothing: make, pytest, the simulation, the bench"


@dataclass(frozen=True, slots=True)
class Commands:
    """A block of commands, or one in the middle of a sentence."""

    document: Path
    text: str

    @property
    def where(self) -> Where:
        """What they need."""
        if self.document == _WHOLLY_OF_AZURE or _OF_AZURE.search(self.text):
            return Where.AZURE
        of_stack = self.document == _WHOLLY_OF_STACK or _OF_STACK.search(self.text)
        return Where.STACK if of_stack else Where.TOOLS

    @property
    def lines(self) -> list[str]:
        """Each command, without its comment."""
        whole = self.text.replace("\\\n", " ")
        return [line for each in whole.splitlines() if (line := re.sub(r"(?:^|\s)#\s.*$", "", each).strip())]


def commands(document: Path) -> Iterator[Commands]:
    """Yield a document's commands, in their order but for those in sentences, which come last."""
    text = document.read_text(encoding="utf-8")
    for _, language, block in FENCE.findall(text):
        if language == "bash":
            yield Commands(document, block)
    prose = FENCE.sub("", text)
    for block in _INDENTED.findall(prose):
        yield Commands(document, block)
    for command in _INLINE.findall(_INDENTED.sub("", prose)):
        yield Commands(document, command + "\n")
