"""A process of the stack ends with the command that started it, however that command ended."""

import asyncio
import os
import signal
import threading


async def until_stopped(*, exit_with_stdin: bool) -> None:
    """Return at SIGTERM or SIGINT, and, if ``exit_with_stdin``, when standard input closes.

    A parent that is killed cannot signal its children, but the operating system closes its end of their standard input.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if exit_with_stdin:
        threading.Thread(target=_watch_stdin, args=(loop, stopped), daemon=True).start()
    await stopped.wait()


def _watch_stdin(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(stopped.set)
