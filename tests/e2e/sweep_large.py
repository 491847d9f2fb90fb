"""``python -m tests.e2e.sweep_large CONNECTION_STRING DAYS < ENROLLMENTS``: sweep one account, and tell what it took.

A process of its own, so that its memory is that of the sweep. The ledger and the deletions are fakes, the storage
account is reached with the SDK.
"""

import asyncio
import json
import re
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from shared.abandoned import Abandoned
from shared.accounts import Account, Accounts
from shared.bootstrap import new_key
from shared.model.notices import NOTICES, Notices
from shared.pairing import Pairing
from shared.sharing.data_sharing import DataSharing
from shared.sharing.epochs import Epochs
from shared.stores.blobs import AzureCaptureStore
from shared.stores.memory import MemoryDeletions, MemoryLedger, MemoryOperations
from shared.sweep.sweep import Sweep
from tests.changes import opting_in
from tests.clocks import START, ManualClock
from tests.world import SIGNER

LONG_IN_FORCE = Notices([replace(NOTICES.published[-1], valid_from=START - timedelta(days=100))])


async def main() -> None:
    setting, days = sys.argv[1], int(sys.argv[2])
    clock = ManualClock(START - timedelta(days=days), jumping=True)
    store = AzureCaptureStore.connect(setting, None)
    ledger, accounts = MemoryLedger(), Accounts([Account("europe", store, 30)], 30)
    abandoned = Abandoned(accounts, ledger, MemoryDeletions(), MemoryOperations(), clock)
    epochs = Epochs(MemoryOperations(), clock)
    enrollments = sys.stdin.read().split()
    for n, enrollment_id in enumerate(enrollments):
        sharing = DataSharing(
            ledger,
            accounts,
            abandoned,
            epochs,
            LONG_IN_FORCE,
            clock,
            lambda: enrollment_id,  # noqa: B023
            new_key,
        )
        await sharing.put(f"{n:08x}-0000-4000-8000-000000000000", opting_in("europe"))
    clock.set(START)
    operations = MemoryOperations()
    operations.deployment = "d" * 32
    pairing = Pairing(operations, lambda: "")
    sweep = Sweep(accounts, pairing, ledger, MemoryDeletions(), operations, SIGNER, clock)
    heartbeat = (await sweep.run())[store.account]
    print(json.dumps({"outcome": heartbeat.outcome, "counts": dict(heartbeat.counts), "peakBytes": peak_bytes()}))
    await store.close()


def peak_bytes() -> int:
    """Return the most memory that this program has had; by getrusage it would be its parent's, if that had more."""
    [kib] = re.findall(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kib) * 1024


if __name__ == "__main__":
    asyncio.run(main())
