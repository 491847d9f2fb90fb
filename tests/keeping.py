"""Heartbeats and checks put where the jobs keep theirs."""

from functools import partial

from shared import standing
from shared.model.heartbeats import Heartbeat
from shared.model.posture import PostureCheck
from shared.ports import OperationStore, PostureStore


async def keep(store: OperationStore | PostureStore, value: Heartbeat | PostureCheck) -> None:
    """Write ``value`` in place of whatever stands there."""
    name = (value.kind, value.storage_account) if isinstance(value, Heartbeat) else (value.storage_account,)
    last = partial(store.last, *name)  # type: ignore[call-arg, arg-type]
    await standing.put(last, store.write, lambda _: value)  # type: ignore[arg-type, return-value]
