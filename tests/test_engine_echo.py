"""connectors.engine.echo: another enterprise's data is never taken."""

from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found
from schemas.errors import (
    SchemaDrift,
    SubjectMismatch,
)
from tests.engine_world import FIRM, NONE, OTHER, ask, body, row


@pytest.mark.parametrize(
    "data",
    [
        {"uscc": OTHER, "name": FIRM.name},
        {"uscc": FIRM.uscc, "name": "虚构二号（沙箱）有限公司"},
        {"uscc": "空", "name": FIRM.name},
        {"uscc": 7, "name": FIRM.name},
        {"uscc": "110108020854380", "name": FIRM.name},
    ],
)
async def test_another_enterprise_is_refused_and_nothing_of_it_is_kept(tmp_path: Path, data: dict[str, Any]) -> None:
    with pytest.raises(SubjectMismatch) as caught:
        await ask(tmp_path, {"code": "0", "data": {**data, "list": [row()]}})
    assert str(data["uscc"]) not in str(caught.value)
    assert set(caught.value.details) == {"at"}


@pytest.mark.parametrize(
    ("data", "repairs"),
    [
        ({"uscc": FIRM.uscc + " "}, ("uscc: trailing blank",)),
        ({"uscc": FIRM.registration_number}, ("uscc: registration number in its place",)),
        ({"name": "虚构一号(沙箱)有限公司"}, ()),
        ({"name": "虚构一号（沙箱）****", "uscc": FIRM.uscc}, ()),
        ({"uscc": FIRM.uscc, "name": ""}, ()),
    ],
)
async def test_the_same_enterprise_in_another_dress_is_taken(
    tmp_path: Path, data: dict[str, Any], repairs: tuple[str, ...]
) -> None:
    reply = await ask(tmp_path, {"code": "0", "data": {**data, "list": [row()]}})
    assert (reply.found, reply.repairs) == (Found.FOUND, repairs)


async def test_data_that_names_nobody_is_drift_and_no_record_needs_no_name(tmp_path: Path) -> None:
    with pytest.raises(SchemaDrift) as caught:
        await ask(tmp_path, {"code": "0", "data": {"list": [row()]}})
    assert caught.value.details["at"] == "data.uscc"
    assert (await ask(tmp_path, NONE)).found is Found.ABSENT


IN_ROW = (
    (
        'rows = { at = "data.list" }',
        'rows = { at = "data.list", echo = { uscc = "u" }, drop = [{ at = "op", equals = "D" }] }',
    ),
)


async def test_every_row_must_name_the_enterprise_where_rows_do(tmp_path: Path) -> None:
    mine = {**row(), "u": FIRM.uscc}
    reply = await ask(tmp_path, body([mine, {"op": "D"}]), changes=IN_ROW)
    assert len(reply.records) == 1
    with pytest.raises(SubjectMismatch):
        await ask(tmp_path, body([mine, {**row("202609"), "u": OTHER}]), changes=IN_ROW)
    with pytest.raises(SubjectMismatch):
        await ask(tmp_path, body([mine, {"op": "D", "u": OTHER}]), changes=IN_ROW)
    with pytest.raises(SchemaDrift):
        await ask(tmp_path, body([mine, row("202609")]), changes=IN_ROW)
