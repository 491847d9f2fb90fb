"""NCRONTAB expressions: five fields, or six with the seconds first."""

import re
from datetime import datetime

from croniter import croniter

# NCRONTAB has numbers, three-letter names, lists, ranges and steps, but none of croniter's extensions (L, #, @daily).
_FIELD = re.compile(r"(?:[0-9*/,\-]|[A-Za-z]{3})+")


def check(expression: str) -> str:
    """Return ``expression``; raises ``ValueError`` if the platform would not accept it as a schedule."""
    fields = expression.split()
    if len(fields) not in {5, 6} or not all(map(_FIELD.fullmatch, fields)):
        raise ValueError(f"the schedule {expression!r} is not NCRONTAB (five or six fields)")
    croniter(expression, second_at_beginning=True)  # raises a ValueError of its own for a value out of range
    return expression


def following(expression: str, moment: datetime) -> datetime:
    """Return the first due time after ``moment`` (aware, UTC); day of month and day of week must both fit."""
    due: datetime = croniter(expression, moment, second_at_beginning=True, day_or=False).get_next(datetime)
    return due
