"""Persons with a part of their own: kept under their own key, named by a pseudonym, and decided by that part."""

from pathlib import Path

import orjson
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from consent import evidence as evidence_module
from consent.consents import GrantConsent
from consent.policy import PermitItem
from consent.vault import Vault
from schemas.errors import ConsentConflict, ConsentOutOfScope
from tests.consent_world import ITEMS, KEK, LENDER, PSEUDONYM_KEY, Keks, ask, grant, person, uscc, world

WHO = Vault(Keks(KEK), PSEUDONYM_KEY).person(uscc(), "actual_controller", "person-0")
COURT = PermitItem("sh-court", "judicial", frozenset({"kind", "case_number"}), WHO)
NAMED = (("actual_controller", "person-0"),)


@pytest.fixture(autouse=True)
def _no_lease_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence_module, "LEASE_SECONDS", 0.0)


async def test_a_persons_part_has_an_entry_of_its_own_and_its_own_key(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(persons=[person(0), person(1)]), LENDER))
        entries = [orjson.loads(e.entry) for e in await evidence.entries_about(made.id)]
        assert await evidence.audit() == []
        assert made.persons[0].subject == WHO
        assert await evidence.consent(made.id) == made
    assert [e["event"] for e in entries] == ["consent.granted", "part.granted", "part.granted"]
    subjects = [e["subject"] for e in entries]
    assert subjects[1:] == [p.subject for p in made.persons]
    assert len(set(subjects)) == 3
    with create_engine(f"sqlite:///{tmp_path / 'e.db'}", poolclass=NullPool).connect() as connection:
        held = connection.execute(text("SELECT subject, class FROM sealed WHERE kind = 'part'")).all()
        keys = connection.execute(text("SELECT DISTINCT subject FROM subject_keys")).scalars().all()
    assert {(row[0], row[1]) for row in held} == {(s, "evidence") for s in subjects[1:]}
    assert set(subjects) <= set(keys)


def raw_files(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())


async def test_a_persons_reference_and_document_stand_nowhere_in_clear(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        await evidence.submit(GrantConsent(grant(persons=[person(0)]), LENDER))
    raw = raw_files(tmp_path)
    for canary in (b"person-0", b"3" * 64):
        assert canary not in raw


async def test_a_changed_part_is_another_consent_and_the_same_part_the_same_one(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        one = await evidence.submit(GrantConsent(grant(persons=[person(0)]), LENDER))
        assert await evidence.submit(GrantConsent(grant(persons=[person(0)]), LENDER)) == one
        elsewhere = person(0, text_sha256="8" * 64)
        assert (await evidence.submit(GrantConsent(grant(persons=[elsewhere]), LENDER))).id != one.id
        with pytest.raises(ConsentConflict):
            await evidence.submit(GrantConsent(grant(persons=[elsewhere]), LENDER, one.id))


async def test_a_permit_names_whose_part_each_item_uses(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(persons=[person(0)]), LENDER))
        permit = await evidence.submit(ask("p1", made.id, items=(COURT, *ITEMS), persons=NAMED))
        assert set(permit.items) == {COURT, *ITEMS}
        (entry,) = await evidence.entries(permit.log_index, permit.log_index + 1)
        assert orjson.loads(entry.entry)["items"] == [
            ["sh-court", "judicial", ["case_number", "kind"], WHO],
            ["sh-hrss", "social_insurance", ["kind", "month", "persons"]],
            ["sh-registry", "registration", ["name", "uscc"]],
        ]
        assert [use.items for use in await evidence.uses_of(made.id)] == [
            (
                ("sh-court", "judicial", None),
                ("sh-hrss", "social_insurance", None),
                ("sh-registry", "registration", None),
            )
        ]


async def test_a_person_of_another_enterprise_or_role_has_no_part_here(tmp_path: Path) -> None:
    async with world(tmp_path / "e.db") as evidence:
        made = await evidence.submit(GrantConsent(grant(persons=[person(0)]), LENDER))
        for n, (role, ref) in enumerate([("legal_representative", "person-0"), ("actual_controller", "person-1")]):
            with pytest.raises(ConsentOutOfScope) as caught:
                await evidence.submit(ask(f"p{n}", made.id, items=(COURT, *ITEMS), persons=((role, ref),)))
            assert caught.value.details == {"at": "subject.persons"}
        assert made.persons[0].subject != Vault(Keks(KEK), PSEUDONYM_KEY).person(
            uscc(1), "actual_controller", "person-0"
        )
