"""What the index of the status answers costs what it finds, as on Azure, and not what there is."""

from pathlib import Path

import pytest

from local.cosmos import query
from local.cosmos.database import Database
from local.cosmos.items import Writer, writing
from local.cosmos.partition_key import from_document


def steps(directory: Path, items: int, condition: str) -> int:
    """Return how many steps SQLite's machine takes for a query over so many finished items and five others."""
    database = Database(directory / f"{items}.sqlite")
    try:
        database.create_database({"id": "d"})
        database.create_container("d", {"id": "c", "partitionKey": {"paths": ["/key"], "kind": "Hash"}})
        container = database.container("d", "c")
        with writing(database, container, "") as first:
            statuses = [*["verified"] * items, "scheduled", "purged", "unheard of", 5, True]
            for n, status in enumerate(statuses):
                key = f"k{n}"
                writer = Writer(database, container, from_document({"key": key}, container.key_path), first.lsn)
                writer.create({"id": str(n), "key": key, "status": status, "more": "x" * 200})
        database.connection.execute("ANALYZE")
        taken = 0

        def take() -> int:
            nonlocal taken
            taken += 1
            return 0

        database.connection.set_progress_handler(take, 1)
        token: str | None = None
        body = {"query": f"SELECT * FROM c WHERE {condition}"}
        while (page := query.run(database, container, None, body, limit=100, token=token)).continuation is not None:
            token = page.continuation
        return taken
    finally:
        database.close()


@pytest.mark.parametrize(
    "condition",
    [
        "c.status = 'purged'",
        "c.status IN ('scheduled', 'purged')",
        "(c.status < 'verified' OR c.status > 'verified' OR IS_NUMBER(c.status) OR IS_BOOL(c.status))"
        " AND NOT IS_STRING(c.x)",
    ],
)
def test_what_is_not_finished_costs_the_same_however_much_is(tmp_path: Path, condition: str) -> None:
    assert steps(tmp_path, 5_000, condition) < 2 * steps(tmp_path, 500, condition)


def test_what_no_index_answers_costs_what_there_is(tmp_path: Path) -> None:
    condition = "NOT (IS_STRING(c.status) AND c.status = 'verified')"
    assert steps(tmp_path, 5_000, condition) > 5 * steps(tmp_path, 500, condition)
