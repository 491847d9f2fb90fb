"""Loading a ``function_app.py`` and indexing its functions, with the refusals of the real host."""

import importlib.util
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import azure.functions as func
from azure.functions.decorators.function_app import Function as Declared

from local.host.functions import FeedTrigger, Function, HttpTrigger, TimerTrigger, converter
from local.host.log import where
from local.host.retries import RetryPolicy
from local.host.routes import Route
from local.host.schedule import check

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_\-]{0,127}")
_TRUE = ("true", "1")
_SETTING = re.compile(r"%([^%]+)%")
# The Cosmos DB extension's own: change feed processors on Azure use the same numbers.
_ACQUIRE_MS, _RENEW_MS, _EXPIRE_MS, _MAX_ITEMS = 13_000, 17_000, 60_000, 100


class RefusedError(Exception):
    """The app is one that the real host refuses, or that this one cannot run faithfully; the message says why."""


def load(path: Path) -> ModuleType:
    """Import ``path`` as the module ``function_app``, with its directory first on ``sys.path``.

    Raises:
        RefusedError: the file is missing, or importing it raises.
    """
    if not path.is_file():
        raise RefusedError(f"no function app at {path}")
    directory = str(path.parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    spec = importlib.util.spec_from_file_location("function_app", path)
    if spec is None or spec.loader is None:
        raise RefusedError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["function_app"] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        # No request has been read yet, so the message cannot hold customer content, and it names the missing module.
        raise RefusedError(f"importing {path} failed: {error} ({where(error)})") from error
    return module


def route_prefix(directory: Path) -> str:
    """Return ``extensions.http.routePrefix`` of ``host.json`` in ``directory``, or the platform's default."""
    file = directory / "host.json"
    host = json.loads(file.read_text()) if file.exists() else {}
    return str(host.get("extensions", {}).get("http", {}).get("routePrefix", "api"))


def index(module: ModuleType, prefix: str, settings: Mapping[str, str]) -> list[Function]:
    """Return the app's functions in the order in which routes are tried: by name, in any case.

    Args:
        module: the imported ``function_app``.
        prefix: the route prefix, without slashes at its ends.
        settings: the environment, for ``%NAME%`` and connections.

    Raises:
        RefusedError: with the reason.
    """
    apps = [value for value in vars(module).values() if isinstance(value, func.FunctionRegister)]
    if len(apps) != 1:
        raise RefusedError(f"function_app.py defines {len(apps)} function apps at its top level, not one")
    try:
        declared = apps[0].get_functions()
    except ValueError as error:  # a name twice, or no trigger
        raise RefusedError(str(error)) from error
    functions = sorted((_function(each, prefix, settings) for each in declared), key=lambda each: each.name.lower())
    if not functions:
        raise RefusedError("the app has no functions")
    _check_together(functions)
    return functions


def _function(declared: Declared, prefix: str, settings: Mapping[str, str]) -> Function:
    name = str(declared.get_function_name())
    if not _NAME.fullmatch(name) or name.lower() == "host":
        raise RefusedError(f"function {name!r}: not a valid function name")
    trigger = declared.get_trigger()
    assert trigger is not None  # get_functions has checked it
    try:
        written = trigger.get_dict_repr()
        binding = {key: _resolved(value, settings) for key, value in written.items()}
        parse = _TRIGGERS.get(str(binding["type"]))
        if parse is None:
            raise ValueError(f"the local host has no trigger {binding['type']!r}")
        retry = declared.get_settings_dict("retry_policy")
        handler = declared.get_user_function()
        return Function(
            name=name,
            trigger=parse(binding, name, prefix, settings),
            binding_type=str(binding["type"]),
            parameter=str(binding["name"]),
            handler=handler,
            is_async=inspect.iscoroutinefunction(handler),
            wants_context=_check_signature(declared, binding),
            directory=Path(inspect.getfile(handler)).parent,
            retry=RetryPolicy.parse(retry) if retry else None,
            disabled=settings.get(f"AzureWebJobs.{name}.Disabled", "").lower() in _TRUE,
        )
    except (ValueError, NameError, KeyError) as error:
        raise RefusedError(f"function {name!r}: {error}") from error


def _check_signature(declared: Declared, binding: Mapping[str, Any]) -> bool:
    """Refuse what the worker refuses to load; return whether the handler takes a ``context``."""
    handler, parameter = declared.get_user_function(), binding["name"]
    for other in declared.get_bindings():
        is_answer = other.type == "http" and other.name == "$return" and binding["type"] == "httpTrigger"
        if other is not declared.get_trigger() and not is_answer:
            raise ValueError(f"the local host has no {other.type!r} binding")
    parameters = set(inspect.signature(handler).parameters)
    if parameters - {"context"} != {parameter}:
        raise ValueError(f"the handler takes {sorted(parameters)}, the binding gives ['{parameter}']")
    hints = typing.get_type_hints(handler)
    hint = hints.get(parameter)
    if parameter in hints and not (
        isinstance(hint, type) and converter(binding["type"]).check_input_type_annotation(hint)
    ):
        raise ValueError(f"parameter {parameter!r} of a {binding['type']} cannot be {hint!r}")
    if "context" in parameters and getattr(hints.get("context", func.Context), "__name__", "") != "Context":
        raise ValueError("parameter 'context' must be an azure.functions.Context")
    return "context" in parameters


def _http(binding: Mapping[str, Any], name: str, prefix: str, _: Mapping[str, str]) -> HttpTrigger:
    template = str(binding.get("route") or name).strip("/")
    if template.lower().startswith(("admin", "runtime")):
        raise ValueError(f"route {template!r} conflicts with one or more built in routes (admin, runtime)")
    level = binding.get("authLevel", func.AuthLevel.FUNCTION)
    if level is not func.AuthLevel.ANONYMOUS:
        raise ValueError(f"auth level {getattr(level, 'value', level)!r} needs keys, which the local host has not")
    methods = frozenset(str(getattr(method, "value", method)).upper() for method in binding.get("methods", ()))
    return HttpTrigger(Route.parse(f"{prefix.strip('/')}/{template}".strip("/")), methods)


def _timer(binding: Mapping[str, Any], *_: object) -> TimerTrigger:
    return TimerTrigger(
        check(str(binding["schedule"])),
        use_monitor=binding.get("useMonitor") is not False,
        run_on_startup=binding.get("runOnStartup") is True,
    )


def _feed(binding: Mapping[str, Any], _name: str, _prefix: str, settings: Mapping[str, str]) -> FeedTrigger:
    unsupported = {"collectionName", "startFromTime", "preferredLocations"} & binding.keys()
    if unsupported or binding.get("changeFeedMode", "LatestVersion") != "LatestVersion":
        raise ValueError(f"the local host has no {', '.join(sorted(unsupported)) or 'changeFeedMode'} on a feed")
    return FeedTrigger(
        connection=_connection(binding["connection"], settings),
        database=binding["databaseName"],
        container=binding["containerName"],
        lease_connection=_connection(binding.get("leaseConnection", binding["connection"]), settings),
        lease_database=binding.get("leaseDatabaseName", binding["databaseName"]),
        lease_container=binding.get("leaseContainerName", "leases"),
        lease_prefix=binding.get("leaseContainerPrefix", ""),
        create_lease_container=binding.get("createLeaseContainerIfNotExists") is True,
        start_from_beginning=binding.get("startFromBeginning") is True,
        max_items=int(binding.get("maxItemsPerInvocation", _MAX_ITEMS)),
        acquire_interval=float(binding.get("leaseAcquireInterval", _ACQUIRE_MS)) / 1000,
        renew_interval=float(binding.get("leaseRenewInterval", _RENEW_MS)) / 1000,
        expiration_interval=float(binding.get("leaseExpirationInterval", _EXPIRE_MS)) / 1000,
    )


_TRIGGERS: Mapping[str, Callable[..., HttpTrigger | TimerTrigger | FeedTrigger]] = {
    "httpTrigger": _http,
    "timerTrigger": _timer,
    "cosmosDBTrigger": _feed,
}


def _connection(name: str, settings: Mapping[str, str]) -> str:
    """Return the connection string in setting ``name``; no message holds its value."""
    text = settings.get(name, "")
    if "accountendpoint=" in text.lower() and "accountkey=" in text.lower():
        return text
    if f"{name}__accountEndpoint" in settings:
        raise ValueError(f"the local host needs a connection string in {name}, not {name}__accountEndpoint")
    raise ValueError(f"setting {name} must hold a Cosmos DB connection string (AccountEndpoint=...;AccountKey=...;)")


def _resolved(value: Any, settings: Mapping[str, str]) -> Any:
    def setting(found: re.Match[str]) -> str:
        if not settings.get(found[1]):
            raise ValueError(f"'%{found[1]}%' does not resolve to a value: set {found[1]}")
        return settings[found[1]]

    return _SETTING.sub(setting, value) if isinstance(value, str) else value


def _check_together(functions: Sequence[Function]) -> None:
    for position, one in enumerate(functions):
        for other in functions[:position]:
            pair = f"functions {other.name!r} and {one.name!r}"
            if one.name.lower() == other.name.lower():
                raise RefusedError(f"{pair} have one name")
            match one.trigger, other.trigger:
                case HttpTrigger() as a, HttpTrigger() as b if _same_route(a.route, b.route):
                    if not a.methods or not b.methods or a.methods & b.methods:
                        raise RefusedError(f"{pair} have one route and share a method")
                case FeedTrigger() as a, FeedTrigger() as b if a.lease_place == b.lease_place:
                    raise RefusedError(f"{pair} watch one container with one lease: give each a lease_container_prefix")


def _same_route(one: Route, other: Route) -> bool:
    # The host compares the templates' text in any case; parameters of another name or constraint are another route.
    def text(route: Route) -> object:
        return [(s.text.lower(), s.pattern) for s in route.segments], (route.catch_all or "").lower()

    return text(one) == text(other)
