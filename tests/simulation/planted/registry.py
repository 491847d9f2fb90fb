"""Where a planted bug is known by its name."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

Plant = Callable[[], Iterator[None]]
MUTANTS: dict[str, Callable[[], Any]] = {}


def mutant(name: str) -> Callable[[Plant], Plant]:
    """Register a planted bug under its name; the generator plants it, yields, and takes it out."""

    def register(plant: Plant) -> Plant:
        MUTANTS[name] = contextmanager(plant)
        return plant

    return register


def patched(target: Any, name: str, value: Any) -> Any:
    """Replace an attribute while a bug is planted."""
    return mock.patch.object(target, name, value)
