"""One purge at a given time, in a process that a test may kill: ``python -m tests.e2e.purge_once TIME``."""

import asyncio
import os
import sys
from datetime import datetime

from shared.bootstrap import connect
from shared.configuration import Configuration
from tests.clocks import ManualClock


async def main() -> None:
    services = connect(Configuration.read(os.environ), ManualClock(datetime.fromisoformat(sys.argv[1])))
    await services.purge.run()
    for close in services.closers:
        await close()


asyncio.run(main())
