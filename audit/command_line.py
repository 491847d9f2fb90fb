"""Command lines whose mistakes are told in one line."""

import argparse
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """A parser that does not print its usage before the error; ``--help`` does."""

    def error(self, message: str) -> NoReturn:
        """Exit with 2."""
        self.exit(2, f"{self.prog}: {message} (--help says more)\n")
