"""The posture of the accounts that this deployment uses, checked with every sweep, and which promises rest on that."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from shared import standing
from shared.clock import Clock
from shared.model.heartbeats import believable
from shared.model.posture import COSMOS_RULES, STORAGE_RULES, Finding, PostureCheck, Rule
from shared.ports import Inspected, InspectedAccount, Setup, StoreUnavailable

MAX_AGE = timedelta(hours=3)
"""Three sweeps: what an older check found is not known to be so now."""

_COSMOS = "Cosmos DB"

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
        return await asyncio.gather(*map(self._check, (self.accounts.cosmos, *self.accounts.storage)))

    async def last(self) -> Mapping[str | None, PostureCheck | None]:
        """Return the last check by storage account, None for one that is not believed; under None Cosmos DB's.

        Raises:
            StoreUnavailable: if they cannot be read.
        """
        return believable(await self.accounts.checks.read_all(), self.clock.now())

    def reasons(self, checks: Mapping[str | None, PostureCheck | None], now: datetime) -> Mapping[str, Sequence[str]]:
        """Return why promises cannot rest on the accounts, by promise, as their last checks say.

        Args:
            checks: as ``last`` returned them.
            now: the time; a check older than three hours, or none, breaks all that rests on its account.
        """
        found: defaultdict[str, list[str]] = defaultdict(list)
        for name in (None, *(each.account for each in self.accounts.storage)):
            for finding in _findings(name, checks.get(name), now):
                for promise in () if finding.holds else finding.promises:
                    found[promise].append(f"{name or _COSMOS}: {finding.path} is {finding.found}")
        return found

    async def _check(self, account: InspectedAccount) -> PostureCheck:
        where, rules = account.account or _COSMOS, _rules(account.account)
        at = self.clock.now()  # before it is looked: what it says may not be newer than what was seen
        try:
            setup = await account.setup()
            findings = [rule.check(setup.properties, development=setup.development) for rule in rules]
        except Exception as error:
            setup, findings = Setup({}, development=False), [rule.unreadable(_code(error)) for rule in rules]
        check = PostureCheck(
            storage_account=account.account,
            at=at,
            development=setup.development,
            findings=tuple(findings),
        )
        for finding in check.findings:
            if not finding.holds:
                _log.error("posture of %s: %s is %s, not %s", where, finding.path, finding.found, finding.needed)
        try:
            await self._keep(check)
        except Exception as error:  # also one of ours: the sweep, which comes after, must not be kept away by it
            _log.warning("the posture of %s cannot be kept: %s", where, _code(error))
        return check

    async def _keep(self, check: PostureCheck) -> None:
        """Keep a check, unless a later one stands there: whoever was held up has seen less."""

        def unless_older(stands: PostureCheck | None) -> PostureCheck | None:
            believed = believable({None: stands}, self.clock.now())[None]
            return None if believed is not None and believed.at > check.at else check

        checks = self.accounts.checks
        await standing.put(partial(checks.last, check.storage_account), checks.write, unless_older)


def _findings(account: str | None, check: PostureCheck | None, now: datetime) -> Iterator[Finding]:
    if check is None or now - check.at > MAX_AGE:
        yield from (rule.unreadable("not-checked") for rule in _rules(account))
        return
    found = {finding.path: finding for finding in check.findings}
    # By today's rules: an instance that runs older code may have checked fewer.
    yield from (found.get(rule.path, rule.unreadable("not-checked")) for rule in _rules(account))


def _rules(account: str | None) -> Sequence[Rule]:
    return COSMOS_RULES if account is None else STORAGE_RULES


def _code(error: Exception) -> str:
    return error.code if isinstance(error, StoreUnavailable) else type(error).__name__
