"""connectors.kit.scaffold: what a new connector begins with holds from the first minute."""

import tomllib
from pathlib import Path

import jsonschema
import pytest

from connectors.kit.checklist import RULES
from connectors.kit.conformance import check
from connectors.kit.scaffold import Wanted, is_plain, scaffold
from connectors.manifest import load, manifest_schema
from connectors.registry import BUILT_IN
from schemas.records import CATALOGUE

EVERY = tuple(CATALOGUE)


def made(at: Path, wanted: Wanted) -> Path:
    for path, content in scaffold(wanted).items():
        file = at / wanted.id / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return at / wanted.id


@pytest.mark.parametrize("form", ["json", "xml"])
@pytest.mark.parametrize("charset", ["utf-8", "gb18030"])
def test_every_data_set_of_the_catalogue_passes_its_fixtures_from_the_start(
    tmp_path: Path, form: str, charset: str
) -> None:
    folder = made(tmp_path, Wanted("xx-bureau", "虚构局", "Bureau (invented)", "虚构局", EVERY, form, charset))  # type: ignore[arg-type]
    results = check(folder)
    assert [r for r in results if not r.ok] == []
    assert len(results) == 1 + 3 * len(EVERY)


def test_it_gives_every_field_of_its_data_sets(tmp_path: Path) -> None:
    plans = load(made(tmp_path, Wanted("xx-bureau", "虚构局", "Bureau", "虚构局", EVERY))).plans
    assert {name: set(plan.specs) for name, plan in plans.items()} == {n: set(d.fields) for n, d in CATALOGUE.items()}


def test_its_page_checklist_and_schema_are_there(tmp_path: Path) -> None:
    folder = made(tmp_path, Wanted("xx-bureau", "虚构局", "Bureau", "虚构局", ("honours",)))
    assert "honours" in (folder / "README.md").read_text("utf-8")
    assert tomllib.loads((folder / "checklist.toml").read_text("utf-8")).keys() == RULES.keys()
    first, rest = (folder / "manifest.toml").read_text("utf-8").split("\n", 1)
    assert first == "#:schema ./manifest.schema.json"
    assert rest.count("TODO") >= 5


def test_a_name_with_quotation_marks_would_end_its_text() -> None:
    assert is_plain("虚构局")
    assert not any(is_plain(text) for text in ("", 'a"b', "a\\b", "a\nb", "x" * 201))


def test_the_schema_for_editors_takes_every_manifest_of_the_catalogue() -> None:
    validator = jsonschema.Draft202012Validator(manifest_schema())
    for file in sorted(BUILT_IN.glob("*/manifest.toml")):
        validator.validate(tomllib.loads(file.read_text("utf-8")))
    assert not validator.is_valid({"id": "xx-bureau"})
    assert validator.is_valid({"id": "xx-bureau", "extends": "../districts"})
    assert not validator.is_valid({"id": "xx-bureau", "extends": "../districts", "colour": "red"})
