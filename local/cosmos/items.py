"""Items: reading one, and the writes of one transaction."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from local.cosmos import partition_key, rid
from local.cosmos.database import Container, Database, checked_id, checked_ttl, new_etag
from local.cosmos.errors import (
    Exists,
    Invalid,
    NotFound,
    PartitionKeyMismatch,
    PreconditionFailed,
    TooLarge,
)

MAX_ITEM_BYTES = 2 * 1024 * 1024
# Appended to every read of items: what is expired is gone, whether or not it has been removed yet.
LIVE = "(expires IS NULL OR expires > :now)"
_SYSTEM_MEMBERS = {"_rid", "_self", "_etag", "_attachments", "_ts", "_lsn"}


@dataclass(frozen=True)
class Item:
    """A stored item; ``document`` includes the system members."""

    number: int
    lsn: int
    etag: str
    document: dict[str, Any]


def parse(raw: bytes) -> Any:
    """Parse a request body; raises ``Invalid`` if it is not JSON in UTF-8."""
    try:
        value = json.loads(raw.decode(), parse_constant=_refuse_constant)
        dump(value).encode()  # Python also reads 1e400 and lone surrogates, which are no JSON that can be stored
    except (ValueError, RecursionError):
        raise Invalid("The body is not valid JSON.") from None
    return value


def dump(value: Any) -> str:
    """JSON as it is stored and sent: compact, not escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def read(database: Database, container: Container, partition: str, item_id: str) -> Item:
    """Read one item by partition (canonical) and id; raises ``NotFound``."""
    key = "container = :container AND partition = :partition AND id = :id"
    row = database.connection.execute(
        f"SELECT number, lsn, etag, body FROM items WHERE {key} AND {LIVE}",  # noqa: S608 (constants)
        {"container": container.number, "partition": partition, "id": item_id, "now": database.clock()},
    ).fetchone()
    if row is None:
        raise NotFound("There is no such item.")
    number, lsn, etag, body = row
    return Item(number, lsn, etag, json.loads(body))


@contextmanager
def writing(database: Database, container: Container, partition: str) -> Iterator["Writer"]:
    """One transaction on one partition: its writes share a sequence number, and an exception undoes them all."""
    with database.transaction() as connection:
        database.remove_expired()
        (lsn,) = connection.execute(
            "UPDATE containers SET lsn = lsn + 1 WHERE number = ? RETURNING lsn", (container.number,)
        ).fetchone()
        yield Writer(database, container, partition, lsn)


class Writer:
    """Writes items within a transaction; made by ``writing``."""

    def __init__(self, database: Database, container: Container, partition: str, lsn: int) -> None:
        self._database = database
        self._container = container
        self._partition = partition
        self.lsn = lsn

    def read(self, item_id: str) -> Item:
        """Raises ``NotFound``."""
        return read(self._database, self._container, self._partition, item_id)

    def create(self, document: Any) -> Item:
        """Raises ``Exists``, ``Invalid``, ``PartitionKeyMismatch`` or ``TooLarge``."""
        item_id = self._check(document)
        try:
            self.read(item_id)
        except NotFound:
            return self._insert(item_id, document)
        raise Exists("An item with this id exists in the partition.")

    def upsert(self, document: Any, if_match: str | None = None) -> tuple[Item, bool]:
        """Create or replace, and whether it was created. ``if_match`` counts only for what exists, as on Azure.

        Raises:
            PreconditionFailed: the item that exists has another entity tag.
            Invalid, PartitionKeyMismatch, TooLarge: the document cannot be stored.
        """
        item_id = self._check(document)
        try:
            found = self.read(item_id)
        except NotFound:
            return self._insert(item_id, document), True
        _check_match(found, if_match)
        return self._update(found, document), False

    def replace(self, item_id: str, document: Any, if_match: str | None = None) -> Item:
        """Raises ``NotFound``, and what ``upsert`` raises."""
        if self._check(document) != item_id:
            raise Invalid("The id in the body is not the one in the address.")
        found = self.read(item_id)
        _check_match(found, if_match)
        return self._update(found, document)

    def delete(self, item_id: str, if_match: str | None = None) -> None:
        """Raises ``NotFound`` or ``PreconditionFailed``."""
        found = self.read(item_id)
        _check_match(found, if_match)
        self._database.connection.execute(
            "DELETE FROM items WHERE container = ? AND number = ?", (self._container.number, found.number)
        )

    def _check(self, document: Any) -> str:
        if not isinstance(document, dict):
            raise Invalid("An item must be a JSON object.")
        if partition_key.from_document(document, self._container.key_path) != self._partition:
            raise PartitionKeyMismatch("The partition key in the body is not the one in the header.")
        if len(dump(document).encode()) > MAX_ITEM_BYTES:
            raise TooLarge(f"An item may have at most {MAX_ITEM_BYTES} bytes.")
        if not self._database.is_json(dump(document)):
            raise Invalid("The item is nested too deeply.")
        if "ttl" in document:
            checked_ttl(document["ttl"], "ttl")
        return checked_id(document.get("id"))

    def _insert(self, item_id: str, document: dict[str, Any]) -> Item:
        (number,) = self._database.connection.execute(
            "UPDATE containers SET created = created + 1 WHERE number = ? RETURNING created", (self._container.number,)
        ).fetchone()
        item, columns = self._stamped(number, document)
        self._database.connection.execute(
            "INSERT INTO items (lsn, ts, expires, etag, body, container, number, partition, id)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*columns, self._container.number, number, self._partition, item_id),
        )
        return item

    def _update(self, found: Item, document: dict[str, Any]) -> Item:
        item, columns = self._stamped(found.number, document)
        self._database.connection.execute(
            "UPDATE items SET lsn = ?, ts = ?, expires = ?, etag = ?, body = ? WHERE container = ? AND number = ?",
            (*columns, self._container.number, found.number),
        )
        return item

    def _stamped(self, number: int, document: dict[str, Any]) -> tuple[Item, tuple[Any, ...]]:
        # 16 bytes, of which the container's 8 come first: the layout of a real _rid.
        own = rid.encode(rid.decode(self._container.rid) + number.to_bytes(8, "little"))
        ts = int(self._database.clock())
        etag = new_etag()
        stamp = {
            "_rid": own,
            "_self": f"{self._container.properties['_self']}docs/{own}/",
            "_etag": etag,
            "_attachments": "attachments/",
            "_ts": ts,
        }
        kept = {name: value for name, value in document.items() if name not in _SYSTEM_MEMBERS}
        stored = {**kept, **stamp}
        return Item(number, self.lsn, etag, stored), (self.lsn, ts, self._expiry(document, ts), etag, dump(stored))

    def _expiry(self, document: dict[str, Any], ts: int) -> int | None:
        if self._container.default_ttl is None:
            return None  # an item's own ttl has no effect until the container switches time to live on
        ttl: int = document.get("ttl", self._container.default_ttl)
        return None if ttl == -1 else ts + ttl


def _check_match(item: Item, if_match: str | None) -> None:
    if if_match not in (None, "*", item.etag):
        raise PreconditionFailed("The item has another entity tag.")
