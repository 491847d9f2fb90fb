"""The posture of the accounts that this deployment uses, checked with every sweep, and which promises rest on that."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.clock import Clock
from shared.model.posture import COSMOS_RULES, STORAGE_RULES, Finding, PostureCheck, Rule
from shared.ports import Inspected, InspectedAccount, Setup, StoreUnavailable

MAX_AGE = timedelta(hours=3)
"""Three sweeps: what an older check found is not known to be so now."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Posture:
    """Checks the accounts that this deployment uses, and tells what follows from the last check.

    Attributes:
        accounts: the accounts that promises rest on, and where their checks are kept.
        clock: time.
    """

    accounts: Inspected
    clock: Clock

    async def check(self) -> Sequence[PostureCheck]:
        """Check every account, keep what was found, and return it; a failure is found and not raised."""
        checks = [self._check(geo, account) for geo, account in self.accounts.storage.items()]
        return await asyncio.gather(self._check(None, self.accounts.cosmos), *checks)

    async def last(self) -> Mapping[str | None, PostureCheck | None]:
        """Return the last check of each account by geo, None for one that nobody understands; under None Cosmos DB's.

        Raises:
            StoreUnavailable: if they cannot be read.
        """
        return await self.accounts.checks.read_all()

    def reasons(self, checks: Mapping[str | None, PostureCheck | None], now: datetime) -> Mapping[str, Sequence[str]]:
        """Return why promises cannot rest on the accounts, by promise, as their last checks say.

        Args:
            checks: as ``last`` returned them.
            now: the time; a check older than three hours, or none, breaks all that rests on its account.
        """
        found: defaultdict[str, list[str]] = defaultdict(list)
        for geo in (None, *self.accounts.storage):
            for finding in self._findings(geo, checks.get(geo), now):
                for promise in () if finding.holds else finding.promises:
                    found[promise].append(f"{geo or 'Cosmos DB'}: {finding.path} is {finding.found}")
        return found

    async def _check(self, geo: str | None, account: InspectedAccount) -> PostureCheck:
        rules = _rules(geo)
        try:
            setup = await account.setup()
            findings = [rule.check(setup.properties, development=setup.development) for rule in rules]
        except Exception as error:
            setup, findings = Setup({}, development=False), [rule.unreadable(_code(error)) for rule in rules]
        check = PostureCheck(
            geo=geo,
            storage_account=self._account(geo),
            at=self.clock.now(),
            development=setup.development,
            findings=tuple(findings),
        )
        for finding in check.findings:
            if not finding.holds:
                where, found = geo or "Cosmos DB", finding.found
                _log.error("posture of %s: %s is %s, not %s", where, finding.path, found, finding.needed)
        try:
            await self.accounts.checks.write(check)
        except Exception as error:  # also one of ours: the sweep, which comes after, must not be kept away by it
            _log.warning("the posture of %s cannot be kept: %s", geo or "Cosmos DB", _code(error))
        return check

    def _findings(self, geo: str | None, check: PostureCheck | None, now: datetime) -> Iterator[Finding]:
        # One of the account that the geo had before says nothing of this one.
        if check is None or now - check.at > MAX_AGE or check.storage_account != self._account(geo):
            yield from (rule.unreadable("not-checked") for rule in _rules(geo))
            return
        found = {finding.path: finding for finding in check.findings}
        # By today's rules: an instance that runs older code may have checked fewer.
        yield from (found.get(rule.path, rule.unreadable("not-checked")) for rule in _rules(geo))

    def _account(self, geo: str | None) -> str | None:
        return None if geo is None else self.accounts.storage[geo].account


def _rules(geo: str | None) -> Sequence[Rule]:
    return COSMOS_RULES if geo is None else STORAGE_RULES


def _code(error: Exception) -> str:
    return error.code if isinstance(error, StoreUnavailable) else type(error).__name__
