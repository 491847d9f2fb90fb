"""A child process of the stack: ready before it is used, logged to a file, and gone when its parent is."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import aiohttp

ROOT = Path(__file__).resolve().parent.parent
"""The repository, every child's working directory."""

READY_SECONDS = 120.0
"""A first start of Azurite on a busy machine with a cold disk was seen to take 37 s."""

STOP_SECONDS = 10.0

_TAIL_LINES = 20
# Named one by one: AZURE_* would let a real account in, a proxy's variables would send 127.0.0.1 elsewhere.
_KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR")


class ProcessError(Exception):
    """A process did not become ready; the message says which, why and where its log is."""


class ProgramMissing(ProcessError):
    """What a process of the stack runs on is not installed; the message says what, in one line."""


class Process:
    """One child process that serves HTTP on one port, and can be stopped and started again there.

    Attributes:
        name: what it is called in messages and ``logs/``.
        url: ``http://127.0.0.1:PORT``, without a slash at the end.
        log: the file that its standard output and error are appended to.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        port: int,
        log: Path,
        environment: Mapping[str, str],
        ready: str = "/",
        ready_status: int | None = None,
        keep_open: Sequence[int] = (),
    ) -> None:
        """Describe the process; nothing is started.

        Args:
            name: see above.
            command: the program and its arguments. It must end when its standard input closes.
            port: where it listens.
            log: see above.
            environment: what it finds in its environment, next to ``PATH`` and a few like it.
            ready: the path that answers once it is ready.
            ready_status: the HTTP status of that answer; None for any.
            keep_open: file descriptors that it inherits.
        """
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self._command = command
        self._environment = environment
        self._ready = self.url + ready
        self._ready_status = ready_status
        self._keep_open = keep_open
        self._child: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id, or None when it was not started, or stopped."""
        return self._child.pid if self._child else None

    @property
    def died(self) -> bool:
        """Whether it ended without ``stop`` or ``kill``."""
        return self._child is not None and self._child.returncode is not None

    async def start(self) -> None:
        """Start it and return once it is ready.

        Raises:
            ProcessError: if it ended, or was not ready in time; then it is not running.
        """
        if self._child is not None:
            raise ProcessError(f"{self.name} is running already.")
        try:
            self._child = await self._spawn()
        except OSError as error:
            raise ProcessError(f"{self.name} could not be started: {error}") from None
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._until_ready(self._child)
        except BaseException as error:
            await self.kill()
            if isinstance(error, TimeoutError):
                raise ProcessError(f"{self.name} was not ready after {READY_SECONDS:.0f} s.\n{self.tail()}") from None
            raise

    async def stop(self) -> None:
        """Ask it to end (SIGTERM), insist after 10 s (SIGKILL), and return once it has; do nothing if it is not up."""
        if self._child:
            with suppress(ProcessLookupError):
                self._child.terminate()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._child.wait(), STOP_SECONDS)
        await self.kill()

    async def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; do nothing if it is not up."""
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
        if child.stdin:  # else the event loop may be closed before the pipe is
            child.stdin.close()
            with suppress(OSError):
                await child.stdin.wait_closed()

    def tail(self) -> str:
        """Return where its log is, and the last lines of it."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-_TAIL_LINES:]
        except FileNotFoundError:
            lines = []
        return "\n".join([f"The end of {self.log}:", *(f"  {line}" for line in lines)])

    async def _spawn(self) -> asyncio.subprocess.Process:
        kept = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,  # never written to: it closes when this process ends, however it ends
                stdout=log,
                stderr=asyncio.subprocess.STDOUT,
                cwd=ROOT,
                env=kept | dict(self._environment),
                pass_fds=self._keep_open,
                start_new_session=True,  # Ctrl-C is for the supervisor, which then stops the children in order
            )

    async def _until_ready(self, child: asyncio.subprocess.Process) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
            while True:
                ready = await self._answers(session)
                # Asked afterwards: the answer may be another's that took the port first, and made this one end.
                if child.returncode is not None:
                    raise ProcessError(f"{self.name} ended with {child.returncode} at its start.\n{self.tail()}")
                if ready:
                    return
                await asyncio.sleep(0.05)

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(self._ready) as response:
                return self._ready_status in (None, response.status)
        except (aiohttp.ClientError, TimeoutError):
            return False
