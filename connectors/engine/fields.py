"""The fields that a manifest declares, held against the records of the catalogue when the manifest is loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Annotated, Any

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

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
        field = _field(data_set.model, name)
        _check_fit(spec, field, place)
        if isinstance(spec, manifest.ConstSpec):
            continue
        try:
            made[name] = converter(name, spec, field.longest)
        except InvalidValue:
            raise Refusal((*place, "forms"), f"use date forms that hold a {spec.type}") from None
    if missing := sorted(data_set.required - dataset.fields.keys()):
        raise Refusal((*at, "fields"), f"{data_set.name} requires {', '.join(missing)}")
    return made


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a record's model: what it takes, its unit, and how many characters it holds."""

    adapter: TypeAdapter[Any]
    unit: str | None
    longest: int


# Once for all manifests: many declare the same fields, and what pydantic makes of one costs a millisecond.
@cache
def _field(model: type[BaseModel], name: str) -> _Field:
    info = model.model_fields[name]
    form: Any = Annotated[info.annotation, info]
    adapter: TypeAdapter[Any] = TypeAdapter(form)
    schema = adapter.json_schema()
    return _Field(adapter, _property(schema, "unit"), int(_property(schema, "maxLength") or 200))


def _check_fit(spec: manifest.Spec, field: _Field, at: KeyPath) -> None:
    units = _UNITS.get(type(spec))
    if units and field.unit not in units:
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
            field.adapter.validate_json(orjson.dumps(sample), strict=True)
        except ValidationError:
            raise Refusal(place, "the record's field does not take this; see docs/data-sets.md") from None


def _property(whole: dict[str, Any], key: str) -> Any:
    """A property of a field's JSON Schema, wherever it stands in it (``X | None`` nests it)."""
    pending = [whole]
    while pending:
        schema = pending.pop()
        if key in schema:
            return schema[key]
        pending += [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]
    return None
