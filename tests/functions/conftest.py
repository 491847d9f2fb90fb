"""A world behind the functions, for whoever asks for one."""

from tests.functions.api import api

__all__ = ["api"]
