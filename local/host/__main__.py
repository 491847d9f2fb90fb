"""``python -m local.host``: run a function app on this machine. Settings come from the environment."""

import argparse
import asyncio
import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path
from typing import Any

from local.host.app import RefusedError, index, load, route_prefix
from local.host.clock import MovableClock
from local.host.log import to_stderr
from local.host.server import Host
from local.lifetime import until_stopped

_REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> int:
    """Run until stopped; return the process's exit code."""
    parser = argparse.ArgumentParser(prog="python -m local.host", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--directory", type=Path, required=True, help="the host's own state: clock and timers")
    parser.add_argument("--app", type=Path, default=_REPOSITORY / "function_app.py", help="function_app.py to run")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input closes")
    arguments = parser.parse_args()
    arguments.app = arguments.app.resolve()
    arguments.directory.mkdir(parents=True, exist_ok=True)
    clock = MovableClock(arguments.directory)
    to_stderr(clock)
    try:
        ended = asyncio.run(_run(arguments, clock))
    except (RefusedError, OSError) as error:
        print(f"local host: refused to start: {error}", file=sys.stderr)
        return 1
    if not ended:
        # A handler's thread cannot be stopped, and the interpreter would wait for it for ever.
        logging.shutdown()
        os._exit(1)
    return 0


async def _run(arguments: argparse.Namespace, clock: MovableClock) -> bool:
    directory: Path = arguments.directory
    app: Path = arguments.app
    bootstrap = _bootstrap()
    if bootstrap is not None:
        bootstrap.use_clock(clock)
    functions = index(load(app), route_prefix(app.parent), os.environ)
    # On Azure it is no application setting but the site's own, siteConfig.cors.allowedOrigins.
    host = Host(functions, clock, directory, arguments.port, os.environ.get("CORS_ALLOWED_ORIGINS", ""))
    try:
        await host.start()
        logging.getLogger("local.host").info("%d functions on port %d", len(functions), arguments.port)
        await until_stopped(exit_with_stdin=arguments.exit_with_stdin)
    finally:
        ended = await host.stop()
        if bootstrap is not None:
            await bootstrap.close()
    return ended


def _bootstrap() -> Any:
    """Return the project's composition root, through which the app gets its clock; None for an app without one."""
    try:
        found = importlib.util.find_spec("shared.bootstrap")
    except ModuleNotFoundError:
        return None
    return None if found is None else importlib.import_module("shared.bootstrap")


if __name__ == "__main__":
    sys.exit(main())
