"""The named ways to refuse a request, each with the status and sub-status that the SDK maps to its exceptions."""

from typing import ClassVar


class Refusal(Exception):
    """A request that is answered with an error and changes nothing. Messages name members, never their values (P8)."""

    status: ClassVar[int]
    code: ClassVar[str]
    substatus: ClassVar[int] = 0


class Invalid(Refusal):
    status = 400
    code = "BadRequest"


class PartitionKeyMismatch(Invalid):
    """The body's partition key is not the header's."""

    substatus = 1001


class ContainerRecreated(Invalid):
    """The caller knows a former container of this name; the SDK drops its cache and tries again."""

    substatus = 1024


class NeedsPlan(Invalid):
    """The query must be put to each range by itself, and the answers merged; the SDK asks for a plan of how."""

    substatus = 1004


class NotIndexed(Invalid):
    """The container's indexing policy has no index for the query's ORDER BY."""


class Unauthorized(Refusal):
    status = 401
    code = "Unauthorized"


class NotFound(Refusal):
    status = 404
    code = "NotFound"


class OwnerNotFound(NotFound):
    """What should contain the resource is missing, which must not be taken for a missing item."""

    substatus = 1003


class Exists(Refusal):
    status = 409
    code = "Conflict"


class RangeGone(Refusal):
    """The caller knows a former division into ranges; the SDK reads the ranges anew and tries again."""

    status = 410
    code = "Gone"
    substatus = 1002


class PreconditionFailed(Refusal):
    status = 412
    code = "PreconditionFailed"


class TooLarge(Refusal):
    status = 413
    code = "RequestEntityTooLarge"


class NotImplementedHere(Refusal):
    """Cosmos DB can do it, this small one cannot: say so instead of an answer that is nearly right."""

    status = 501
    code = "NotImplemented"


class Unavailable(Refusal):
    status = 503
    code = "ServiceUnavailable"
