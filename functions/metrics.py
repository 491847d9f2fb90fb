"""For the timer: do the promises hold, as one log line and, where a connection string is set, as metrics."""

import logging
from collections.abc import Iterable

import azure.functions as func

from shared import log
from shared.bootstrap import monitor, new_id, services
from shared.configuration import ConfigurationError
from shared.model.metrics import Measurement
from shared.ports import StoreUnavailable
from shared.watch.metrics import measured, unreadable

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


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
    try:
        to = monitor()
        if to is not None:
            await to.send(measurements)
    except Exception as error:
        _log.error("the metrics cannot be sent: %(code)s", {"code": log.where(error)})


def _code(error: Exception) -> str:
    match error:
        case StoreUnavailable():
            return error.code
        case ConfigurationError():
            return str(error)
    return log.where(error)
