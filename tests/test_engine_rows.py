"""connectors.engine.rows: which rows there are, and which of them count."""

from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found
from connectors.wire import WireReply
from schemas.errors import (
    SchemaDrift,
    UpstreamUnrecognised,
)
from tests.engine_world import BASE, FIRM, FUND, Scripted, ask, body, bureau, connector, fetch, row


@pytest.mark.parametrize("rows", [None, {}, "text", 7, {"ny": "202610"}])
async def test_rows_of_another_shape_are_drift(tmp_path: Path, rows: Any) -> None:
    with pytest.raises(SchemaDrift) as caught:
        await ask(tmp_path, body(rows))
    assert caught.value.details["at"] == "data.list"


async def test_success_without_a_row_is_not_taken_for_no_record(tmp_path: Path) -> None:
    with pytest.raises(UpstreamUnrecognised):
        await ask(tmp_path, body([]))


async def test_one_row_that_is_no_list_is_read_where_declared(tmp_path: Path) -> None:
    single = (('rows = { at = "data.list" }', 'rows = { at = "data.list", many = false }'),)
    assert len((await ask(tmp_path, body(row()), changes=single)).records) == 1
    with pytest.raises(SchemaDrift):
        await ask(tmp_path, body([row()]), changes=single)


XML = BASE.replace("[outcome]", '[decode]\ncharset = ["gb18030"]\nsteps = ["xml"]\n\n[outcome]')
XML = XML.replace('at = "', 'at = "r.')
XML = XML.replace('"wait"', '"r.wait"').replace('= "data.', '= "r.data.')
XML_FUND = FUND.replace('"data.list"', '"r.data.list.i"')


@pytest.mark.parametrize("count", [1, 2])
async def test_in_xml_one_element_is_a_list_of_one(tmp_path: Path, count: int) -> None:
    rows = "<i><ny>202610</ny><rs>3</rs></i>" * count
    loaded = bureau(tmp_path, XML_FUND, XML)
    head = f"<uscc>{FIRM.uscc}</uscc><name>{FIRM.name}</name>"
    raw = f"<r><code>0</code><data>{head}<list>{rows}</list></data></r>".encode("gb18030")
    reply = await fetch(connector(loaded, Scripted([WireReply(200, {"content-type": "text/xml"}, raw)])))
    assert [record["persons"] for record in reply.records] == [3] * count


async def test_in_xml_no_element_is_an_empty_list_and_not_no_record(tmp_path: Path) -> None:
    loaded = bureau(tmp_path, XML_FUND, XML)
    raw = f"<r><code>0</code><data><uscc>{FIRM.uscc}</uscc><list/></data></r>".encode()
    with pytest.raises(UpstreamUnrecognised):
        await fetch(connector(loaded, Scripted([WireReply(200, {}, raw)])))


async def test_of_a_change_feed_the_newest_row_of_a_key_counts_and_deletions_drop(tmp_path: Path) -> None:
    feed = (
        (
            'rows = { at = "data.list" }',
            'rows = { at = "data.list", latest = { key = ["ny"], by = "t" }, '
            'keep = [{ at = "zt", equals = "1" }], drop = [{ at = "op", equals = "D" }, { at = "zt", equals = "2" }] }',
        ),
    )
    rows = [
        {**row("202610", 1), "t": "20261101", "op": "I", "zt": "1"},
        {**row("202610", 2), "t": "20261105", "op": "U", "zt": "1"},
        {**row("202609", 3), "t": "20261001", "op": "I", "zt": "1"},
        {**row("202609", 3), "t": "20261002", "op": "D", "zt": "1"},
        {**row("202608", 4), "t": "20261002", "op": "I", "zt": "2"},
        {**row("202610", 9), "t": "20261103", "op": "U", "zt": "1"},
    ]
    reply = await ask(tmp_path, body(rows), changes=feed)
    assert [record["persons"] for record in reply.records] == [2]
    gone = await ask(tmp_path, body(rows[2:4]), changes=feed)
    assert (gone.found, gone.records) == (Found.ABSENT, ())
    with pytest.raises(SchemaDrift):
        # Neither to keep nor to drop.
        await ask(tmp_path, body([{**rows[0], "zt": "3"}]), changes=feed)
    for broken in (None, 7):
        with pytest.raises(SchemaDrift):
            await ask(tmp_path, body([rows[0], {**rows[1], "t": broken}]), changes=feed)


async def test_a_data_set_of_one_row_takes_no_second(tmp_path: Path) -> None:
    dataset = """
[[dataset]]
name = "registration"
request = { path = "/r", encode = "json", body = { u = "{uscc}" } }
rows = { at = "data.list" }
[dataset.fields]
uscc = { from = "u", type = "uscc" }
name = { from = "n", type = "text" }
"""
    one = {"u": FIRM.uscc, "n": FIRM.name}
    made = connector(bureau(tmp_path, dataset), Scripted([body([one]), body([one, one])]))
    assert len((await fetch(made, "registration")).records) == 1
    with pytest.raises(SchemaDrift):
        await fetch(made, "registration")


async def test_a_head_code_that_is_skipped_leaves_no_row_which_is_not_no_record(tmp_path: Path) -> None:
    persons = 'persons = { from = "rs", type = "count" }'
    head = ((persons, f'{persons}\nstate = {{ head = "data.zt", type = "text" }}'),)
    reply = await ask(tmp_path, body([row()], zt="正常"), changes=head)
    assert reply.records[0]["state"] == "正常"
    month = 'month = { from = "ny", type = "month", forms = ["yyyyMM"] }'
    code = 'month = { head = "data.m", type = "code", table = { a = "2026-10" }, else = "skip" }'
    skipped = ((month, code),)
    with pytest.raises(UpstreamUnrecognised):
        await ask(tmp_path, body([row()], m="b"), changes=skipped)


async def test_a_row_with_an_unlisted_code_is_left_out_where_the_record_requires_it(tmp_path: Path) -> None:
    month = 'month = { from = "ny", type = "month", forms = ["yyyyMM"] }'
    code = 'month = { from = "ny", type = "code", table = { a = "2026-10" }, else = "skip" }'
    reply = await ask(tmp_path, body([{**row(), "ny": "a"}, {**row(), "ny": "b"}]), changes=((month, code),))
    assert [r["month"] for r in reply.records] == ["2026-10"]
    assert dict(reply.drift) == {"data.list.ny": 1}


async def test_a_constant_is_the_same_in_every_row(tmp_path: Path) -> None:
    paid = 'paid_up_to = { from = "jzny", type = "month", forms = ["yyyyMM"] }'
    reply = await ask(
        tmp_path, body([row(), row("202609")]), changes=((paid, 'state = { type = "const", value = "正常" }'),)
    )
    assert [r["state"] for r in reply.records] == ["正常", "正常"]
