"""A world behind the functions, for whoever asks for one; and one in which there is something to review."""

from tests.functions.api import api, granted

__all__ = ["api", "granted"]
