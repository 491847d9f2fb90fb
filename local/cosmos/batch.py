"""The transactional batch: all of its operations or none."""

from typing import Any

from local.cosmos import items
from local.cosmos.database import Container, Database
from local.cosmos.errors import Invalid, NotImplementedHere, Refusal, TooLarge

MAX_OPERATIONS = 100
_TYPES = {"Create", "Upsert", "Replace", "Delete", "Read"}
_MEMBERS = {"operationType", "id", "resourceBody", "ifMatch"}


class _OperationError(Exception):
    """Leaves the transaction, so that it is undone."""

    def __init__(self, index: int, cause: Refusal) -> None:
        self.index = index
        self.cause = cause


def run(database: Database, container: Container, partition: str, operations: Any) -> tuple[int, list[dict[str, Any]]]:
    """Run the operations in one transaction.

    Returns:
        200 and a result for each, or 207 and the failure among results of 424: then nothing is kept.

    Raises:
        Invalid, NotImplementedHere, TooLarge: the batch as a whole is refused.
    """
    _check(operations)
    results = []
    try:
        with items.writing(database, container, partition) as writer:
            for index, operation in enumerate(operations):
                try:
                    results.append(_apply(writer, operation))
                except Refusal as cause:
                    raise _OperationError(index, cause) from cause
    except _OperationError as failed:
        results = [_result(424) for _ in operations]
        results[failed.index] = _result(failed.cause.status, subStatusCode=failed.cause.substatus)
        return 207, results
    return 200, results


def _check(operations: Any) -> None:
    if not isinstance(operations, list) or not all(isinstance(operation, dict) for operation in operations):
        raise Invalid("A batch must be a list of operations.")
    if not 0 < len(operations) <= MAX_OPERATIONS:
        raise Invalid(f"A batch must have 1 to {MAX_OPERATIONS} operations.")
    if len(items.dump(operations).encode()) > items.MAX_ITEM_BYTES:
        raise TooLarge(f"A batch may have at most {items.MAX_ITEM_BYTES} bytes.")
    for operation in operations:
        if operation.get("operationType") not in _TYPES:
            raise NotImplementedHere(f"The batch operation {operation.get('operationType')} is not implemented.")
        for member in operation.keys() - _MEMBERS:
            raise NotImplementedHere(f"{member} in a batch operation is not implemented.")


def _apply(writer: items.Writer, operation: dict[str, Any]) -> dict[str, Any]:
    kind, body, if_match = operation["operationType"], operation.get("resourceBody"), operation.get("ifMatch")
    if kind == "Create":
        return _stored(201, writer.create(body))
    if kind == "Upsert":
        item, created = writer.upsert(body, if_match)
        return _stored(201 if created else 200, item)
    item_id = operation.get("id")
    if not isinstance(item_id, str):
        raise Invalid("The operation has no id.")
    if kind == "Replace":
        return _stored(200, writer.replace(item_id, body, if_match))
    if kind == "Read":
        return _stored(200, writer.read(item_id))
    writer.delete(item_id, if_match)
    return _result(204)


def _stored(status: int, item: items.Item) -> dict[str, Any]:
    return _result(status, eTag=item.etag, resourceBody=item.document)


def _result(status: int, **members: Any) -> dict[str, Any]:
    return {"statusCode": status, "requestCharge": 1.0, **members}
