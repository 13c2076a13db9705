"""The fields that a manifest declares, held against the records of the catalogue when the manifest is loaded."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from connectors.manifest_text import KeyPath, Refusal
from connectors.mapping import Convert, converter
from schemas import manifest
from schemas.errors import InvalidValue
from schemas.records import DataSet

# One canonical value of each kind: the record's own model says whether the field takes it.
_SAMPLES: Mapping[type, Any] = {
    manifest.TextSpec: "某 X",
    manifest.UsccSpec: "91340000711771143J",
    manifest.NamesSpec: ["某 X"],
    manifest.MoneySpec: "1.50",
    manifest.DecimalSpec: "1.50",
    manifest.RatioSpec: "0.5",
    manifest.CountSpec: 1,
    manifest.DaySpec: "2026-01-31",
    manifest.MonthSpec: "2026-01",
    manifest.YearSpec: 2026,
    manifest.FlagSpec: True,
}
_UNITS: Mapping[type, frozenset[str]] = {
    manifest.MoneySpec: frozenset({"元"}),
    manifest.RatioSpec: frozenset({"1"}),
    manifest.DecimalSpec: frozenset({"1", "m2"}),
}


def compile_fields(dataset: manifest.Dataset, data_set: DataSet, at: KeyPath) -> dict[str, Convert]:
    """How each declared field is read; raises Refusal where the data set has no such field, or one of another kind."""
    made: dict[str, Convert] = {}
    for name, spec in dataset.fields.items():
        place = (*at, "fields", name)
        if name not in data_set.fields:
            close = get_close_matches(name, data_set.fields, n=1)
            raise Refusal(place, f"did you mean `{close[0]}`?" if close else f"no field of {data_set.name}")
        info = data_set.model.model_fields[name]
        _check_fit(spec, info, place)
        if isinstance(spec, manifest.ConstSpec):
            continue
        try:
            made[name] = converter(name, spec, _longest(info))
        except InvalidValue:
            raise Refusal((*place, "forms"), f"use date forms that hold a {spec.type}") from None
    if missing := sorted(data_set.required - dataset.fields.keys()):
        raise Refusal((*at, "fields"), f"{data_set.name} requires {', '.join(missing)}")
    return made


def _check_fit(spec: manifest.Spec, info: FieldInfo, at: KeyPath) -> None:
    adapter = _adapter(info)
    units = _UNITS.get(type(spec))
    if units and _property(info, "unit") not in units:
        raise Refusal((*at, "type"), f"the field's unit is not that of `{spec.type}`")
    if isinstance(spec, manifest.ConstSpec):
        samples: list[tuple[KeyPath, Any]] = [((*at, "value"), spec.value)]
    elif isinstance(spec, manifest.CodeSpec):
        samples = [((*at, "table", key), value) for key, value in spec.table.items()]
        samples += [((*at, "else"), "某 X")] if spec.else_ == "keep" else []
    else:
        samples = [((*at, "type"), _SAMPLES[type(spec)])]
    for place, sample in samples:
        try:
            adapter.validate_json(orjson.dumps(sample), strict=True)
        except ValidationError:
            raise Refusal(place, "the record's field does not take this; see docs/data-sets.md") from None


def _adapter(info: FieldInfo) -> TypeAdapter[Any]:
    form: Any = Annotated[info.annotation, info]
    return TypeAdapter(form)


def _longest(info: FieldInfo) -> int:
    return int(_property(info, "maxLength") or 200)


def _property(info: FieldInfo, key: str) -> Any:
    """A property of the field's JSON Schema, wherever it stands in it (``X | None`` nests it)."""
    pending: list[Any] = [_adapter(info).json_schema()]
    while pending:
        schema = pending.pop()
        if key in schema:
            return schema[key]
        pending += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return None
