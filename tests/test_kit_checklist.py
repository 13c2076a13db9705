"""connectors.kit.checklist: nothing is left out without a word."""

from pathlib import Path

import pytest

from connectors.kit.checklist import RULES, checklist

FULL = dict.fromkeys(RULES, 'state = "done"\nreason = "seen"')


def results(at: Path, answers: dict[str, str]) -> dict[str, tuple[bool, str]]:
    text = "".join(f"[{rule}]\n{answer}\n" for rule, answer in answers.items())
    (at / "checklist.toml").write_text(text, "utf-8")
    return {r.name: (r.ok, r.why) for r in checklist(at)}


def test_without_a_list_nothing_is_said(tmp_path: Path) -> None:
    assert list(checklist(tmp_path)) == []


def test_what_is_done_or_left_to_do_is_shown(tmp_path: Path) -> None:
    found = results(tmp_path, {**FULL, "limits_agreed": 'state = "todo"'})
    assert found["checklist.toml: limits_agreed"] == (True, "todo")
    assert all(ok for ok, _ in found.values())
    assert len(found) == len(RULES)


@pytest.mark.parametrize(
    ("answers", "name", "why"),
    [
        ({**FULL, "limits_agreed": 'state = "exempt"'}, "checklist.toml: limits_agreed", "give the reason"),
        ({k: v for k, v in FULL.items() if k != "limits_agreed"}, "checklist.toml: limits_agreed", "missing"),
        ({**FULL, "colour": 'state = "done"'}, "checklist.toml", "there is no rule colour"),
        ({**FULL, "limits_agreed": 'state = "maybe"'}, "checklist.toml", "each table has"),
        ({**FULL, "limits_agreed": "state"}, "checklist.toml", "each table has"),
    ],
)
def test_an_exemption_needs_its_reason_and_every_rule_an_answer(
    tmp_path: Path, answers: dict[str, str], name: str, why: str
) -> None:
    ok, said = results(tmp_path, answers)[name]
    assert not ok
    assert why in said


def test_an_exemption_with_its_reason_holds(tmp_path: Path) -> None:
    answer = 'state = "exempt"\nreason = "no amounts in this reply"'
    found = results(tmp_path, {**FULL, "units_confirmed": answer})
    assert found["checklist.toml: units_confirmed"] == (True, "no amounts in this reply")
