"""Files of entries: no cell is a formula, Chinese survives, another program reads them, and every change is noticed."""

import csv
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import openpyxl
import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.evidence import Evidence
from consent.log.note import Vkey
from consent.log.tiles import export
from consent.profiles import RecordEvent
from consent.search import Conditions, Found
from gateway.audit import export as module
from gateway.audit import looking, tables
from gateway.audit.export import PROOF, check, exported_log
from gateway.audit.looking import Search, take
from gateway.audit.masks import masked
from gateway.audit.tables import COLUMNS, Form, guarded, written
from gateway.services import Services
from schemas.errors import ConfigurationError, LogBroken
from tests import consent_world

FORMS: tuple[Form, ...] = ("csv", "jsonl", "xlsx")
ENTRY = {"event": "profile.read", "time": "2026-11-24T06:00:00.000+00:00", "actor": "bank-a", "consent": None}
FORMULA = "=cmd|' /C calc'!A0"


async def filled(evidence: Evidence) -> Evidence:
    for n in range(12):
        data: dict[str, Any] = {"profile": f"p{n:030}", "revision": 1}
        await evidence.submit(RecordEvent("profile.read", "bank-a", None, None, data))
    return evidence


@pytest_asyncio.fixture
async def evidence(place: Path | str) -> AsyncIterator[Evidence]:
    async with consent_world.world(place) as opened:
        yield await filled(opened)


@pytest_asyncio.fixture
async def on_sqlite(tmp_path: Path) -> AsyncIterator[Evidence]:
    async with consent_world.world(tmp_path / "evidence.db") as opened:
        yield await filled(opened)


async def made(evidence: Evidence, form: Form, *, mask: bool = False, **conditions: str) -> bytes:
    """Entries 2 to 6; the export itself is entry 12."""
    services = cast("Services", SimpleNamespace(evidence=evidence))
    return await take(services, "the-auditor", Search(Conditions(**conditions), 2, 7), form, mask=mask)


@given(st.text(max_size=20))
@settings(max_examples=200)
def test_no_guarded_text_begins_as_a_formula_does(text: str) -> None:
    safe = guarded(text)
    assert safe in (text, "'" + text)
    assert not safe.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_cell_that_a_spreadsheet_would_run_is_text(start: str) -> None:
    assert guarded(start + "1+1") == "'" + start + "1+1"
    rows = [(0, {**ENTRY, "actor": start + "1+1"})]
    (_, line) = csv.reader(io.StringIO(written(rows, "csv").decode("utf-8-sig"), newline=""))
    assert line[COLUMNS.index("actor")] == "'" + start + "1+1"


def test_a_workbook_is_read_by_another_program_and_holds_no_formula() -> None:
    rows = [(3, {**ENTRY, "actor": FORMULA}), (4, {**ENTRY, "actor": "https://example.invalid/银行"})]
    book = openpyxl.load_workbook(io.BytesIO(written(rows, "xlsx")))
    assert book.active is not None
    read = list(book.active.iter_rows())
    assert tuple(cell.value for cell in read[0]) == COLUMNS
    assert [line[COLUMNS.index("actor")].value for line in read[1:]] == [FORMULA, "https://example.invalid/银行"]
    assert {cell.data_type for line in read for cell in line} <= {"s", "n"}
    assert [line[3].value for line in read[1:]] == ["读取画像", "读取画像"]
    assert all(cell.hyperlink is None for line in read for cell in line)


def test_a_csv_begins_with_the_mark_that_excel_needs_for_chinese() -> None:
    body = written([(3, ENTRY)], "csv")
    assert body.startswith(b"\xef\xbb\xbfindex,")
    _, line = csv.reader(io.StringIO(body.decode("utf-8-sig"), newline=""))
    assert line[:5] == ["3", ENTRY["time"], "profile.read", "读取画像", "bank-a"]


@pytest.mark.parametrize("form", FORMS)
def test_the_same_entries_give_the_same_bytes_and_none_give_a_file_too(form: Form) -> None:
    rows = [(3, ENTRY), (4, ENTRY)]
    assert written(rows, form) == written(rows, form)
    assert isinstance(written([], form), bytes)


def test_without_the_library_a_workbook_is_refused_and_the_rest_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "xlsxwriter", None)
    with pytest.raises(ConfigurationError):
        written([(0, ENTRY)], "xlsx")
    assert written([(0, ENTRY)], "jsonl")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("mask", [True, False])
async def test_a_file_holds_against_the_logs_key(evidence: Evidence, form: Form, mask: bool) -> None:
    data = await made(evidence, form, mask=mask)
    checked = check(data, [Vkey.parse(evidence.vkey)])
    assert (checked.entries, checked.size, checked.remade) == (5, 13, not mask)
    told = checked.export
    assert (told["actor"], told["by"], told["first"], told["end"]) == ("the-auditor", [], 2, 7)
    assert (told["count"], told["complete"], told["masked"]) == (5, True, int(mask))


def changed(data: bytes, change: Callable[[dict[str, Any], bytes], tuple[Any, bytes]]) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as packed:
        proof = orjson.loads(packed.read(PROOF))
        name = proof["file"]
        proof, body = change(proof, packed.read(name))
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as packed:
        packed.writestr(name, body)
        packed.writestr(PROOF, orjson.dumps(proof))
    return held.getvalue()


def _row(**values: Any) -> Callable[[dict[str, Any], bytes], tuple[Any, bytes]]:
    def change(proof: dict[str, Any], body: bytes) -> tuple[Any, bytes]:
        proof["entries"][1] |= values
        return proof, body

    return change


def _told(**values: Any) -> Callable[[dict[str, Any], bytes], tuple[Any, bytes]]:
    def change(proof: dict[str, Any], body: bytes) -> tuple[Any, bytes]:
        told = orjson.loads(proof["export"]["entry"]) | values
        proof["export"]["entry"] = orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode()
        return proof, body

    return change


FLAWS: dict[str, tuple[Callable[[dict[str, Any], bytes], tuple[Any, bytes]], str]] = {
    "the file": (lambda p, b: (p, b.replace(b"bank-a", b"bank-b")), "sha256"),
    "a row's index": (_row(index=9), "entry 9"),
    "a row's leaf": (_row(leaf="A" * 43 + "="), "entry 3"),
    "a row's entry": (_row(entry="{}"), "entry 3"),
    "a row's proof": (_row(proof=[]), "entry 3"),
    "a proof that is none": (_row(proof=["?"]), "entry 3"),
    "an index beyond the log": (_row(index=99), "entry 99"),
    "a row left out": (lambda p, b: ({**p, "entries": p["entries"][1:]}, b), "range"),
    "a row twice": (lambda p, b: ({**p, "entries": [*p["entries"], p["entries"][0]]}, b), "range"),
    "the checkpoint": (lambda p, b: ({**p, "checkpoint": p["checkpoint"].replace("13", "14")}, b), "checkpoint"),
    "what the log says of it": (_told(digest="0" * 64), "export"),
    "nothing said of it": (lambda p, b: ({k: v for k, v in p.items() if k != "export"}, b), "export"),
    "another entry said of it": (lambda p, b: ({**p, "export": p["entries"][0]}, b), "export"),
    "a proof of no form": (lambda p, b: ([], b), "archive"),
}


@pytest.mark.parametrize(("change", "at"), FLAWS.values(), ids=FLAWS.keys())
async def test_what_was_changed_is_named(
    on_sqlite: Evidence, change: Callable[[dict[str, Any], bytes], tuple[Any, bytes]], at: str
) -> None:
    data = changed(await made(on_sqlite, "csv"), change)
    with pytest.raises(LogBroken) as caught:
        check(data, [Vkey.parse(on_sqlite.vkey)])
    assert caught.value.details["at"] == at


@pytest.mark.parametrize("mask", [True, False])
async def test_a_gateway_that_leaves_out_a_row_of_a_range_is_found_out(
    on_sqlite: Evidence, monkeypatch: pytest.MonkeyPatch, mask: bool
) -> None:
    """It writes the file, its digest and the count as it likes: the range that it had to name tells."""
    search = on_sqlite.search

    async def lossy(*asked: Any) -> Found:
        found = await search(*asked)
        return replace(found, entries=[one for one in found.entries if one.index != 4])

    monkeypatch.setattr(on_sqlite, "search", lossy)
    with pytest.raises(LogBroken) as caught:
        check(await made(on_sqlite, "jsonl", mask=mask), [Vkey.parse(on_sqlite.vkey)])
    assert caught.value.details["at"] == "range"
    # With a condition nobody but a second search can tell.
    checked = check(await made(on_sqlite, "jsonl", mask=mask, actor="bank-a"), [Vkey.parse(on_sqlite.vkey)])
    assert (checked.entries, checked.export["by"]) == (4, ["actor"])


@pytest.mark.parametrize("whole", [True, False])
async def test_masked_rows_that_say_something_else_are_found_out_with_the_entries_and_not_without(
    on_sqlite: Evidence, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, whole: bool
) -> None:
    vkeys = [Vkey.parse(on_sqlite.vkey)]
    honest = await made(on_sqlite, "csv", mask=True)
    with monkeypatch.context() as lying:
        lying.setattr(module, "masked", lambda entry: {**masked(entry), "actor": "bank-b"})
        lie = await made(on_sqlite, "csv", mask=True)
    export(on_sqlite.log_source(), tmp_path / "log")
    entries = exported_log(tmp_path / "log", vkeys) if whole else None
    assert check(honest, vkeys, entries).remade is whole
    if whole:
        with pytest.raises(LogBroken) as caught:
            check(lie, vkeys, entries)
        assert caught.value.details["at"] == "entries.csv"
    else:
        assert not check(lie, vkeys).remade


async def test_an_exported_log_that_is_no_such_folder_or_too_short_is_refused(
    on_sqlite: Evidence, tmp_path: Path
) -> None:
    vkeys = [Vkey.parse(on_sqlite.vkey)]
    data = await made(on_sqlite, "csv", mask=True)
    with pytest.raises(LogBroken) as caught:
        check(data, vkeys, exported_log(tmp_path, vkeys))
    assert caught.value.details["at"] == "log"
    async with consent_world.world(tmp_path / "other.db") as other:
        await other.submit(RecordEvent("log.read", "bank-a", None, None, {"first": 0, "last": 0}))
        export(other.log_source(), tmp_path / "short")
    with pytest.raises(LogBroken) as caught:
        check(data, vkeys, exported_log(tmp_path / "short", vkeys))
    assert caught.value.details["at"] == "entry 2"


async def test_another_key_and_no_archive_are_refused(on_sqlite: Evidence) -> None:
    stranger = Vkey.of("test.invalid/log", Ed25519PrivateKey.generate())
    for data, vkey, at in ((await made(on_sqlite, "jsonl"), stranger, "checkpoint"), (b"PK", stranger, "archive")):
        with pytest.raises(LogBroken) as caught:
            check(data, [vkey])
        assert caught.value.details["at"] == at


async def test_a_file_says_that_more_was_found_than_it_takes_and_where_the_rest_begins(
    on_sqlite: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "EXPORTED", 3)
    checked = check(await made(on_sqlite, "csv"), [Vkey.parse(on_sqlite.vkey)])
    assert (checked.entries, checked.export["complete"], checked.export["end"]) == (3, False, 5)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(alphabet="0123456789abcdef", max_size=70),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=6,
)


@given(JSON)
@settings(max_examples=200)
def test_no_id_or_commitment_of_an_event_that_is_new_here_is_shown_whole(value: Any) -> None:
    shown = orjson.dumps(masked({"event": "brand.new", "its_id": value, "items": [["sh-tax", "f" * 64]]})).decode()
    assert "f" * 9 not in shown
    assert "sh-tax" in shown
    if isinstance(value, str) and len(value) > 8:
        assert value not in shown
    if isinstance(value, dict):
        assert '"its_id":"…"' in shown
