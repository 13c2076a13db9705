"""The history of the tables: it makes what the code works with, on both databases, and may be interrupted anywhere."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, inspect, text

from benchmarks.postgres_server import PostgresServer
from consent.consents import GrantConsent
from consent.storage import open_store
from consent.tables import metadata
from gateway import migrations
from schemas.errors import ConfigurationError
from tests.consent_world import LENDER, grant, world

ROOT = Path(__file__).parent.parent
Place = Path | str


def run(place: Place, *acts: Callable[[Connection], Any]) -> list[Any]:
    """What each act gives, each in a transaction that makes tables."""

    async def inside() -> list[Any]:
        store, found = open_store(place), []
        try:
            for act in acts:
                work = asyncio.get_running_loop().run_in_executor(
                    store.writing, store.create, lambda connection, act=act: found.append(act(connection))
                )
                await work
        finally:
            await store.close()
        return found

    return asyncio.run(inside())


def shape(connection: Connection) -> dict[str, Any]:
    """Everything that is known of the tables, but for their history."""
    inspector = inspect(connection)
    found = {}
    for name in inspector.get_table_names():
        if name == "alembic_version":
            continue
        found[name] = {
            "columns": {c["name"]: (str(c["type"]), c["nullable"], c["default"]) for c in inspector.get_columns(name)},
            "key": inspector.get_pk_constraint(name)["constrained_columns"],
            "references": sorted(
                (k["constrained_columns"], k["referred_table"], k["referred_columns"])
                for k in inspector.get_foreign_keys(name)
            ),
            "unique": sorted(u["column_names"] for u in inspector.get_unique_constraints(name)),
            "indexes": {
                i["name"]: (i["column_names"], bool(i["unique"]), _where(i.get("dialect_options", {})))
                for i in inspector.get_indexes(name)
            },
        }
    return found


def _where(options: Any) -> str:
    return "".join(str(value) for key, value in options.items() if key.endswith("_where"))


@pytest.fixture(params=["sqlite", "postgres"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Place]:
    """Makes databases with nothing in them."""
    names = (f"{n}.db" for n in range(10))
    if request.param == "sqlite":
        return lambda: tmp_path / "data" / next(names)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return lambda: asyncio.run(server.new_database(template="template0"))


@pytest.fixture
def empty(new: Callable[[], Place]) -> Place:
    return new()


def test_the_history_makes_the_tables_that_the_code_works_with(new: Callable[[], Place]) -> None:
    _, made = run(new(), migrations.upgrade, shape)
    _, expected = run(new(), metadata.create_all, shape)
    assert made == expected
    assert set(made) == set(metadata.tables)


def test_a_second_upgrade_changes_nothing(empty: Place) -> None:
    _, before, _, after, revision, _ = run(
        empty, migrations.upgrade, shape, migrations.upgrade, shape, migrations.current, migrations.check
    )
    assert before == after
    assert revision == migrations.newest()


def test_a_database_from_before_there_was_a_history_is_taken_up_with_what_is_in_it(empty: Place) -> None:
    async def grow() -> None:
        async with world(empty) as evidence:
            await evidence.submit(GrantConsent(grant(), LENDER, "c1"))

    asyncio.run(grow())

    def older(connection: Connection) -> None:
        connection.execute(text("DROP TABLE log_cosignatures"))
        connection.execute(text("DROP INDEX log_key_rotations"))

    _, _, made, rows = run(
        empty,
        older,
        migrations.upgrade,
        shape,
        lambda c: c.execute(text("SELECT id FROM consents")).scalars().all(),
    )
    assert rows == ["c1"]
    assert made == run(empty, metadata.create_all, shape)[1]


@pytest.mark.parametrize("made_by", ["an older version", "a newer version"])
def test_tables_of_another_version_are_refused_and_the_command_named(empty: Place, made_by: str) -> None:
    def stamp(connection: Connection) -> None:
        migrations.upgrade(connection)
        connection.execute(
            text(
                "DELETE FROM alembic_version"
                if made_by == "an older version"
                else "UPDATE alembic_version SET version_num = '9999'"
            )
        )

    run(empty, stamp)
    with pytest.raises(ConfigurationError, match="xinqiao db upgrade"):
        run(empty, migrations.check)
    if made_by == "a newer version":
        with pytest.raises(ConfigurationError, match="newer version"):
            run(empty, migrations.upgrade)


def test_tables_with_other_columns_are_refused(empty: Place) -> None:
    def other(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE log_head (one INTEGER PRIMARY KEY, hash TEXT)"))

    with pytest.raises(ConfigurationError, match="unfinished version"):
        run(empty, other, migrations.upgrade)


STATEMENTS = """
import os, signal, sys
from sqlalchemy import event
from consent.storage import open_store
from gateway import migrations
from pathlib import Path

stop, seen = int(sys.argv[2]), 0
store = open_store(Path(sys.argv[1]) if sys.argv[1].startswith("/") else sys.argv[1])

def count(*_):
    global seen
    seen += 1
    if seen == stop:
        os.kill(os.getpid(), signal.SIGKILL)

def tables(connection):
    event.listen(connection, "before_cursor_execute", count)
    migrations.upgrade(connection)

store.writing.submit(store.create, tables).result()
print(seen)
"""


def interrupted(place: Place, statement: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", STATEMENTS, str(place), str(statement)], cwd=ROOT, capture_output=True, text=True
    )


def test_an_upgrade_killed_at_a_statement_is_done_by_the_next_one(empty: Place) -> None:
    whole = run(empty, shape)[0]
    assert whole == {}
    for statement in (3, 20):
        killed = interrupted(empty, statement)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        # Nothing of it is left: it was one transaction.
        assert run(empty, shape)[0] == {}
    _, made, revision = run(empty, migrations.upgrade, shape, migrations.current)
    assert set(made) == set(metadata.tables)
    assert revision == migrations.newest()
