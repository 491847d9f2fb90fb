"""For the timer: the purge of every served account."""

import logging

import azure.functions as func

from functions._timers import log_heartbeats
from shared import log
from shared.bootstrap import new_id, services

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


@blueprint.function_name("purge")
@blueprint.timer_trigger(arg_name="timer", schedule="0 */5 * * * *", use_monitor=True, run_on_startup=False)
async def purge(timer: func.TimerRequest) -> None:
    """Purge, and log one line for each account."""
    with log.during(log.Request("purge", new_id())):
        log_heartbeats(_log, (await services().purge.run()).values())
