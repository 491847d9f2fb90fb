"""Running a function once, or until its retry policy is content, exactly as the worker calls it."""

import asyncio
import contextvars
import logging
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from azure.functions.meta import Datum

from local.host.functions import Function, HttpTrigger, converter
from local.host.log import where
from local.host.stopping import Stopping

_log = logging.getLogger("local.host")
_thread_local = threading.local()
_T = TypeVar("_T")


@dataclass(frozen=True)
class TraceContext:
    """The trace of an invocation: the local host starts none."""

    trace_parent: str = ""
    trace_state: str = ""


@dataclass(frozen=True)
class RetryContext:
    """The repeat that an invocation is, with the worker's attribute names."""

    retry_count: int
    max_retry_count: int
    rpc_exception: None = None


class Context:
    """What a handler's ``context`` parameter receives (``azure.functions.Context``)."""

    def __init__(self, function: Function, invocation_id: str, retry_context: RetryContext) -> None:
        """Describe one invocation of ``function``."""
        self.invocation_id = invocation_id
        self.thread_local_storage = _thread_local
        self.function_name = function.name
        self.function_directory = str(function.directory)
        self.trace_context = TraceContext()
        self.retry_context = retry_context


@dataclass(frozen=True)
class Outcome:
    """The end of one invocation."""

    succeeded: bool
    answer: Datum | None
    """The encoded return value of an HTTP function that succeeded."""


class Invoker:
    """Runs functions: async ones on the loop, others in threads; knows what is running, so that a stop can wait."""

    def __init__(self, stopping: Stopping) -> None:
        """Start with nothing running."""
        self._stopping = stopping
        self._threads = ThreadPoolExecutor(thread_name_prefix="function")
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        """Run ``work`` as a task that ``drain`` waits for."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def run(self, function: Function, value: Datum, retry: int = 0) -> Outcome:
        """Call ``function`` with ``value`` (wire form) and log one line; at DEBUG if it has answered a request.

        The run goes on if the caller is cancelled, as it does on the platform when a client hangs up.
        """
        return await asyncio.shield(self.start(self._run(function, value, retry)))

    async def run_with_retries(
        self, function: Function, value: Datum, wanted: Callable[[], bool] = lambda: True
    ) -> bool | None:
        """Call ``function`` until it succeeds (True) or its policy has no repeat left (False).

        Returns None, without an end, if the host stops or ``wanted`` turns false between two runs.
        """
        retry = 0
        while not (await self.run(function, value, retry)).succeeded:
            retry += 1
            if function.retry is None or not function.retry.allows(retry):
                return False
            if await self._stopping.within(function.retry.delay(retry)) or not wanted():
                return None
        return True

    async def drain(self, seconds: float) -> bool:
        """Wait up to ``seconds`` for what is running, cancel the rest, and return whether nothing was left."""
        left: set[asyncio.Task[Any]] = set()
        if self._running:
            _, left = await asyncio.wait(self._running, timeout=seconds)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        self._threads.shutdown(wait=not left, cancel_futures=True)
        return not left

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("a part of the host has failed: %s", where(error))

    async def _run(self, function: Function, value: Datum, retry: int) -> Outcome:
        invocation_id, started = str(uuid.uuid4()), time.monotonic()
        outcome = Outcome(False, None)
        try:
            result = await self._call(function, value, invocation_id, retry)
            outcome = Outcome(True, _encoded(function, result))
        except (Exception, asyncio.CancelledError) as error:
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                raise  # the host is stopping; else something inside the handler was cancelled, which is its failure
            _log.error("%s %s %s", function.name, invocation_id, where(error))
        status = "succeeded" if outcome.succeeded else "failed"
        if outcome.answer is not None and outcome.answer.type == "http":
            status = outcome.answer.value["status_code"].value
        milliseconds = round((time.monotonic() - started) * 1000)
        level = logging.DEBUG if isinstance(function.trigger, HttpTrigger) and outcome.succeeded else logging.INFO
        _log.log(level, "%s %s %s %d ms", function.name, invocation_id, status, milliseconds)
        return outcome

    def _call(self, function: Function, value: Datum, invocation_id: str, retry: int) -> Awaitable[Any]:
        arguments = {function.parameter: converter(function.binding_type).decode(value, trigger_metadata={})}
        limit = function.retry.max_retry_count if function.retry else 0
        if function.wants_context:
            arguments["context"] = Context(function, invocation_id, RetryContext(retry, limit))
        if function.is_async:
            _thread_local.invocation_id = invocation_id
            awaitable: Awaitable[Any] = function.handler(**arguments)
            return awaitable
        call = partial(_in_thread, function.handler, arguments, invocation_id)
        return asyncio.get_running_loop().run_in_executor(self._threads, contextvars.copy_context().run, call)


def _in_thread(handler: Callable[..., Any], arguments: dict[str, Any], invocation_id: str) -> Any:
    _thread_local.invocation_id = invocation_id
    try:
        return handler(**arguments)
    finally:
        _thread_local.invocation_id = None


def _encoded(function: Function, result: Any) -> Datum | None:
    """Encode a return value as the worker does; a value that its converter refuses is a failed invocation."""
    if isinstance(function.trigger, HttpTrigger):
        answer: Datum = converter("http").encode(result, expected_type=None)
        return answer
    if result is not None:
        raise RuntimeError("a function without a $return binding returned a value")
    return None
