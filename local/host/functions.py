"""What a function declares: its trigger and handler, as plain values."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

from local.host.retries import RetryPolicy
from local.host.routes import Route


@dataclass(frozen=True)
class HttpTrigger:
    """An HTTP function's address."""

    route: Route
    methods: frozenset[str]
    """In capitals; empty for every method, which is what the platform makes of none declared."""


@dataclass(frozen=True)
class TimerTrigger:
    """A schedule in NCRONTAB: five fields, or six with the seconds first, in UTC."""

    schedule: str
    use_monitor: bool
    run_on_startup: bool


@dataclass(frozen=True)
class FeedTrigger:
    """A Cosmos DB container to watch; intervals in seconds of real time."""

    connection: str
    """A connection string: never logged."""
    database: str
    container: str
    lease_connection: str
    lease_database: str
    lease_container: str
    lease_prefix: str
    create_lease_container: bool
    start_from_beginning: bool
    max_items: int
    acquire_interval: float
    renew_interval: float
    expiration_interval: float

    @property
    def lease_id(self) -> str:
        """The lease's item id; the function's name is no part of it, so two functions need two prefixes."""
        return f"{self.lease_prefix}{self.database}_{self.container}..0"

    @property
    def lease_place(self) -> tuple[str, ...]:
        """What no two functions may share."""
        return (self.lease_connection, self.lease_database, self.lease_container, self.lease_id)


@dataclass(frozen=True)
class Function:
    """One indexed function."""

    name: str
    trigger: HttpTrigger | TimerTrigger | FeedTrigger
    binding_type: str
    """The trigger's name on the platform, e.g. ``timerTrigger``: it selects the worker library's converter."""
    parameter: str
    """The handler's parameter that receives the trigger's value."""
    handler: Callable[..., Any]
    is_async: bool
    wants_context: bool
    directory: Path
    retry: RetryPolicy | None
    disabled: bool
    """Whether the setting ``AzureWebJobs.{name}.Disabled`` keeps its trigger from listening; by hand it still runs."""


def converter(binding_type: str) -> Any:
    """Return the worker library's own converter between a binding's wire form and the handler's value."""
    registry: Any = func.get_binding_registry()
    return registry.get(binding_type)
