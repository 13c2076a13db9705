"""Files of entries: no cell is a formula, Chinese survives, another program reads them, and every change is noticed."""

import csv
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import openpyxl
import orjson
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.evidence import Evidence
from consent.log.note import Vkey
from consent.profiles import RecordEvent
from gateway.audit import tables
from gateway.audit.export import PROOF, archive, check, sheet
from gateway.audit.masks import masked
from gateway.audit.tables import COLUMNS, Form, guarded, written
from schemas.errors import ConfigurationError, LogBroken
from tests import consent_world

FORMS: tuple[Form, ...] = ("csv", "jsonl", "xlsx")
ENTRY = {"event": "profile.read", "time": "2026-11-24T06:00:00.000+00:00", "actor": "bank-a", "consent": None}
FORMULA = "=cmd|' /C calc'!A0"


@pytest_asyncio.fixture
async def evidence(place: Path | str) -> AsyncIterator[Evidence]:
    async with consent_world.world(place) as opened:
        for n in range(12):
            data: dict[str, Any] = {"profile": f"p{n:030}", "revision": 1}
            await opened.submit(RecordEvent("profile.read", "bank-a", None, None, data))
        yield opened


async def made(evidence: Evidence, form: Form, *, mask: bool = False, complete: bool = True) -> bytes:
    entries = await evidence.entries(2, 7)
    proven = await evidence.proofs([one.index for one in entries])
    return archive(sheet(entries, form, mask=mask), entries, proven, complete=complete)


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
    checked = check(await made(evidence, form, mask=mask), [Vkey.parse(evidence.vkey)])
    assert (checked.entries, checked.size, checked.masked) == (5, 12, mask)


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


def _rewritten(proof: dict[str, Any], body: bytes) -> tuple[Any, bytes]:
    """The file and its digest changed together: only the rows in the log tell."""
    body = body.replace(b"bank-a", b"bank-b")
    return {**proof, "sha256": sha256(body).hexdigest()}, body


FLAWS: dict[str, tuple[Callable[[dict[str, Any], bytes], tuple[Any, bytes]], str]] = {
    "the file": (lambda p, b: (p, b.replace(b"bank-a", b"bank-b")), "sha256"),
    "the file and its digest": (_rewritten, "entries.csv"),
    "a row's index": (_row(index=9), "entry 9"),
    "a row's leaf": (_row(leaf="A" * 43 + "="), "entry 3"),
    "a row's entry": (_row(entry="{}"), "entry 3"),
    "a row's proof": (_row(proof=[]), "entry 3"),
    "a proof that is none": (_row(proof=["?"]), "entry 3"),
    "an index beyond the log": (_row(index=99), "entry 99"),
    "a row left out": (lambda p, b: ({**p, "entries": p["entries"][1:]}, b), "entries.csv"),
    "the checkpoint": (lambda p, b: ({**p, "checkpoint": p["checkpoint"].replace("12", "13")}, b), "checkpoint"),
    "no digest": (lambda p, b: ({k: v for k, v in p.items() if k != "sha256"}, b), "sha256"),
    "a proof of no form": (lambda p, b: ([], b), "archive"),
}


@pytest.mark.parametrize(("change", "at"), FLAWS.values(), ids=FLAWS.keys())
async def test_what_was_changed_is_named(
    evidence: Evidence, change: Callable[[dict[str, Any], bytes], tuple[Any, bytes]], at: str
) -> None:
    data = changed(await made(evidence, "csv"), change)
    with pytest.raises(LogBroken) as caught:
        check(data, [Vkey.parse(evidence.vkey)])
    assert caught.value.details["at"] == at


async def test_another_key_and_no_archive_are_refused(evidence: Evidence) -> None:
    stranger = Vkey.of("test.invalid/log", Ed25519PrivateKey.generate())
    for data, vkey, at in ((await made(evidence, "jsonl"), stranger, "checkpoint"), (b"PK", stranger, "archive")):
        with pytest.raises(LogBroken) as caught:
            check(data, [vkey])
        assert caught.value.details["at"] == at


async def test_a_file_says_that_more_was_found_than_it_takes(evidence: Evidence) -> None:
    for complete in (True, False):
        with zipfile.ZipFile(io.BytesIO(await made(evidence, "csv", complete=complete))) as packed:
            assert orjson.loads(packed.read(PROOF))["complete"] is complete


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
