"""connectors.manifest, connectors.manifest_text and schemas.manifest: every wrong key has a place and a mend."""

import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.engine.plan import per_second, seconds
from connectors.manifest import load, manifest_schema
from connectors.manifest_text import line_of
from schemas.errors import ManifestError
from tests.engine_world import BASE, FUND, folder

ROOT = Path(__file__).parent.parent
DOC = (ROOT / "docs" / "manifest.md").read_text("utf-8")
EXAMPLE = re.findall(r"```toml\n(.*?)```", DOC, re.DOTALL)[0]


def refused(tmp_path: Path, text: str) -> dict[str, Any]:
    with pytest.raises(ManifestError) as caught:
        load(folder(tmp_path / "xx-bureau", text))
    return caught.value.details


def changed(old: str, new: str, text: str = BASE + FUND) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def line(text: str, piece: str) -> int:
    (number,) = [n for n, content in enumerate(text.splitlines(), 1) if piece in content]
    return number


def test_the_example_of_the_docs_loads_as_it_stands(tmp_path: Path) -> None:
    loaded = load(folder(tmp_path / "xx-bureau", EXAMPLE))
    assert loaded.plans.keys() == {"social_insurance"}
    assert re.fullmatch(r"1\+[0-9a-f]{12}", loaded.version)


def test_the_docs_name_every_key_of_the_schema() -> None:
    names = {n for model in [manifest_schema(), *manifest_schema()["$defs"].values()] for n in model["properties"]}
    missing = [name for name in sorted(names) if f"`{name}" not in DOC and f"{name} =" not in DOC and name not in DOC]
    assert missing == []


def test_the_example_fits_the_published_json_schema() -> None:
    jsonschema.Draft202012Validator(manifest_schema()).validate(tomllib.loads(EXAMPLE))


def test_another_byte_in_the_manifest_is_another_version(tmp_path: Path) -> None:
    one = load(folder(tmp_path / "a", BASE + FUND)).version
    assert load(folder(tmp_path / "b", BASE + FUND + "\n# changed\n")).version != one


@pytest.mark.parametrize(
    ("old", "new", "piece", "at", "mend"),
    [
        ('owner = "test"', 'ownner = "test"', "ownner", "ownner", "did you mean `owner`?"),
        ('owner = "test"', 'owner = "test"\nzzz = 1', "zzz", "zzz", "remove this key"),
        ('owner = "test"\n', "", "id =", "owner", "add the key `owner`"),
        ('assurance = "assumed"', 'assurance = "certified"', "assurance", "assurance", "'published-spec'"),
        ('base_url = "https://bureau.invalid"', 'base_url = "bureau"', "base_url", "base_url", "pattern"),
        ('equals = "0"', "equals = 0.5", "success", "outcome.success.0.equals", "valid"),
        (', equals = "0"', "", "success", "outcome.success.0", "exactly one of"),
        ('{ at = "code", equals = "0" }', '{ equals = "0" }', "success", "outcome.success.0", "with a test"),
        ('type = "count"', 'type = "number"', "persons =", "dataset.0.fields.persons", "'count'"),
        ('type = "count"', 'typ = "count"', "persons =", "dataset.0.fields.persons.type", "add the key `type`"),
        ('type = "money", unit = "元"', 'type = "money"', "base =", "dataset.0.fields.base.unit", "add the key"),
        ('unit = "元"', 'unit = "元", uint = 1', "base =", "dataset.0.fields.base.uint", "did you mean `unit`?"),
        ('from = "rs", type', 'from = "rs", head = "x", type', "persons =", "dataset.0.fields.persons", "exactly one"),
        ('rows = { at = "data.list" }', 'rows = { at = "data..list" }', "rows =", "dataset.0.rows.at", "pattern"),
        ('encode = "json", ', "", "request =", "dataset.0.request", "come together"),
        ("request = {", "reqest = {", "reqest", "dataset.0.reqest", "did you mean `request`?"),
        ('"/fund"', '"/fund?x=1"', "request =", "dataset.0.request.path", "pattern"),
    ],
)
def test_a_wrong_key_or_value_is_named_with_line_and_mend(
    tmp_path: Path, old: str, new: str, piece: str, at: str, mend: str
) -> None:
    text = changed(old, new)
    details = refused(tmp_path, text)
    assert details["at"] == at
    assert details["file"] == str(tmp_path / "xx-bureau" / "manifest.toml")
    assert details["line"] == line(text, piece)
    assert mend in str(details["mend"])


@pytest.mark.parametrize(
    ("old", "new", "at", "mend"),
    [
        ('"provident_fund"', '"provident_fond"', "dataset.0.name", "did you mean `provident_fund`?"),
        ('"provident_fund"', '"zzz"', "dataset.0.name", "name a data set of the catalogue"),
        ("paid_up_to =", "paid_upto =", "dataset.0.fields.paid_upto", "did you mean `paid_up_to`?"),
        ("paid_up_to =", "zzz =", "dataset.0.fields.zzz", "no field of provident_fund"),
        ('persons = { from = "rs", type = "count" }\n', "", "dataset.0.fields", "requires persons"),
        ('from = "rs", type = "count"', 'type = "const", value = -1', "dataset.0.fields.persons.value", "not take"),
        ('"rs", type = "count"', '"rs", type = "text"', "dataset.0.fields.persons.type", "does not take"),
        ('type = "money", unit = "元"', 'type = "decimal"', "dataset.0.fields.base.type", "unit is not that"),
        ('"jzny", type = "month", forms = ["yyyyMM"]', '"jzny", type = "month", forms = ["yyyy"]',
         "dataset.0.fields.paid_up_to.forms", "date forms"),
        ('scheme = "tif"', 'scheme = "tiff"', "auth.scheme", "use one of"),
        ('"paasid", "token"', '"paasid"', "auth.secrets", "declare the secret token"),
        ('scheme = "tif"', 'scheme = "tif"\nturn = 1', "auth.turn", ""),
        ('echo = { uscc = "data.uscc", name = "data.name" }', "", "dataset.0", "unechoed"),
        ('"{uscc}"', '"{uscc"', "dataset.0.request.body.uscc", "no expressions"),
        ('"{uscc}"', '"{subject}"', "dataset.0.request.body.uscc", "no placeholder"),
        ('"{uscc}"', '"{page}"', "dataset.0.request.body.uscc", "no placeholder"),
        ('"{uscc}"', '"{from}"', "dataset.0.request.body.uscc", "date form"),
        ('"{uscc}"', '"{uscc:x}"', "dataset.0.request.body.uscc", "no form"),
        ('"{uscc}"', "1.5", "dataset.0.request.body.uscc", "decimal number as text"),
        ('"{uscc}"', '"x{registration_number}"', "dataset.0.request.body.uscc", "stand alone"),
        ('"/fund"', '"/fund/{registration_number}"', "dataset.0.request.path", "no placeholder"),
        ('encode = "json"', 'encode = "json", headers = { X = "{name}" }', "dataset.0.request.headers.X", "no place"),
        ('encode = "json"', 'encode = "json", charset = "x-none"', "dataset.0.request.charset", "charset"),
        ('encode = "json", body = { uscc = "{uscc}" }', 'encode = "xml", body = { a = "1", b = "2" }',
         "dataset.0.request.body", "one root"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list", many = false }\npaging = { total_rows = "n" }',
         "dataset.0.paging", "no pages"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list" }\npaging = { total_rows = "n" }',
         "dataset.0.paging", "{page}"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list" }\npaging = { cursor = "n" }',
         "dataset.0.paging", "{cursor}"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list" }\npaging = { cursor = "n", total_pages = "n" }',
         "dataset.0.paging", "give one of"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list" }\npaging = { more = { at = "n", equals = 1 } }',
         "dataset.0.paging", "come together"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list" }\nperiod = "persons"',
         "dataset.0.period", "type day"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list" }\nas_of = { head = "d", forms = ["yyyyMM"] }',
         "dataset.0.as_of.forms", "date forms"),
        ('rows = { at = "data.list" }', 'rows = { at = "data.list", echo = {} }', "dataset.0.rows.echo", "`uscc` or"),
        ('encode = "json"', 'encode = "json", per = "month"', "dataset.0", "month"),
        ('name = "provident_fund"', 'name = "provident_fund"\nstrategy = "callback"', "dataset.0", "needs `submit`"),
        ('name = "provident_fund"', 'name = "provident_fund"\nstrategy = "ticket"', "dataset.0", "needs `submit`"),
        ("request = { path", "submit = { ticket = \"t\", path", "dataset.0", "needs `request`"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_here_is_refused_with_its_mend(
    tmp_path: Path, old: str, new: str, at: str, mend: str
) -> None:
    details = refused(tmp_path, changed(old, new))
    assert details["at"] == at
    assert mend in str(details["mend"])
    assert int(details["line"]) > 1


def test_a_data_set_is_declared_once(tmp_path: Path) -> None:
    assert refused(tmp_path, BASE + FUND + FUND)["at"] == "dataset.1.name"


@pytest.mark.parametrize(
    ("decode", "at"),
    [
        ('charset = ["x-none"]', "decode.charset"),
        ('steps = ["yaml"]', "decode.steps"),
        ('steps = ["at:x"]', "decode.steps"),
    ],
)
def test_an_unknown_charset_or_step_is_refused(tmp_path: Path, decode: str, at: str) -> None:
    assert refused(tmp_path, BASE + f"\n[decode]\n{decode}\n" + FUND)["at"] == at


def test_a_code_table_must_give_what_the_record_takes(tmp_path: Path) -> None:
    text = EXAMPLE.replace('410 = "injury"', '410 = "accident"')
    assert refused(tmp_path, text)["at"] == "dataset.0.fields.kind.table.410"
    keeping = EXAMPLE.replace('else = "reject"', 'else = "keep"')
    assert refused(tmp_path, keeping)["at"] == "dataset.0.fields.kind.else"


def test_a_time_zone_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    text = EXAMPLE.replace("Asia/Shanghai", "Asia/Nowhere")
    assert refused(tmp_path, text)["at"] == "limits.maintenance.0"


def test_switches_of_one_data_set_are_checked_with_the_scheme_s_own(tmp_path: Path) -> None:
    text = changed('name = "provident_fund"', 'name = "provident_fund"\nauth = { turn = 1 }')
    assert refused(tmp_path, text)["at"] == "dataset.0.auth.turn"


def test_a_file_that_is_no_toml_names_the_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text('id = "x"\nversion = \n')
    with pytest.raises(ManifestError) as caught:
        load(tmp_path)
    assert caught.value.details["line"] == 2


def test_a_file_that_ends_too_soon_names_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "manifest.toml").write_text('id = "x"\nnames = {')
    with pytest.raises(ManifestError) as caught:
        load(tmp_path)
    assert caught.value.details["line"] == 2


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_missing_or_undecodable_file_is_a_manifest_error(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "manifest.toml").write_bytes(content)
    with pytest.raises(ManifestError, match="UTF-8"):
        load(tmp_path)


def test_a_poll_that_forgets_its_ticket_is_refused(tmp_path: Path) -> None:
    text = changed(
        'request = { path = "/fund", encode = "json", body = { uscc = "{uscc}" } }',
        'strategy = "ticket"\nsubmit = { path = "/s", ticket = "t" }\n'
        'poll = { path = "/r", pending = [{ status = 202 }], every = "2s", give_up = "6h" }',
    )
    assert refused(tmp_path, text)["at"] == "dataset.0.poll"


LINES = """id = "x"
[auth]
scheme = "tif"
[[dataset]]
name = "a"
[dataset.rows]
at = "x"
[[dataset]]
name = "b"
request = { path = "/", body = {
  deep = "1",
} }
[dataset.fields]
"quoted" = { from = "a", type = "text" }
a.b = 1
"""


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        (("id",), 1),
        (("auth",), 2),
        (("auth", "scheme"), 3),
        (("auth", "missing"), 2),
        (("dataset", 0, "name"), 5),
        (("dataset", 0, "rows", "at"), 7),
        (("dataset", 1), 8),
        (("dataset", 1, "name"), 9),
        (("dataset", 1, "request", "path"), 10),
        (("dataset", 1, "fields", "quoted", "type"), 14),
        (("dataset", 1, "fields", "a", "b"), 15),
        (("nowhere",), 1),
    ],
)
def test_a_key_is_found_at_its_line(path: tuple[str | int, ...], wanted: int) -> None:
    assert line_of(LINES, path) == wanted


@given(text=st.text(max_size=200), path=st.lists(st.text(max_size=5) | st.integers(0, 3), max_size=4))
def test_looking_for_a_line_always_ends_inside_the_text(text: str, path: list[str | int]) -> None:
    assert 1 <= line_of(text, tuple(path)) <= max(1, len(text.splitlines()))


def test_durations_and_rates_are_seconds_and_per_second() -> None:
    assert [seconds(d) for d in ("200ms", "5s", "2m", "6h", "30d")] == [0.2, 5, 120, 21600, 2592000]
    assert [per_second(r) for r in ("20/s", "60/m", "36/h")] == [20, 1, 0.01]


OWN = """extends = "../shared"
id = "xx-bureau"

[limits]
rate = "10/s"
"""


def extending(tmp_path: Path, own: str = OWN, template: str = BASE.replace('id = "xx-bureau"\n', "") + FUND) -> Path:
    (tmp_path / "shared").mkdir(exist_ok=True)
    (tmp_path / "shared" / "template.toml").write_text(template, "utf-8")
    return folder(tmp_path / "xx-bureau", own)


def test_a_manifest_says_its_own_and_its_template_the_rest(tmp_path: Path) -> None:
    loaded = load(extending(tmp_path))
    assert (loaded.manifest.id, loaded.manifest.limits.rate, loaded.manifest.owner) == ("xx-bureau", "10/s", "test")
    assert loaded.plans.keys() == {"provident_fund"}
    assert loaded.fixtures == tmp_path / "shared" / "fixtures"
    (tmp_path / "xx-bureau" / "fixtures").mkdir()
    assert load(tmp_path / "xx-bureau").fixtures == tmp_path / "xx-bureau" / "fixtures"


def test_tables_are_laid_over_key_by_key(tmp_path: Path) -> None:
    loaded = load(extending(tmp_path, OWN + '\n[outcome]\ndenied = [{ at = "code", equals = "no" }]\n'))
    outcome = loaded.manifest.outcome
    assert [rule.equals for rule in outcome.denied] == ["no"]
    assert outcome.code == "code"


def test_another_byte_in_the_template_is_another_version(tmp_path: Path) -> None:
    one = load(extending(tmp_path)).version
    template = tmp_path / "shared" / "template.toml"
    template.write_text(template.read_text("utf-8") + "# changed\n", "utf-8")
    assert load(tmp_path / "xx-bureau").version != one


@pytest.mark.parametrize(
    ("own", "template", "file", "piece", "at"),
    [
        (OWN.replace("rate", "raet"), None, "xx-bureau/manifest.toml", "raet", "limits.raet"),
        (OWN, ('"count"', '"number"'), "shared/template.toml", "persons =", "dataset.0.fields.persons"),
        (OWN, ('scheme = "tif"', 'scheme = "tiff"'), "shared/template.toml", "scheme", "auth.scheme"),
        (OWN.replace("../shared", "../nowhere"), None, "xx-bureau/manifest.toml", "extends", "extends"),
        (OWN.replace('"../shared"', "1"), None, "xx-bureau/manifest.toml", "extends", "extends"),
        (OWN + FUND, None, "xx-bureau/manifest.toml", "[[dataset]]", "dataset.0"),
    ],
)
def test_a_mistake_is_named_in_the_file_in_which_it_stands(
    tmp_path: Path, own: str, template: tuple[str, str] | None, file: str, piece: str, at: str
) -> None:
    text = BASE.replace('id = "xx-bureau"\n', "") + FUND
    text = text.replace(*template) if template else text
    with pytest.raises(ManifestError) as caught:
        load(extending(tmp_path, own, text))
    details = caught.value.details
    assert (details["file"], details["at"]) == (str(tmp_path / file), at)
    assert details["line"] == line(text if template else own, piece)


def test_an_address_may_be_local_and_an_outlet_says_so(tmp_path: Path) -> None:
    text = changed('"https://bureau.invalid"', '"local://bank"\noutlet = true')
    manifest = load(folder(tmp_path / "xx-bureau", text)).manifest
    assert (manifest.base_url, manifest.outlet) == ("local://bank", True)
