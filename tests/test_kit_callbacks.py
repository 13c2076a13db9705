"""connectors.kit.playing: the suite plays a platform that calls back, and says what could not come so."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from connectors.engine.callback import Receiver
from connectors.kit.conformance import check
from connectors.kit.suite import suite
from tests.callback_world import CITY_FUND
from tests.test_kit_conformance import RIGHT, fault


def copied(at: Path, **changes: Any) -> Path:
    """The example with other texts in its case «found», or (None) without a member."""
    made = at / "city-fund"
    shutil.copytree(CITY_FUND, made)
    file = made / "fixtures" / "found.json"
    case = {**json.loads(file.read_text("utf-8")), **changes}
    file.write_text(json.dumps({k: v for k, v in case.items() if v is not None}), "utf-8")
    return made


def why(made: Path) -> str:
    return next(r.why for r in check(made) if r.name == "fixtures/found.json")


def test_the_example_passes_all_that_is_asked_of_a_connector() -> None:
    results = suite(CITY_FUND)
    assert [r for r in results if not r.ok] == []
    told = {r.name: r.why for r in results}
    # What the suite changes is what the platform sends by itself.
    assert not told["provident_fund: another enterprise's data"]
    assert told["provident_fund: persons renamed"] == "schema_drift"


def test_a_callback_under_another_id_could_not_come(tmp_path: Path) -> None:
    made = copied(tmp_path)
    (made / "fixtures" / "taken.reply.json").write_text('{"code":"0","lsh":"L2"}', "utf-8")
    assert "another ticket" in why(made)


def test_without_the_callback_nothing_comes(tmp_path: Path) -> None:
    assert "failure upstream_pending came" in why(copied(tmp_path, callback=None))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert why(copied(tmp_path, callback={"file": "nowhere.json"})) == "there is no file nowhere.json"


def test_a_data_set_that_is_asked_has_no_callback(tmp_path: Path) -> None:
    assert "not called back" in fault(tmp_path, {**RIGHT["found"], "callback": {"file": "found.reply.json"}})


def test_a_connector_that_lets_an_unsigned_callback_in_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hear(*_: Any) -> None:
        return

    monkeypatch.setattr(Receiver, "hear", hear)
    assert why(copied(tmp_path)) == "unsigned callback: it was let in"


def test_a_submit_that_already_says_that_there_is_nothing_needs_no_callback(tmp_path: Path) -> None:
    expect = {"outcome": "confirmed_absent"}
    made = copied(tmp_path, callback=None, expect=expect)
    (made / "fixtures" / "taken.reply.json").write_text('{"code":"1"}', "utf-8")
    assert why(made) == ""
