"""For the timer: the purge of every served geo."""

import logging

import azure.functions as func

from shared import log
from shared.bootstrap import new_id, services

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


@blueprint.function_name("purge")
@blueprint.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", use_monitor=True, run_on_startup=False)
async def purge(timer: func.TimerRequest) -> None:
    """Purge, and log one line for each geo."""
    with log.during(log.Request("purge", new_id())):
        for geo, heartbeat in (await services().purge.run()).items():
            counts = ", ".join(f"{name} {number}" for name, number in sorted(heartbeat.counts.items()))
            level = logging.ERROR if heartbeat.outcome == "failed" else logging.INFO
            _log.log(level, "purge of %s: %s (%s) %s", geo, heartbeat.outcome, counts, heartbeat.error or "")
