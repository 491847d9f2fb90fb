"""Where a planted bug is known by its name."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
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


class Instead:
    """What is all that something else is, but for what a planted bug has of its own."""

    def __init__(self, other: Any) -> None:
        self._other = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._other, name)


def patched(target: Any, name: str, value: Any) -> Any:
    """Replace an attribute while a bug is planted.

    Raises:
        TypeError: if a function is replaced by one that cannot be called like it: every history would find that.
    """
    was = getattr(target, name)
    if isinstance(was, FunctionType) and isinstance(value, FunctionType):
        _check_callable_like(was, value)
    return mock.patch.object(target, name, value)


def _check_callable_like(was: FunctionType, value: FunctionType) -> None:
    parameters = [
        each
        for each in inspect.signature(was).parameters.values()
        if each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}
    ]
    required = [each for each in parameters if each.default is each.empty]
    for each_given in (parameters, required):
        inspect.signature(value).bind(
            *(None for each in each_given if each.kind is not each.KEYWORD_ONLY),
            **{each.name: None for each in each_given if each.kind is each.KEYWORD_ONLY},
        )
