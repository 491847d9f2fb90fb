"""Command lines whose mistakes are told in one line."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser that does not print its usage before the error; ``--help`` does."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        self.exit(2, f"{self.prog}: {message} (--help says more)\n")


def count(text: str) -> int:
    """A number of at least one, for ``type=``; raises ``ArgumentTypeError`` for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999999")
    return int(text)
