"""The catalogue of data sets, and the page that documents it."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.base import json_schema
from schemas.records import CATALOGUE, DataSet

DOC = Path(__file__).parent.parent / "docs" / "data-sets.md"
UNITS = {"元": "元", "1": "share of 1", "m2": "m²"}


def fields(data_set: DataSet) -> dict[str, dict[str, Any]]:
    schema = json_schema(data_set.model)
    return {name: resolved(schema, prop) for name, prop in schema["properties"].items()}


def resolved(schema: dict[str, Any], prop: dict[str, Any]) -> dict[str, Any]:
    """The property with the constraints of its one alternative that is not null."""
    kind = next((p for p in prop.get("anyOf", []) if p.get("type") != "null"), prop)
    if "$ref" in kind:
        kind = schema["$defs"][kind["$ref"].rpartition("/")[2]]
    return {**kind, **prop, "type": kind["type"], "unit": prop.get("unit", kind.get("unit")), "enum": kind.get("enum")}


def unit(prop: dict[str, Any]) -> str:
    if prop["unit"]:
        return UNITS[prop["unit"]]
    if prop["enum"]:
        return ", ".join(f"`{value}`" for value in prop["enum"])
    pattern = prop.get("pattern", "")
    if pattern.startswith("^[0-9A-HJ-NPQRTUWXY]{2}"):
        return "USCC"
    if pattern.startswith("^[0-9]{4}-"):
        return "day" if pattern.endswith("[0-9]{2}$") else "month"
    return {"integer": "whole number", "boolean": "yes or no", "array": "list of text", "string": "text"}[prop["type"]]


def table(name: str) -> str:
    data_set = CATALOGUE[name]
    lines = [
        f"## `{name}` {data_set.zh} / {data_set.en}",
        "",
        "One row." if not data_set.many else "Any number of rows.",
        "",
        "| field | 中文 | English | unit or form | marks |",
        "|---|---|---|---|---|",
    ]
    for field, prop in fields(data_set).items():
        marks = [
            mark
            for mark, holds in (
                ("required", field in data_set.required),
                ("sensitive", field in data_set.sensitive),
                ("personal", field in data_set.personal),
            )
            if holds
        ]
        lines.append(f"| `{field}` | {prop['zh']} | {prop['title']} | {unit(prop)} | {', '.join(marks)} |")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_page_of_data_sets_holds_each_as_the_catalogue_has_it(name: str) -> None:
    assert table(name) in DOC.read_text("utf-8"), "run python -m tests.test_schemas_records"


def test_the_page_of_data_sets_holds_no_other() -> None:
    headings = [line for line in DOC.read_text("utf-8").splitlines() if line.startswith("## `")]
    assert headings == [f"## `{name}` {d.zh} / {d.en}" for name, d in CATALOGUE.items()]


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_field_has_a_title_in_both_languages(name: str) -> None:
    for field, prop in fields(CATALOGUE[name]).items():
        assert prop["zh"], field
        assert not prop["zh"].isascii(), field
        assert prop["title"][0].isascii(), field


@pytest.mark.parametrize("name", CATALOGUE)
def test_money_and_shares_are_never_json_numbers(name: str) -> None:
    assert all(prop["type"] != "number" for prop in fields(CATALOGUE[name]).values())


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_row_without_its_required_fields_or_with_a_strange_one_is_refused(name: str) -> None:
    model = CATALOGUE[name].model
    with pytest.raises(ValidationError) as caught:
        model.model_validate({"strange": 1})
    missing = {e["loc"][0] for e in caught.value.errors() if e["type"] == "missing"}
    assert missing == CATALOGUE[name].required
    assert any(e["type"] == "extra_forbidden" for e in caught.value.errors())


if __name__ == "__main__":
    head, _, _ = DOC.read_text("utf-8").partition("## `")
    DOC.write_text(head + "\n".join(table(name) for name in CATALOGUE), "utf-8")
