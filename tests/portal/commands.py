"""Commands that the tests run: what they print is shown only if they fail."""

import subprocess
from pathlib import Path

import pytest


def succeeds(*command: str | Path, seconds: int) -> None:
    """Run a command, and fail with all that it has printed unless it succeeds in time."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
    )
    if done.returncode:
        pytest.fail(f"{command[0]} failed:\n{done.stdout}", pytrace=False)
