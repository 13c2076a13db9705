"""Real replies, read by small manifests into what ``expected.json`` beside them says, key by key."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Progress, Query, Reply, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.manifest import load
from connectors.ports import OpenGuard
from connectors.wire import Leave, WireReply, WireRequest
from schemas.base import Day, Month, ShortText, SquareMetres, Uscc, Yuan
from schemas.errors import InvalidIdentifier
from schemas.identifiers import is_uscc, parse_registration_number
from schemas.records import CATALOGUE, DataSet, Record, RegistrationState, f, need

ROOT = Path(__file__).parent.parent
SAMPLES = Path(os.environ.get("XINQIAO_SAMPLES", ROOT / "../shared/samples"))
MANIFESTS = Path(__file__).parent / "samples_manifests"
pytestmark = pytest.mark.skipif(
    not (SAMPLES / "expected.json").is_file(), reason="no real replies here: name their folder in XINQIAO_SAMPLES"
)


class Guarantor(Record):
    title = ("担保机构", "Guarantors")
    name: ShortText = need("名称", "Name")
    uscc: Uscc = need("统一社会信用代码", "USCC")
    established_month: Month | None = f("成立年月", "Established")
    registered_capital: Yuan | None = f("注册资本", "Registered capital")
    licence: ShortText | None = f("许可证号", "Licence")


class CityFirm(Record):
    title = ("城市登记", "City register")
    name: ShortText = need("名称", "Name")
    established: Day | None = f("成立日期", "Established")
    registered_capital: Yuan | None = f("注册资本", "Registered capital")
    industry_section: ShortText | None = f("行业门类", "Industry section")
    industry_code: ShortText | None = f("行业代码", "Industry code")
    organisation_code: ShortText | None = f("组织机构代码", "Organisation code")
    valid: bool | None = f("是否有效", "Valid")


class Completion(Record):
    title = ("竣工备案", "Completion records")
    builder: ShortText = need("建设单位", "Builder")
    started: Day | None = f("开工日期", "Started")
    finished: Day | None = f("竣工日期", "Finished")
    recorded: Day | None = f("备案日期", "Recorded")
    area: SquareMetres | None = f("面积", "Area")
    size: ShortText | None = f("规模", "Size")


class Difference(Record):
    title = ("核验差异", "Differences")
    key: ShortText = need("核验项", "Item")
    state: RegistrationState | None = f("登记状态", "State")


def data_set(name: str, model: type[Record]) -> DataSet:
    required = frozenset(n for n, info in model.model_fields.items() if info.is_required())
    none = frozenset[str]()
    return DataSet(name, *model.title, True, model, tuple(model.model_fields), required, none, none)


OWN = {
    "guarantors": data_set("guarantors", Guarantor),
    "city_firms": data_set("city_firms", CityFirm),
    "completions": data_set("completions", Completion),
    "differences": data_set("differences", Difference),
}


class OneReply:
    def __init__(self, file: str) -> None:
        self._body = (SAMPLES / file).read_bytes()

    async def send(self, request: WireRequest, *, timeout: float, leave: Leave) -> WireReply:  # noqa: ASYNC109
        return WireReply(200, {"content-type": "application/json"}, self._body)


def expected(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / "expected.json").read_text("utf-8"))[file]
    return found


def read(manifest: str, dataset: str, file: str, subject: Subject) -> Reply:
    """What the connector makes of the reply, every field of the data set consented."""
    loaded = load(MANIFESTS / manifest, {**CATALOGUE, **OWN})
    fields = frozenset(loaded.plans[dataset].specs)

    async def fetch() -> Reply:
        connector = DeclarativeConnector(loaded, OneReply(file), {"paasid": "invented", "token": "invented"})
        query = Query(subject, dataset, fields, (2025, 12), (2026, 11))
        deadline = asyncio.get_running_loop().time() + 10
        return await connector.fetch(query, OpenGuard(), deadline, Progress())

    reply = asyncio.run(fetch())
    assert reply.drift == {}
    return reply


def test_a_national_register_s_row_is_read_to_the_day_the_digit_and_the_state() -> None:
    want = expected("registry-national.json")
    subject = Subject(want["uscc"], want["name"])
    reply = read("national-register", "registration", "registry-national.json", subject)
    (row,) = reply.records
    assert parse_registration_number(str(row["registration_number"])).value == want["registration_number"]
    assert {
        "outcome": reply.found.value,
        "name": row["name"],
        "uscc": row["uscc"],
        "uscc_valid": is_uscc(str(row["uscc"])),
        "registration_number": row["registration_number"],
        "registration_number_valid": True,
        "established": row["established"],
        "approved": row["approved"],
        "term_end": row.get("term_to"),
        "registered_capital_yuan": row["registered_capital"],
        "status": row["state"],
    } == want
    assert "term_to" not in row


def test_a_wrong_registration_number_would_not_pass_for_a_valid_one() -> None:
    number = expected("registry-national.json")["registration_number"]
    with pytest.raises(InvalidIdentifier):
        parse_registration_number(number[:-1] + str((int(number[-1]) + 1) % 10))


def test_a_trailing_blank_in_the_code_is_mended_and_said() -> None:
    want = expected("guarantor-city.json")
    subject = Subject(want["uscc"], want["name"])
    reply = read("city-guarantors", "guarantors", "guarantor-city.json", subject)
    (row,) = reply.records
    (repair,) = reply.repairs
    assert {
        "outcome": reply.found.value,
        "name": row["name"],
        "uscc": row["uscc"],
        "uscc_repaired": repair.removeprefix("uscc: "),
        "established_month": row["established_month"],
        "registered_capital_yuan": row["registered_capital"],
        "licence": row["licence"],
    } == want


def test_a_small_firm_s_empty_texts_are_absent_and_its_padded_flag_is_read() -> None:
    want = expected("small-firm-city.json")
    row_code = json.loads((SAMPLES / "small-firm-city.json").read_text("utf-8"))["DataList"][0]["lgl_credit_no"]
    reply = read("city-register", "city_firms", "small-firm-city.json", Subject(row_code, want["name"]))
    (row,) = reply.records
    assert {
        "outcome": reply.found.value,
        "name": row["name"],
        "established": row["established"],
        "registered_capital_yuan": row["registered_capital"],
        "industry_section": row["industry_section"],
        "industry_code": row["industry_code"],
        "organisation_code_absent": "organisation_code" not in row,
        "valid": row["valid"],
    } == want


def test_a_building_s_completion_is_read_with_its_three_dates() -> None:
    want = expected("building-completion-city.json")
    subject = Subject("91340000711771143J", want["builder"])
    reply = read("city-completions", "completions", "building-completion-city.json", subject)
    (row,) = reply.records
    assert {
        "outcome": reply.found.value,
        "builder": row["builder"],
        "started": row["started"],
        "finished": row["finished"],
        "recorded": row["recorded"],
        "area_m2": row["area"],
        "size_absent": "size" not in row,
    } == want


@pytest.mark.parametrize(
    ("manifest", "dataset"),
    [("city-guarantors", "guarantors"), ("city-register", "city_firms"), ("city-completions", "completions")],
)
def test_nothing_found_is_a_confirmed_absence(manifest: str, dataset: str) -> None:
    reply = read(manifest, dataset, "nothing-found-city.json", Subject("91340000711771143J", "虚构（沙箱）公司"))
    assert reply.found is Found.ABSENT
    assert {"outcome": reply.found.value} == expected("nothing-found-city.json")
    assert reply.records == ()


def test_an_official_check_s_differences_are_rows_under_one_state() -> None:
    want = expected("registry-check.json")
    subject = Subject("91340000711771143J", "虚构（沙箱）公司")
    reply = read("national-check", "differences", "registry-check.json", subject)
    assert reply.found is Found.FOUND
    assert {
        "outcome": "differences" if reply.records else "none",
        "status": reply.records[0]["state"],
        "differences": [row["key"] for row in reply.records],
    } == want
    assert {row["state"] for row in reply.records} == {want["status"]}
