"""For the timer: do the promises hold, as one log line and, where a connection string is set, as metrics."""

import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

import azure.functions as func

from shared import log
from shared.bootstrap import new_id, services
from shared.configuration import ConfigurationError
from shared.model.metrics import Measurement
from shared.ports import StoreUnavailable
from shared.watch.metrics import measured, unreadable

if TYPE_CHECKING:
    from shared.stores.monitor import Monitor

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


class _Process:
    """What there is one of in a process."""

    monitor: "Monitor | None" = None


@blueprint.function_name("metrics")
@blueprint.timer_trigger(arg_name="timer", schedule="0 3-59/5 * * * *", use_monitor=True, run_on_startup=False)
async def metrics(timer: func.TimerRequest) -> None:
    """Read the status, log in one line whether the promises hold, and send its figures; no failure is raised."""
    with log.during(log.Request("metrics", new_id())):
        await _send(await _look())


async def _look() -> Iterable[Measurement]:
    try:
        report = await services().status.report()
    except Exception as error:
        _log.error("the status cannot be read: %(code)s", {"code": _code(error)})
        return unreadable()
    if report.holds:
        _log.info("the promises hold")
    else:
        broken = [promise for promise, holds in report.promises.items() if not holds]
        _log.error("promises that do not hold: %(promises)s", {"promises": ", ".join(broken)})
    return measured(report)


async def _send(measurements: Iterable[Measurement]) -> None:
    connection_string = os.environ.get("APPLICATIONINSIGHTS_CONNECTION_STRING", "").strip()
    if not connection_string:
        return
    try:
        if _Process.monitor is None:
            # Here and not above, because no other function should wait for these imports.
            from shared.stores.monitor import Monitor  # noqa: PLC0415

            _Process.monitor = Monitor.connect(connection_string)
        await _Process.monitor.send(measurements)
    except Exception as error:
        _log.error("the metrics cannot be sent: %(code)s", {"code": log.where(error)})


def _code(error: Exception) -> str:
    match error:
        case StoreUnavailable():
            return error.code
        case ConfigurationError():
            return str(error)
    return log.where(error)
