"""For the timer: the sweep of the ledger and of every served account."""

import logging

import azure.functions as func

from functions._timers import log_heartbeats
from shared import log
from shared.bootstrap import new_id, services

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


@blueprint.function_name("sweep")
@blueprint.timer_trigger(arg_name="timer", schedule="0 20 * * * *", use_monitor=True, run_on_startup=False)
async def sweep(timer: func.TimerRequest) -> None:
    """Sweep, and log one line for the ledger and for each account; and look at how the accounts are set up."""
    with log.during(log.Request("sweep", new_id())):
        posture = services().posture
        if posture is not None:  # first: a sweep that fails, or takes all the time there is, must not keep it away
            await posture.check()
        log_heartbeats(_log, (await services().sweep.run()).values())
