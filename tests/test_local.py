"""connectors.local: tables and dropped files behind the seam of the transport, read-only, and strict."""

import json
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connectors import local
from connectors.local import LocalTransport
from connectors.sandbox.bank import write_bank
from connectors.sandbox.support import CUSTOMERS
from connectors.sandbox.world import World
from connectors.wire import WireReply, WireRequest
from schemas.errors import (
    ConfigurationError,
    ConsentRevoked,
    UpstreamCharset,
    UpstreamConnect,
    UpstreamMalformed,
    UpstreamOversize,
    UpstreamTimeout,
)

HEAD = "code,名称,day\r\n"


async def may() -> None:
    return


async def ask(transport: LocalTransport, what: str, timeout: float = 5) -> WireReply:  # noqa: ASYNC109
    return await transport.send(WireRequest("GET", f"local://bank{what}", {}, b""), timeout=timeout, leave=may)


async def rows(transport: LocalTransport, what: str) -> list[dict[str, Any]]:
    reply = await ask(transport, what)
    assert reply.status == 200
    answer = json.loads(reply.body)
    assert answer["ok"] is True
    found: list[dict[str, Any]] = answer["rows"]
    return found


@pytest.fixture
def bank(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "bank.sqlite")) as db, db:
        db.execute("CREATE TABLE flow (uscc TEXT, month TEXT, amount NUMERIC, share REAL, note TEXT)")
        db.executemany(
            "INSERT INTO flow VALUES (?, ?, ?, ?, ?)",
            [("A", "2026-02", "1.50", 0.1, None), ("A", "2026-01", "2", 0.25, "x"), ("B", "2026-01", "9", 1.0, "y")],
        )
    (tmp_path / "drop").mkdir()
    return tmp_path


@pytest.fixture
def transport(bank: Path) -> LocalTransport:
    return LocalTransport({"database": f"sqlite:///{bank / 'bank.sqlite'}", "folder": str(bank / "drop")})


async def test_a_table_gives_the_rows_whose_columns_equal_what_was_asked_in_the_order_asked(
    transport: LocalTransport,
) -> None:
    found = await rows(transport, "/table/flow?uscc=A&sort=month")
    assert [row["month"] for row in found] == ["2026-01", "2026-02"]
    assert found[1] == {"uscc": "A", "month": "2026-02", "amount": "1.5", "share": "0.1", "note": None}


async def test_bounds_take_both_ends(transport: LocalTransport) -> None:
    assert len(await rows(transport, "/table/flow?uscc=A&month.from=2026-01&month.to=2026-02")) == 2
    assert len(await rows(transport, "/table/flow?uscc=A&month.from=2026-02")) == 1
    assert await rows(transport, "/table/flow?month.to=2025-12") == []


async def test_a_value_is_a_value_and_never_sql(transport: LocalTransport) -> None:
    assert await rows(transport, "/table/flow?uscc=A%27%20OR%20%271%27%3D%271") == []
    with pytest.raises(UpstreamConnect):
        await ask(transport, "/table/flow%3B%20DROP%20TABLE%20flow?uscc=A")
    assert len(await rows(transport, "/table/flow")) == 3


@pytest.mark.parametrize("what", ["/table/nowhere", "/table/flow?nothing=1"])
async def test_a_table_or_column_that_is_not_there_is_a_failure(transport: LocalTransport, what: str) -> None:
    with pytest.raises(UpstreamConnect):
        await ask(transport, what)


async def test_a_database_that_is_not_there_is_a_failure_and_is_not_made(tmp_path: Path) -> None:
    missing = tmp_path / "missing.sqlite"
    with pytest.raises(UpstreamConnect):
        await ask(LocalTransport({"database": f"sqlite:///{missing}"}), "/table/flow")
    assert not missing.exists()


async def test_the_database_is_opened_for_reading_only(bank: Path, transport: LocalTransport) -> None:
    with closing(sqlite3.connect(bank / "bank.sqlite")) as db, db:
        db.execute("CREATE VIEW changing AS SELECT * FROM flow")
        db.execute("CREATE TRIGGER t INSTEAD OF UPDATE ON changing BEGIN DELETE FROM flow; END")
    assert transport._engine is not None
    with transport._engine.connect() as connection, pytest.raises(Exception, match="readonly"):
        connection.exec_driver_sql("DELETE FROM flow")


@pytest.mark.parametrize("url", ["no url", "nonsense://x", "postgresql+nodriver://x/y"])
def test_a_database_that_cannot_be_one_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        LocalTransport({"database": url})
    assert caught.value.details["at"] == "secrets.database"


async def test_of_several_files_the_newest_by_the_day_in_its_name_is_read(
    bank: Path, transport: LocalTransport
) -> None:
    for name, text in (
        ("lists-20261123.csv", HEAD + "A,old,1\r\n"),
        ("lists-20261124.csv", HEAD + "A,new,1\r\nB,other,2\r\n"),
        ("lists-20261399.csv", HEAD + "A,no day,1\r\n"),
        ("lists-20261125.tmp", HEAD + "A,not yet whole,1\r\n"),
        ("other-20261130.csv", HEAD + "A,another,1\r\n"),
    ):
        (bank / "drop" / name).write_text(text, "utf-8", newline="")
    reply = json.loads((await ask(transport, "/drop/lists?code=A")).body)
    assert reply == {"ok": True, "as_of": "2026-11-24", "rows": [{"code": "A", "名称": "new", "day": "1"}]}


@pytest.mark.parametrize("charset", ["utf-8", "utf-8-sig", "gb18030"])
async def test_a_file_may_be_utf_8_or_gb18030_and_a_cell_may_hold_a_line_break(
    bank: Path, transport: LocalTransport, charset: str
) -> None:
    (bank / "drop" / "lists-20261124.csv").write_bytes((HEAD + 'A,"虚构，\r\n名单",1\r\n').encode(charset))
    assert (await rows(transport, "/drop/lists"))[0]["名称"] == "虚构，\r\n名单"


async def test_lines_of_json_are_read_strictly_and_numbers_become_text(bank: Path, transport: LocalTransport) -> None:
    (bank / "drop" / "lists-20261124.jsonl").write_text('{"code":"A","n":1.10,"k":2,"f":true}\n\n', "utf-8")
    assert await rows(transport, "/drop/lists?code=A") == [{"code": "A", "n": "1.10", "k": 2, "f": True}]


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("lists-20261124.csv", HEAD + "A,short\r\n", UpstreamMalformed),
        ("lists-20261124.csv", HEAD + "A,long,1,2\r\n", UpstreamMalformed),
        ("lists-20261124.csv", 'a,a\r\n"x,1\r\n', UpstreamMalformed),
        ("lists-20261124.csv", HEAD + 'A,"open\r\n', UpstreamMalformed),
        ("lists-20261124.csv", "", UpstreamMalformed),
        ("lists-20261124.jsonl", "[1]", UpstreamMalformed),
        ("lists-20261124.jsonl", '{"a":1,"a":2}', UpstreamMalformed),
        ("lists-20261124.csv", b"\xff\xff\xff", UpstreamCharset),
    ],
)
async def test_a_broken_file_is_a_failure(
    bank: Path, transport: LocalTransport, name: str, text: str | bytes, error: type[Exception]
) -> None:
    (bank / "drop" / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(error):
        await ask(transport, "/drop/lists")


async def test_what_is_not_there_is_not_found_and_never_an_empty_answer(bank: Path, transport: LocalTransport) -> None:
    for what in ("/drop/lists", "/elsewhere/x", "/"):
        assert (await ask(transport, what)).status == 404
    bare = LocalTransport({})
    assert (await ask(bare, "/table/flow")).status == (await ask(bare, "/drop/lists")).status == 404
    gone = LocalTransport({"folder": str(bank / "gone")})
    assert (await ask(gone, "/drop/lists")).status == 404


async def test_a_file_that_cannot_be_opened_is_a_failure(bank: Path, transport: LocalTransport) -> None:
    (bank / "drop" / "lists-20261124.csv").mkdir()
    with pytest.raises(UpstreamConnect):
        await ask(transport, "/drop/lists")


async def test_too_many_rows_are_not_taken_for_all(
    bank: Path, transport: LocalTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "MAX_ROWS", 2)
    with pytest.raises(UpstreamOversize):
        await ask(transport, "/table/flow")
    assert len(await rows(transport, "/table/flow?uscc=A")) == 2


async def test_a_slow_read_ends_with_its_time_and_off_the_event_loop(
    transport: LocalTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, where = threading.Event(), []

    def slow(url: str) -> WireReply:
        where.append(threading.current_thread())
        release.wait(10)
        return WireReply(404, {}, b"")

    monkeypatch.setattr(transport, "_read", slow)
    with pytest.raises(UpstreamTimeout):
        await ask(transport, "/table/flow", timeout=0.01)
    release.set()
    assert where[0] is not threading.main_thread()


async def test_nothing_is_read_when_the_guard_says_no(transport: LocalTransport) -> None:
    async def never() -> None:
        raise ConsentRevoked

    with pytest.raises(ConsentRevoked):
        await transport.send(WireRequest("GET", "local://bank/table/flow", {}, b""), timeout=1, leave=never)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(Decimal("1E+2"), "100"), (0.1, "0.1"), (date(2026, 1, 2), "2026-01-02"), (b"x", "b'x'"), (None, None), (7, 7)],
)
def test_values_become_text_whole_numbers_flags_or_null(value: object, shown: object) -> None:
    assert local._plain(value) == shown


def test_the_sandboxs_bank_holds_its_customers_but_those_nobody_knows(tmp_path: Path) -> None:
    world = World(1, lambda: datetime(2026, 11, 24, 6, tzinfo=UTC).timestamp())

    def code(n: int) -> str:
        return world.enterprise(n).uscc

    for _ in range(2):  # a second start begins anew
        secrets = write_bank(world, tmp_path)
    with closing(sqlite3.connect(tmp_path / "bank.sqlite")) as db:
        known = {row[0] for row in db.execute("SELECT DISTINCT cust_uscc FROM account_month")}
    assert known == {code(n) for n in range(CUSTOMERS) if n != 9}
    assert secrets["folder"] == str((tmp_path / "drop").resolve())
    text = (tmp_path / "drop" / "lists-20261124.csv").read_bytes().decode("gb18030")
    assert code(0) in text
    assert code(9) not in text
