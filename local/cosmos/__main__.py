"""``python -m local.cosmos --port P --data FILE --key BASE64``: serve the development Cosmos DB on 127.0.0.1."""

import argparse
import asyncio
import base64
from pathlib import Path

from aiohttp import web

from local.cosmos.database import Database
from local.cosmos.server import Server
from local.lifetime import until_stopped

# Continuation tokens carry the order values of a row, so a header may be longer than aiohttp's 8 KiB.
_MAX_HEADER_BYTES = 64 * 1024


def main() -> None:
    """Parse the arguments and serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m local.cosmos", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--data", type=Path, required=True, help="the SQLite file, created if missing")
    parser.add_argument("--key", type=_key, required=True, help="the account key, base64")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop when standard input closes")
    arguments = parser.parse_args()
    asyncio.run(serve(arguments.port, arguments.data, arguments.key, exit_with_stdin=arguments.exit_with_stdin))


async def serve(port: int, data: Path, key: bytes, *, exit_with_stdin: bool) -> None:
    """Serve on 127.0.0.1 until stopped.

    Args:
        port: the TCP port.
        data: the SQLite file.
        key: the account key, decoded.
        exit_with_stdin: also stop when standard input closes.
    """
    database = Database(data)
    runner = web.AppRunner(
        Server(database, key).application(), access_log=None, shutdown_timeout=1, max_field_size=_MAX_HEADER_BYTES
    )
    try:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        print(f"Cosmos DB for development on http://127.0.0.1:{port}/", flush=True)
        await until_stopped(exit_with_stdin=exit_with_stdin)
    finally:
        await runner.cleanup()
        database.close()


def _key(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


if __name__ == "__main__":
    main()
