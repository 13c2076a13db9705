"""connectors.kit.conformance: it passes what is right, and says what is not."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import field_validator

from connectors.kit.conformance import check
from schemas.records import CATALOGUE, ProvidentFund
from tests.engine_world import BASE, FIRM, FUND, body, folder, row

ROOT = Path(__file__).parent.parent
REQUEST = {"method": "POST", "path": "/fund", "json": {"uscc": FIRM.uscc}}
RECORD = {"month": "2026-10", "persons": 30, "base": "312000.00"}
FOUND = {"outcome": "found", "records": [RECORD]}


def case(reply: str, expect: dict[str, Any], request: dict[str, Any] = REQUEST, **more: Any) -> dict[str, Any]:
    return {
        "dataset": "provident_fund",
        "subject": {"uscc": FIRM.uscc, "name": FIRM.name},
        "period": ["2026-09", "2026-10"],
        "now": "2026-11-24T06:00:00.000+00:00",
        "exchanges": [{"request": request, "reply": {"file": reply}}],
        "expect": expect,
        **more,
    }


RIGHT = {
    "found": case("found.reply.json", FOUND),
    "absent": case("absent.reply.json", {"outcome": "confirmed_absent"}),
    "failed": case("failed.reply.json", {"outcome": "failure", "code": "upstream_rejected"}),
}
REPLIES = {"found": body([row()]), "absent": {"code": "none"}, "failed": {"code": "500"}}


def made(at: Path, cases: dict[str, Any], dataset: str = FUND, base: str = BASE) -> Path:
    whole = folder(at / "xx-bureau", base + dataset)
    fixtures = whole / "fixtures"
    fixtures.mkdir()
    for name, tree in REPLIES.items():
        (fixtures / f"{name}.reply.json").write_text(json.dumps(tree, ensure_ascii=False), "utf-8")
    for name, content in cases.items():
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        (fixtures / f"{name}.json").write_text(text, "utf-8")
    return whole


def faults(at: Path, cases: dict[str, Any], **more: Any) -> dict[str, str]:
    return {r.name: r.why for r in check(made(at, cases, **more)) if not r.ok}


def fault(at: Path, changed: dict[str, Any]) -> str:
    """Why the case «found» fails; the two others hold."""
    found = faults(at, {**RIGHT, "found": changed})
    return found["fixtures/found.json"]


def test_a_connector_with_its_three_cases_conforms(tmp_path: Path) -> None:
    results = check(made(tmp_path, RIGHT))
    assert [(r.name, r.ok) for r in results] == [
        ("manifest.toml", True),
        ("fixtures/absent.json", True),
        ("fixtures/failed.json", True),
        ("fixtures/found.json", True),
    ]


def test_a_broken_manifest_is_the_only_result(tmp_path: Path) -> None:
    (only,) = check(folder(tmp_path / "xx-bureau", "x = 1"))
    assert (only.name, only.ok) == ("manifest.toml", False)
    assert "line=1" in only.why


@pytest.mark.parametrize("missing", ["found", "absent", "failed"])
def test_each_of_the_three_cases_must_be_there(tmp_path: Path, missing: str) -> None:
    outcome = RIGHT[missing]["expect"]["outcome"]
    found = faults(tmp_path, {k: v for k, v in RIGHT.items() if k != missing})
    assert found == {f"provident_fund: {outcome}": "there is no fixture for this outcome"}


@pytest.mark.parametrize(
    ("expect", "why"),
    [
        ({**FOUND, "records": []}, "1 records came, 0 expected"),
        ({**FOUND, "records": [{**RECORD, "persons": 31}]}, "record 0: persons differs"),
        ({**FOUND, "records": [{**RECORD, "sealed": 1}]}, "record 0: sealed differs"),
        ({**FOUND, "as_of": "2026-10-31"}, "as_of is None, 2026-10-31 expected"),
        ({**FOUND, "repairs": ["uscc: x"]}, "repairs is []"),
        ({**FOUND, "drift": {"x": 1}}, "drift is {}"),
        ({"outcome": "confirmed_absent"}, "found came, confirmed_absent expected"),
        ({"outcome": "failure", "code": "upstream_busy"}, "found came, failure upstream_busy expected"),
    ],
)
def test_another_answer_than_expected_is_said(tmp_path: Path, expect: dict[str, Any], why: str) -> None:
    assert why in fault(tmp_path, case("found.reply.json", expect))


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({**REQUEST, "path": "/other"}, "POST /fund was sent, POST /other expected"),
        ({**REQUEST, "json": {"uscc": "x"}}, "json.uscc has another value"),
        ({**REQUEST, "json": {"name": "x"}}, "json.name was not sent"),
        ({**REQUEST, "query": {"q": "1"}}, "query.q was not sent"),
        ({**REQUEST, "form": {"f": "1"}}, "form.f was not sent"),
        ({**REQUEST, "text": ["虚构"]}, "the body lacks"),
    ],
)
def test_another_request_than_expected_is_said(tmp_path: Path, request_: dict[str, Any], why: str) -> None:
    assert why in fault(tmp_path, case("found.reply.json", FOUND, request_))


def test_text_and_form_of_a_request_are_compared_in_its_charset(tmp_path: Path) -> None:
    form = FUND.replace('encode = "json"', 'encode = "form"')
    changed = {k: {**v, "exchanges": [dict(v["exchanges"][0])]} for k, v in RIGHT.items()}
    for content in changed.values():
        content["exchanges"][0]["request"] = {
            "method": "POST",
            "path": "/fund",
            "form": {"uscc": FIRM.uscc},
            "text": [FIRM.uscc],
        }
    assert faults(tmp_path, changed, dataset=form) == {}


def test_an_exchange_that_is_missing_or_left_over_is_said(tmp_path: Path) -> None:
    twice = RIGHT["found"]["exchanges"] * 2
    assert "1 exchanges were not asked for" in fault(tmp_path / "a", {**RIGHT["found"], "exchanges": twice})
    paged = FUND.replace("rows = {", 'paging = { total_rows = "data.total" }\nrows = {')
    paged = paged.replace('body = { uscc = "{uscc}" }', 'body = { uscc = "{uscc}", p = "{page}" }')
    whole = made(tmp_path / "b", RIGHT, dataset=paged)
    (whole / "fixtures" / "found.reply.json").write_text(json.dumps(body([row()], total=2)), "utf-8")
    found = {r.name: r.why for r in check(whole) if not r.ok}
    assert found == {"fixtures/found.json": "unexpected request: no exchange is left"}


def test_a_fixture_that_is_malformed_or_about_another_data_set_is_said(tmp_path: Path) -> None:
    assert "datasett" in fault(tmp_path / "a", {**RIGHT["found"], "datasett": 1})
    assert "json" in faults(tmp_path / "b", {**RIGHT, "found": "{"})["fixtures/found.json"].lower()
    other = fault(tmp_path / "c", {**RIGHT["found"], "dataset": "judicial"})
    assert other == "the manifest has no such data set"


class Even(ProvidentFund):
    """A record with a rule that no type of a field can state."""

    @field_validator("persons")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("odd")
        return value


def test_a_record_that_the_catalogue_does_not_take_is_said(tmp_path: Path) -> None:
    whole = made(tmp_path, RIGHT)
    catalogue = {"provident_fund": replace(CATALOGUE["provident_fund"], model=Even)}
    assert all(r.ok for r in check(whole, catalogue))
    (whole / "fixtures" / "found.reply.json").write_text(json.dumps(body([row(persons=31)])), "utf-8")
    assert {r.why for r in check(whole, catalogue) if not r.ok} == {"record 0: persons is not canonical"}


def test_invented_keys_are_read_from_beside_the_cases(tmp_path: Path) -> None:
    whole = made(tmp_path, RIGHT)
    secrets = whole / "fixtures" / "secrets.json"
    secrets.write_text('{"token": "invented"}')
    assert all(r.ok for r in check(whole))
    secrets.write_text('{"token": ""}')
    found = {r.name: r.why for r in check(whole) if not r.ok}
    assert "secrets.token" in found["fixtures/found.json"]


def test_the_fixture_of_the_docs_fits_its_example(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "manifest.md").read_text("utf-8")
    manifest = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0]
    fixture = json.loads(re.findall(r"```json\n(.*?)```", text, re.DOTALL)[0])
    whole = folder(tmp_path / "xx-bureau", manifest)
    (whole / "fixtures").mkdir()
    (whole / "fixtures" / "found.json").write_text(json.dumps(fixture), "utf-8")
    uscc = fixture["subject"]["uscc"]
    rows = [{"aae003": "202610", "aae140": "110", "aac008": 30, "aae180": "312000.00", "op": "I", "aab001": "1"}]
    inner = json.dumps({"head": {"rtn": "0000"}, "body": {"total": 1, "tyshxydm": uscc, "list": rows}})
    reply = f"<Envelope><resp>{inner.replace('&', '&amp;')}</resp></Envelope>".encode("gb18030")
    (whole / "fixtures" / fixture["exchanges"][0]["reply"]["file"]).write_bytes(reply)
    assert {r.name for r in check(whole) if r.ok} == {"manifest.toml", "fixtures/found.json"}
