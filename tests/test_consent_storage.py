"""consent.storage: constant statements handed to the driver."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, bindparam, insert, select
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from consent import keys, request_rows, rows, text_rows
from consent.storage import Database, execute_many, fetch, storage_failed
from consent.tables import log_tiles

_ADD = insert(log_tiles)
_HASHES = select(log_tiles.c.number, log_tiles.c.hash).where(log_tiles.c.level == bindparam("tier"))
ROW = {"level": 1, "number": 7, "hash": b"\x07" * 32}


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = Database(tmp_path / "log.sqlite")
    made.create()
    return made


def test_rows_are_written_and_read_inside_the_transaction_that_core_began(database: Database) -> None:
    with database.connect() as connection:
        with connection.begin() as transaction:
            execute_many(connection, _ADD, [ROW])
            execute_many(connection, _ADD, [])
            assert fetch(connection, _HASHES, tier=1) == [(7, ROW["hash"])]
            transaction.rollback()
        assert fetch(connection, _HASHES, tier=1) == []
        assert connection.in_transaction(), "a read opens a transaction of its own, as Core's do"
    database.dispose()


def test_the_driver_s_errors_come_as_core_s_without_statement_or_values(database: Database) -> None:
    with database.connect() as connection, connection.begin():
        execute_many(connection, _ADD, [ROW])
        with pytest.raises(IntegrityError) as caught:
            execute_many(connection, _ADD, [ROW])
        assert not storage_failed(caught.value)
        assert caught.value.statement is None
        assert caught.value.params is None
    with database.connect() as connection:
        connection.exec_driver_sql("DROP TABLE log_tiles")
        with pytest.raises(OperationalError) as lost:
            fetch(connection, _HASHES, tier=1)
        assert isinstance(lost.value, DBAPIError)
        assert storage_failed(lost.value)
    database.dispose()


def _constants(module: object) -> list[Select[Any]]:
    held = vars(module).values()
    return [one for one in held if isinstance(one, Select) and "json_each" in str(one.compile(dialect=dialect()))]


@pytest.mark.parametrize("module", [rows, keys, text_rows, request_rows], ids=lambda module: module.__name__)
def test_what_a_batch_asks_by_a_list_of_keys_is_found_by_an_index(database: Database, module: object) -> None:
    """A whole table read for each batch would be slower with every permit that there was."""
    found = _constants(module)
    assert found
    with database.connect() as connection:
        for statement in found:
            text = str(statement.compile(dialect=dialect()))
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("[]",) * text.count("?"))
            steps = [step for *_, step in plan]
            assert any(step.startswith("SEARCH") for step in steps), steps
            # What a recursion has found so far is named so, and has no index.
            scans = [step for step in steps if step.startswith("SCAN") and not step.startswith("SCAN anon_")]
            assert [step for step in scans if "json_each" not in step] == []
    database.dispose()
