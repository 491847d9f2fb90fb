"""Processes of the bench's own: the load generator, and programs that are run once."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Self

from bench.load import Load, Measured
from bench.results import BenchError
from local.process import ROOT

_LINE_LIMIT = 1024 * 1024


class Generator:
    """The load generator's process, as an async context manager; it takes one load after another."""

    _child: asyncio.subprocess.Process

    async def __aenter__(self) -> Self:
        """Start it."""
        self._child = await _start("bench.load", stdin=asyncio.subprocess.PIPE)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it."""
        if self._child.returncode is None:
            self._child.kill()
        await self._child.communicate()

    async def run(self, load: Load) -> Measured:
        """Send a load.

        Raises:
            BenchError: if the generator ended; why is on standard error.
        """
        assert self._child.stdin and self._child.stdout
        self._child.stdin.write(json.dumps(asdict(load)).encode() + b"\n")
        await self._child.stdin.drain()
        answer = await self._child.stdout.readline()
        if not answer:
            raise BenchError("the load generator has ended")
        return Measured(**json.loads(answer))


async def run_once(module: str, *arguments: str, settings: Mapping[str, str] | None = None) -> Any:
    """Run ``python -m module arguments`` and return the JSON that it prints.

    Raises:
        BenchError: if it fails; why is on standard error.
    """
    child = await _start(module, *arguments, settings=settings)
    try:
        output, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode:
        raise BenchError(f"{module} ended with {child.returncode}")
    return json.loads(output)


async def _start(
    module: str, *arguments: str, settings: Mapping[str, str] | None = None, stdin: int = asyncio.subprocess.DEVNULL
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env={**environment(), **(settings or {})},
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        limit=_LINE_LIMIT,
    )


def environment() -> dict[str, str]:
    """Return this process's environment without proxies, as nothing here leaves the machine.

    Byte code is written, whatever is usual here: where the app is deployed it is there, and a cold start reads it.
    """
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept
