"""For operators and load balancers: do the promises hold, and is this instance ready."""

import logging
from typing import Any

import azure.functions as func

from functions._http import answering, caller_of, json_answer
from shared.bootstrap import services
from shared.callers import allow
from shared.configuration import ConfigurationError
from shared.items import format_instant
from shared.status import GeoStatus

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


@blueprint.function_name("status")
@blueprint.route("status", methods=["GET"])
@answering
async def status(req: func.HttpRequest) -> func.HttpResponse:
    """Tell which promises hold, and from what that follows."""
    caller = await caller_of(req)
    allow(caller.is_operator)
    report = await services().status.report()
    body = {
        "at": format_instant(report.at),
        "holds": report.holds,
        "promises": dict(report.promises),
        "overdueDeletions": report.overdue_deletions,
        "geos": {geo: _geo(each) for geo, each in report.geos.items()},
    }
    return json_answer(body)


@blueprint.function_name("health")
@blueprint.route("health", methods=["GET"])
async def health(req: func.HttpRequest) -> func.HttpResponse:
    """Tell whether this instance's settings let it work; which one does not is for the log only."""
    try:
        services()
    except ConfigurationError as error:
        _log.error("not ready: %s", error)
        return json_answer({"status": "not ready"}, status=503)
    return json_answer({"status": "ready"})


def _geo(each: GeoStatus) -> dict[str, Any]:
    counts = each.deletions
    oldest = counts.oldest_deadline if counts else None
    return {
        "storageAccount": each.storage_account,
        "error": each.error,
        "oldestDay": each.oldest_day.isoformat() if each.oldest_day else None,
        "pendingDeletions": counts.pending if counts else None,
        "overdueDeletions": counts.overdue if counts else None,
        "oldestDeadline": format_instant(oldest) if oldest else None,
        "lastPurge": each.last_purge.to_json() if each.last_purge else None,
    }
