"""The wish to stop: whoever waits in the host waits on this, so that nothing has to be cancelled half-way."""

import asyncio


class Stopping(asyncio.Event):
    """Set once, when the host stops."""

    async def within(self, seconds: float) -> bool:
        """Wait up to ``seconds`` of real time; return whether the host is stopping."""
        try:
            async with asyncio.timeout(seconds):
                await self.wait()
        except TimeoutError:
            return False
        return True
