"""The functions of a function app of the tests' own: the library lets an app be read only once."""

import importlib.util
from pathlib import Path
from typing import Any


def _load() -> dict[str, Any]:
    spec = importlib.util.spec_from_file_location(
        "function_app_of_the_tests", Path(__file__).parents[2] / "function_app.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return {each.get_function_name(): each for each in module.app.get_functions()}


FUNCTIONS = _load()
NO_API = {"portal"}
"""The one HTTP function that is a page and no operation (D19)."""
