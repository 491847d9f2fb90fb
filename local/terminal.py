"""What a person reads in a terminal: within 80 columns, with colours only where they are shown."""

import os
import sys
import textwrap
from enum import StrEnum

WIDTH = 80


class Style(StrEnum):
    """How a line stands out: ANSI's SGR parameters."""

    PLAIN = ""
    HEADING = "1"
    GOOD = "32"
    BAD = "31"


def say(text: str = "", *, mark: str = "", indent: int = 0, style: Style = Style.PLAIN) -> None:
    """Print ``text`` at once, wrapped.

    Args:
        text: one paragraph.
        mark: what stands before its first line; the others begin under the text.
        indent: how many columns are left empty.
        style: of the mark, or of the text if there is none. Left out where standard output is no terminal, where
            ``NO_COLOR`` is set (no-color.org) or ``TERM`` is ``dumb``.
    """
    under = indent + len(mark)
    lines = textwrap.wrap(text, WIDTH - under, break_on_hyphens=False) or [""]
    if style and _shows_colours():
        if mark:
            mark = f"\x1b[{style}m{mark}\x1b[0m"
        else:
            lines = [f"\x1b[{style}m{line}\x1b[0m" for line in lines]
    first, *others = lines
    print("\n".join([" " * indent + mark + first, *(" " * under + each for each in others)]), flush=True)


def _shows_colours() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
