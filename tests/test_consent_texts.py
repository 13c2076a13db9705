"""Registered authorisation texts, and what a consent may say of the text that was shown."""

import hashlib
import sqlite3
from pathlib import Path
from typing import Any

import orjson
import pytest

from consent.consents import GrantConsent
from consent.texts import MOST, RegisterText
from schemas.errors import ConsentConflict, ConsentTextMismatch, InvalidValue
from tests.consent_world import CAPTURED, LENDER, PAGE_TEXT, grant, person, world

TEXT = "（示例）本企业同意查询。Invented.".encode()
SHA = hashlib.sha256(TEXT).hexdigest()
ADD = RegisterText("loan", "2026.1", "zh", TEXT, "operator")
NAMED = {"text_version": "loan-2026.1-zh", "text_sha256": SHA}


async def test_a_text_is_registered_once_and_can_be_read_again(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(ADD)
        assert await evidence.submit(ADD) == made
        assert (made.name, made.language, made.sha256) == ("loan-2026.1-zh", "zh", SHA)
        assert await evidence.texts() == [made]
        assert await evidence.text(made.name) == TEXT
        assert await evidence.text("unknown") is None
        (entry,) = [orjson.loads(e.entry) for e in await evidence.entries(0, 9)]
        assert (entry["event"], entry["text"], entry["digest"]) == ("text.registered", made.name, SHA)
        assert await evidence.audit() == []


async def test_a_name_that_is_taken_does_not_take_another_text(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(ADD)
        with pytest.raises(ConsentConflict):
            await evidence.submit(RegisterText("loan", "2026.1", "zh", TEXT + b"!", "operator"))
        assert evidence.size == 1


@pytest.mark.parametrize(
    ("at", "changes"),
    [
        ("id", {"text_id": "loan-1"}),
        ("id", {"text_id": "贷款"}),
        ("version", {"version": "2026-1"}),
        ("version", {"version": ""}),
        ("text", {"content": b""}),
        ("text", {"content": b" \n"}),
        ("text", {"content": b"\xff"}),
        ("text", {"content": b"x" * (MOST + 1)}),
    ],
)
def test_a_text_that_could_not_be_named_or_read_is_refused(at: str, changes: dict[str, Any]) -> None:
    values: dict[str, Any] = {
        "text_id": "loan",
        "version": "1",
        "language": "zh",
        "content": b"x" * MOST,
        "actor": "operator",
    }
    RegisterText(**values)
    with pytest.raises(InvalidValue) as caught:
        RegisterText(**{**values, **changes})
    assert caught.value.details["at"] == at


async def test_a_consent_that_names_a_registered_text_carries_its_digest(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(ADD)
        made = await evidence.submit(GrantConsent(grant(**NAMED), LENDER))
        assert made.text_registered
        size = evidence.size
        with pytest.raises(ConsentTextMismatch) as caught:
            await evidence.submit(GrantConsent(grant(**{**NAMED, "text_sha256": "0" * 64}), LENDER))
        assert caught.value.details == {"at": "text_sha256"}
        wrong = person(0, text_version=NAMED["text_version"])
        with pytest.raises(ConsentTextMismatch) as caught:
            await evidence.submit(GrantConsent(grant(persons=[wrong]), LENDER))
        assert caught.value.details == {"at": "persons[0].text_sha256"}
        assert evidence.size == size


async def test_a_text_that_is_not_registered_is_a_lenders_word_and_is_marked_for_good(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(**NAMED), LENDER))
        assert not made.text_registered
        await evidence.submit(ADD)
        again = await evidence.submit(GrantConsent(grant(**NAMED), LENDER))
        assert again == made
        told = [orjson.loads(e.entry)["text"] for e in await evidence.entries_about(made.id)]
        assert told == [None]


@pytest.mark.parametrize("text", ["page-1-zh", "page-9-en"])
async def test_only_the_page_itself_names_its_forms(tmp_path: Path, text: str) -> None:
    async with world(tmp_path / "e.db") as evidence:
        page = await evidence.submit(PAGE_TEXT)
        with pytest.raises(ConsentTextMismatch):
            await evidence.submit(GrantConsent(grant(text_version=text, text_sha256=page.sha256), LENDER))


async def test_a_consent_of_the_page_needs_the_registered_form(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        for changes in ({}, {"text_version": "loan-2026.1-zh"}):
            with pytest.raises(ConsentTextMismatch):
                await evidence.submit(GrantConsent(grant(**{**CAPTURED, **changes}), "enterprise"))
        await evidence.submit(PAGE_TEXT)
        # Filled in, the form has another digest for every enterprise.
        made = await evidence.submit(GrantConsent(grant(**CAPTURED), "enterprise"))
        assert made.text_registered


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("UPDATE consent_texts SET content = x'00'", "content"),
        ("UPDATE consent_texts SET sha256 = 'x'", "sha256"),
        ("DELETE FROM consent_texts", "missing"),
    ],
)
async def test_a_changed_row_is_named_by_the_audit(tmp_path: Path, change: str, what: str) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(ADD)
        with sqlite3.connect(tmp_path / "e.db") as file:
            file.execute(change)
        file.close()
        assert ("consent_texts", made.name, what) in [(f.table, f.id, f.what) for f in await evidence.audit()]
