"""For the change feed of ``tenants``: each opt-out on the ledger becomes a deletion (decision D2)."""

import logging
from collections.abc import Sequence

import azure.functions as func

from shared import log
from shared.bootstrap import Services, new_id, services
from shared.model.items import as_written
from shared.model.ledger import OptedOut, event_from_json

blueprint = func.Blueprint()

_log = logging.getLogger(__name__)


@blueprint.function_name("opt_outs")
@blueprint.cosmos_db_trigger(
    arg_name="documents",
    connection="COSMOS_CONNECTION",
    database_name="data-sharing",
    container_name="tenants",
    lease_container_name="leases",
    # With an Entra identity the attempt to create it would keep the function from starting; infra creates it.
    create_lease_container_if_not_exists=False,
    # A lost lease reads everything again, which is harmless, rather than passing over what came meanwhile (P9).
    start_from_beginning=True,  # type: ignore[arg-type]  # the library annotates it as a time
)
@blueprint.retry(
    strategy="exponential_backoff",
    # Endless: after the last retry the trigger would pass over the batch.
    max_retry_count="-1",
    minimum_interval="00:00:01",
    maximum_interval="00:05:00",
)
async def opt_outs(documents: func.DocumentList) -> None:
    """Schedule the deletion of each opt-out in the batch.

    Raises:
        StoreUnavailable: so that the host delivers the batch again.
    """
    with log.during(log.Request("opt_outs", new_id())):
        created, events = await take(services(), documents)
        if events:
            _log.info("opt-outs: %d seen, %d deletions scheduled", events, created)


async def take(made: Services, documents: Sequence[func.Document]) -> tuple[int, int]:
    """Return how many deletions were scheduled, and of how many opt-outs.

    Whoever committed an opt-out may have died before it changed the epoch: then that is done here (D21).

    Raises:
        StoreUnavailable: if not all of it was done; then all of it can be done again.
    """
    opt_outs = [(event, document.get("_ts")) for document in documents if (event := _opt_out(document)) is not None]
    created = await made.deletions.schedule([event for event, _ in opt_outs])
    await made.epochs.outdate(*((event.tenant_id, at) for event, at in opt_outs))
    return created, len(opt_outs)


def _opt_out(document: func.Document) -> OptedOut | None:
    # By kind, and not by id or shape: settings and opt-ins pass by, and so does what no version of ours has written.
    if document.get("kind") != "optedOut":
        return None
    try:
        event = as_written(event_from_json, dict(document))
    except ValueError:
        # It must not block what is behind it; the sweep reports a ledger that it cannot read.
        _log.error("an optedOut event is malformed and was passed over")
        return None
    return event if isinstance(event, OptedOut) else None
