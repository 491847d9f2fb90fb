"""The SQLite file: databases, containers, and the transactions in which items are read and written."""

import json
import re
import secrets
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cosmos import indexing, partition_key, ranges, rid
from local.cosmos.errors import Exists, Invalid, NotFound, NotImplementedHere, OwnerNotFound

_SCHEMA = """
CREATE TABLE IF NOT EXISTS databases (number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, properties TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS containers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    database INTEGER NOT NULL REFERENCES databases ON DELETE CASCADE,
    name TEXT NOT NULL, rid TEXT NOT NULL, properties TEXT NOT NULL,
    lsn INTEGER NOT NULL DEFAULT 0, created INTEGER NOT NULL DEFAULT 0,
    UNIQUE (database, name));
CREATE TABLE IF NOT EXISTS items (
    container INTEGER NOT NULL REFERENCES containers ON DELETE CASCADE,
    number INTEGER NOT NULL, partition TEXT NOT NULL, id TEXT NOT NULL,
    lsn INTEGER NOT NULL, ts INTEGER NOT NULL, expires INTEGER, etag TEXT NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (container, number), UNIQUE (container, partition, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS items_by_range ON items (container, range_of(partition), number);
CREATE INDEX IF NOT EXISTS changes_by_range ON items (container, range_of(partition), lsn);
CREATE INDEX IF NOT EXISTS items_by_time ON items (container, ts);
CREATE INDEX IF NOT EXISTS items_by_range_and_time ON items (container, range_of(partition), ts);
CREATE INDEX IF NOT EXISTS items_by_status
    ON items (container, range_of(partition), json_extract(body, '$."status"'));
CREATE INDEX IF NOT EXISTS items_by_id ON items (container, id);
CREATE INDEX IF NOT EXISTS items_by_expiry ON items (expires) WHERE expires IS NOT NULL;
"""

_CONTAINER_MEMBERS = {"id", "partitionKey", "indexingPolicy", "defaultTtl"}


@dataclass(frozen=True)
class Container:
    """A container as it was when it was looked up; ``lsn`` is the number of its last write."""

    number: int
    database: str
    name: str
    rid: str
    lsn: int
    properties: dict[str, Any]
    key_path: tuple[str, ...]
    default_ttl: int | None

    @property
    def link(self) -> str:
        return f"dbs/{self.database}/colls/{self.name}"


def _matches(pattern: str, text: str) -> bool:
    return re.search(pattern, text) is not None


class Database:
    """The one connection to the data file. Calls are synchronous and run one after the other, which makes the
    account strongly consistent with no further thought."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """Open or create the file.

        Args:
            path: the SQLite file; its directory must exist.
            clock: seconds since the epoch, UTC; ``_ts`` and time to live count on it.

        Raises:
            sqlite3.OperationalError: another process holds the file.
        """
        self.clock = clock
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        # The file has one writer: a second server on it must fail at its start, not corrupt sequence numbers.
        self.connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        # In WAL mode NORMAL hands every commit to the operating system before it is answered, so a SIGKILL loses
        # nothing; what it saves is the fsync, and with it a loss at power failure, which development can bear.
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.execute("PRAGMA foreign_keys = ON")
        self.connection.create_function("range_of", 1, ranges.of_partition, deterministic=True)
        self.connection.create_function("regexp", 2, _matches, deterministic=True)
        self.connection.executescript(_SCHEMA)
        self.remove_expired()

    def close(self) -> None:
        """Close the file."""
        self.connection.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of the block's writes, or none of them if it raises."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def is_json(self, text: str) -> bool:
        """Whether SQLite can read it too: one item that it cannot, too deep for it, would fail every query."""
        return bool(self.connection.execute("SELECT json_valid(?)", (text,)).fetchone()[0])

    def remove_expired(self) -> None:
        """Delete the items whose time to live is over; every read ignores them already."""
        self.connection.execute("DELETE FROM items WHERE expires <= ?", (self.clock(),))

    def create_database(self, definition: dict[str, Any]) -> dict[str, Any]:
        """Raises ``Exists`` if there is one of that name, ``Invalid`` if the name is not usable."""
        name = checked_id(definition.get("id"))
        if rid.is_of_database(name):
            raise NotImplementedHere("A database whose name could be a _rid is not implemented.")
        # A random number: a client that outlives its data file must not take the new one for the old.
        number = secrets.randbits(31)
        own = rid.encode(number.to_bytes(4, "big"))
        properties = {"id": name, **self._stamp(own, f"dbs/{own}/"), "_colls": "colls/", "_users": "users/"}
        try:
            self.connection.execute("INSERT INTO databases VALUES (?, ?, ?)", (number, name, json.dumps(properties)))
        except sqlite3.IntegrityError:
            raise Exists("A database of this name exists.") from None
        return properties

    def read_database(self, name: str) -> dict[str, Any]:
        """Raises ``NotFound`` if there is none of that name."""
        row = self.connection.execute("SELECT properties FROM databases WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise NotFound("There is no such database.")
        properties: dict[str, Any] = json.loads(row[0])
        return properties

    def delete_database(self, name: str) -> None:
        """Delete it with all that it holds; raises ``NotFound`` if there is none of that name."""
        if not self.connection.execute("DELETE FROM databases WHERE name = ?", (name,)).rowcount:
            raise NotFound("There is no such database.")

    def create_container(self, database: str, definition: dict[str, Any]) -> dict[str, Any]:
        """Create a container from its REST definition.

        Raises:
            OwnerNotFound: the database is missing.
            Exists: there is one of that name.
            Invalid, NotImplementedHere: the definition is wrong, or asks for what is not implemented.
        """
        name = checked_id(definition.get("id"))
        partition_key.definition_path(definition.get("partitionKey"))
        indexing.check_policy(definition.get("indexingPolicy"))
        for member, value in definition.items():
            if member not in _CONTAINER_MEMBERS and value:
                raise NotImplementedHere(f"The container property {member} is not implemented.")
        if definition.get("defaultTtl") is not None:
            checked_ttl(definition["defaultTtl"], "defaultTtl")
        with self.transaction() as connection:
            owner = connection.execute("SELECT number FROM databases WHERE name = ?", (database,)).fetchone()
            if owner is None:
                raise OwnerNotFound("The database does not exist.")
            try:
                number = connection.execute(
                    "INSERT INTO containers (database, name, rid, properties) VALUES (?, ?, '', '')", (owner[0], name)
                ).lastrowid
            except sqlite3.IntegrityError:
                raise Exists("A container of this name exists.") from None
            assert number is not None
            # Numbers are never used twice, so a container that is made anew has a new _rid and old tokens end.
            owner_bytes = owner[0].to_bytes(4, "big")
            own = rid.encode(owner_bytes + (number | 1 << 31).to_bytes(4, "big"))
            defaults = {"indexingPolicy": {"indexingMode": "consistent", "automatic": True}}
            stamp = self._stamp(own, f"dbs/{rid.encode(owner_bytes)}/colls/{own}/")
            properties = {**defaults, **definition, **stamp, "_docs": "docs/"}
            connection.execute(
                "UPDATE containers SET rid = ?, properties = ? WHERE number = ?", (own, json.dumps(properties), number)
            )
        return properties

    def container(self, database: str, name: str) -> Container:
        """Look up a container for an operation on its items; raises ``OwnerNotFound`` if it is missing."""
        row = self.connection.execute(
            "SELECT c.number, c.rid, c.lsn, c.properties FROM containers c JOIN databases d ON c.database = d.number"
            " WHERE d.name = ? AND c.name = ?",
            (database, name),
        ).fetchone()
        if row is None:
            raise OwnerNotFound("The container does not exist.")
        number, own, lsn, text = row
        properties = json.loads(text)
        path = partition_key.definition_path(properties["partitionKey"])
        return Container(number, database, name, own, lsn, properties, path, properties.get("defaultTtl"))

    def read_container(self, database: str, name: str) -> dict[str, Any]:
        """Raises ``NotFound`` if it is missing, ``OwnerNotFound`` if its database is."""
        return self._resource(database, name).properties

    def delete_container(self, database: str, name: str) -> None:
        """Delete it with its items; raises like ``read_container``."""
        container = self._resource(database, name)
        self.connection.execute("DELETE FROM containers WHERE number = ?", (container.number,))

    def _resource(self, database: str, name: str) -> Container:
        try:
            return self.container(database, name)
        except OwnerNotFound:
            try:
                self.read_database(database)
            except NotFound:
                raise OwnerNotFound("The database does not exist.") from None
            raise NotFound("There is no such container.") from None

    def names(self, segments: list[str]) -> list[str]:
        """A path by names, where it is one by ids; raises ``NotFound`` or ``OwnerNotFound`` if there is none of an id.

        Ids of items are not implemented; nobody who is served here asks by them.
        """
        if not rid.addresses(segments):
            return segments
        _, database, *rest = segments
        number = int.from_bytes(rid.decode(database), "big")
        row = self.connection.execute("SELECT name FROM databases WHERE number = ?", (number,)).fetchone()
        if row is None:
            missing = "There is no database of this _rid."
            raise OwnerNotFound(missing) if rest else NotFound(missing)
        match rest:
            case []:
                return ["dbs", row[0]]
            case ["colls", container, *children] if len(children) < 2:
                found = self.connection.execute(
                    "SELECT name FROM containers WHERE database = ? AND rid = ?", (number, container)
                ).fetchone()
                if found is None:
                    missing = "There is no container of this _rid."
                    raise OwnerNotFound(missing) if children else NotFound(missing)
                return ["dbs", row[0], "colls", found[0], *children]
        raise NotImplementedHere("This address by _rid is not implemented.")

    def _stamp(self, own: str, link: str) -> dict[str, Any]:
        return {"_rid": own, "_self": link, "_etag": new_etag(), "_ts": int(self.clock())}


def new_etag() -> str:
    """A new entity tag, in its quotes."""
    return f'"{uuid.uuid4()}"'


def checked_id(value: Any) -> str:
    """The id, if it is one; raises ``Invalid`` unless it is 1 to 255 characters without ``/ \\ ? #``."""
    if not isinstance(value, str) or not 0 < len(value) <= 255 or any(character in "/\\?#" for character in value):
        raise Invalid("The id must be a string of 1 to 255 characters without / \\ ? #.")
    return value


def checked_ttl(value: Any, member: str) -> int:
    """The time to live in seconds, or -1; raises ``Invalid`` for anything else."""
    if not isinstance(value, int) or isinstance(value, bool) or not (value == -1 or 0 < value < 1 << 31):
        raise Invalid(f"{member} must be -1 or a positive number of seconds.")
    return value
