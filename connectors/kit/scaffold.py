"""``connectors new``: the files of a connector that passes its suite from the first minute, to be changed from there.

The reply it maps is an invented one; every line that a platform decides says so.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from connectors.kit.checklist import RULES
from connectors.manifest import FILE, manifest_schema
from schemas.base import Json
from schemas.records import CATALOGUE, DataSet

FIRM = {"uscc": "91990000MA0000015Q", "name": "虚构样例一号（沙箱）有限公司"}
_NOW = "2026-11-24T06:00:00.000+00:00"
_SUITED = re.compile(r"[^\x00-\x1f\x7f\"\\]{1,200}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What ``connectors new`` asks. ``datasets`` are names of the catalogue."""

    id: str
    zh: str
    en: str
    owner: str
    datasets: tuple[str, ...]
    form: Literal["json", "xml"] = "json"
    charset: Literal["utf-8", "gb18030"] = "utf-8"


@dataclass(frozen=True, slots=True)
class _Sample:
    """A field of the invented reply: its line of the manifest, the value that comes and what becomes of it."""

    spec: str
    raw: str
    canonical: Json


def is_id(text: str) -> bool:
    rule = manifest_schema()["properties"]["id"]
    return len(text) <= rule["maxLength"] and re.fullmatch(rule["pattern"], text) is not None


def is_plain(text: str) -> bool:
    """Whether a name can stand in the manifest between quotation marks as it is."""
    return _SUITED.fullmatch(text) is not None


def scaffold(wanted: Wanted) -> dict[str, bytes]:
    """Path in the connector's folder to content."""
    files = {
        FILE: _manifest(wanted).encode(),
        "README.md": _page(wanted).encode(),
        "checklist.toml": _checklist().encode(),
        "manifest.schema.json": json.dumps(manifest_schema(), ensure_ascii=False, indent=1).encode(),
    }
    for name in wanted.datasets:
        files |= _fixtures(wanted, CATALOGUE[name])
    for outcome, code in (("absent", "404"), ("failure", "500")):
        files[f"fixtures/{outcome}.{_suffix(wanted)}"] = _reply(wanted, {"code": code, "uscc": FIRM["uscc"]})
    return files


def _suffix(wanted: Wanted) -> str:
    return "xml" if wanted.form == "xml" else "reply.json"


def _at(wanted: Wanted, path: str) -> str:
    return f"Reply.{path}" if wanted.form == "xml" else path


def _manifest(wanted: Wanted) -> str:
    steps = '["xml"]' if wanted.form == "xml" else '["json"]'
    head = f'''#:schema ./manifest.schema.json
# Every key is explained in docs/manifest.md. What the platform decides and nobody has confirmed yet is marked TODO.
id = "{wanted.id}"
version = "1"
names = {{ zh = "{wanted.zh}", en = "{wanted.en}" }}
owner = "{wanted.owner}"
assurance = "assumed"                # TODO "published-spec" where the owner's interface text is public
base_url = "https://{wanted.id}.invalid"   # TODO the platform's address; settings may replace it

[auth]
scheme = "hmac-template"             # TODO or another of docs/signing.md, with its own switches
secrets = ["app_id", "app_key"]      # names; the values go into the settings
text = "{{app_id}}\\n{{ts}}\\n{{nonce}}\\n{{body_sha256}}"
mac = "hmac-sha256"
encoding = "hex-lower"
ts = "unix-ms"
headers = {{ X-App-Id = "{{app_id}}", X-Timestamp = "{{ts}}", X-Nonce = "{{nonce}}", X-Signature = "{{mac}}" }}

[decode]
charset = ["{wanted.charset}"]
steps = {steps}

[outcome]                            # TODO the platform's own codes; the first rule that fits decides
code = "{_at(wanted, "code")}"
denied = [{{ at = "{_at(wanted, "code")}", equals = "401" }}]
retry = [{{ at = "{_at(wanted, "code")}", equals = "429" }}]
no_record = [{{ at = "{_at(wanted, "code")}", equals = "404" }}]
success = [{{ at = "{_at(wanted, "code")}", equals = "0" }}]
echo = {{ uscc = "{_at(wanted, "uscc")}" }}

[limits]                             # TODO what the platform's owner allows
rate = "20/s"
concurrency = 8
timeout = "5s"
'''  # noqa: S608
    return head + "".join(_dataset(wanted, CATALOGUE[name]) for name in wanted.datasets)


def _dataset(wanted: Wanted, dataset: DataSet) -> str:
    months = "month" in dataset.fields
    body = 'uscc = "{uscc}", name = "{name}"' + (', from = "{from:yyyyMM}", to = "{to:yyyyMM}"' if months else "")
    if wanted.form == "xml":
        body = f"Request = {{ {body} }}"
    charset = "" if wanted.charset == "utf-8" else f', charset = "{wanted.charset}"'
    lines = [
        f"\n# {dataset.zh} {dataset.en}",
        "[[dataset]]",
        f'name = "{dataset.name}"',
        'freshness = "30d"                    # TODO how old the data may be',
        f'request = {{ path = "/{dataset.name}", encode = "{wanted.form}"{charset}, body = {{ {body} }} }}',
        f'rows = {{ at = "{_at(wanted, _rows(wanted, dataset))}"{"" if dataset.many else ", many = false"} }}',
        *(['period = "month"'] if months else []),
        "\n[dataset.fields]                      # TODO `from` is the platform's name; delete what it does not give",
    ]
    titles = dataset.model.model_fields
    for name, sample in _samples(dataset):
        note = "required" if name in dataset.required else titles[name].title
        lines.append(f'{name} = {{ from = "{name}", {sample.spec} }}   # {note}')
    return "\n".join(lines) + "\n"


def _rows(wanted: Wanted, dataset: DataSet) -> str:
    return "rows.row" if wanted.form == "xml" and dataset.many else "rows"


def _samples(dataset: DataSet) -> Iterator[tuple[str, _Sample]]:
    schema = dataset.model.model_json_schema()
    for name in dataset.fields:
        given = schema["properties"][name]
        yield name, _sample(given.get("anyOf", [given])[0], schema)


def _sample(field: Mapping[str, Any], schema: Mapping[str, Any]) -> _Sample:
    if "$ref" in field:
        values = schema["$defs"][field["$ref"].rsplit("/", 1)[1]]["enum"]
        table = ", ".join(f'{n} = "{value}"' for n, value in enumerate(values, 1))
        return _Sample(f'type = "code", table = {{ {table} }}', "1", values[0])
    if field["type"] == "array":
        return _Sample('type = "names"', "虚构甲、虚构乙", ["虚构甲", "虚构乙"])
    if field["type"] == "boolean":
        return _Sample('type = "flag", true = ["1"], false = ["0"]', "1", True)
    if field["type"] == "integer":
        year = "maximum" in field
        return _Sample('type = "year"', "2025", 2025) if year else _Sample('type = "count"', "30", 30)
    return _text(field)


def _text(field: Mapping[str, Any]) -> _Sample:
    unit = {"元": ('type = "money", unit = "元"', "1200.50"), "1": ('type = "ratio", form = "fraction"', "0.07")}
    pattern = field.get("pattern", "")
    if "unit" in field:
        spec, raw = unit.get(field["unit"], ('type = "decimal"', "820.50"))
        return _Sample(spec, raw, raw)
    if "[0-9A-HJ" in pattern:
        return _Sample('type = "uscc"', FIRM["uscc"], FIRM["uscc"])
    if pattern.startswith("^[0-9]{4}"):
        day = "(" not in pattern
        kind, form, raw = ("day", "yyyy-MM-dd", "2026-10-15") if day else ("month", "yyyy-MM", "2026-10")
        return _Sample(f'type = "{kind}", forms = ["{form}"]', raw, raw)
    if pattern:
        # The canonical words stand in docs/data-sets.md; which code means which is the platform's to say.
        return _Sample('type = "code", table = { 1 = "example" }', "1", "example")
    return _Sample('type = "text"', "虚构", "虚构")


def _fixtures(wanted: Wanted, dataset: DataSet) -> dict[str, bytes]:
    samples = dict(_samples(dataset))
    row = {name: sample.raw for name, sample in samples.items()}
    months = "month" in dataset.fields
    found: dict[str, Any] = {
        "outcome": "found",
        "records": [{name: sample.canonical for name, sample in samples.items()}],
    }
    if months:
        found["as_of"] = "2026-10-31"
    expects = {
        "found": found,
        "absent": {"outcome": "confirmed_absent"},
        "failure": {"outcome": "failure", "code": "upstream_rejected"},
    }
    files = {f"fixtures/{dataset.name}-found.{_suffix(wanted)}": _reply(wanted, _success(wanted, dataset, row))}
    for outcome, expect in expects.items():
        reply = f"{dataset.name}-found" if outcome == "found" else outcome
        case = {
            "dataset": dataset.name,
            "subject": FIRM,
            "period": ["2026-09", "2026-10"],
            "now": _NOW,
            "exchanges": [
                {
                    "request": {"method": "POST", "path": f"/{dataset.name}", "text": [FIRM["uscc"]]},
                    "reply": {
                        "content_type": "text/xml" if wanted.form == "xml" else "application/json",
                        "file": f"{reply}.{_suffix(wanted)}",
                    },
                }
            ],
            "expect": expect,
        }
        text = json.dumps(case, ensure_ascii=False, indent=1)
        files[f"fixtures/{dataset.name}-{outcome}.json"] = text.encode()
    return files


def _success(wanted: Wanted, dataset: DataSet, row: Mapping[str, str]) -> dict[str, Any]:
    rows: Any = row
    if dataset.many:
        rows = {"row": row} if wanted.form == "xml" else [row]
    return {"code": "0", "uscc": FIRM["uscc"], "rows": rows}


def _reply(wanted: Wanted, tree: Mapping[str, Any]) -> bytes:
    if wanted.form == "json":
        return json.dumps(tree, ensure_ascii=False, indent=1).encode(wanted.charset)
    return f"<Reply>{_xml(tree)}</Reply>".encode(wanted.charset)


def _xml(tree: Any) -> str:
    # Only texts of this module come here: none needs escaping.
    if isinstance(tree, Mapping):
        return "".join(f"<{name}>{_xml(value)}</{name}>" for name, value in tree.items())
    return str(tree)


def _checklist() -> str:
    head = (
        "# What only people can answer for. `state` is `todo`, `done` or `exempt`; `reason` says how it is known,\n"
        "# or why it does not apply. `xinqiao connectors test` shows what is left, and refuses one without a reason.\n"
    )
    return head + "".join(
        f'\n[{name}]   # {zh} {en}\nstate = "todo"\nreason = ""\n' for name, (zh, en) in RULES.items()
    )


def _page(wanted: Wanted) -> str:
    rows = "\n".join(f"| {name} | {CATALOGUE[name].zh} | TODO |" for name in wanted.datasets)
    return f"""# {wanted.id}: {wanted.zh} {wanted.en}

Owner 数据提供方: {wanted.owner}. Assurance: assumed. TODO who confirmed what, when, from which document.

| data set | 数据集 | where its fields come from |
|---|---|---|
{rows}

TODO Account and credentials, limits agreed on, maintenance, whom to call when it fails. Never write a secret here.
"""
