"""What a record and a data set are.

A record is what a connector makes of one row of a platform's reply: canonical names, canonical text forms
(schemas.base), money in 元. On the way of a request a record is a plain ``dict`` of these fields, so that a
row costs one dict; these models are its contract: the JSON Schema, the conformance suite and the consent's
field names come from here. A field that a platform did not give is absent, never zero and never an empty text.

Field names and code meanings follow docs/data-sets.md; ``zh`` titles are what people are shown.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import Field

from schemas.base import Model


def f(zh: str, en: str, *, sensitive: bool = False, personal: bool = False) -> Any:
    """An optional field with its titles; ``sensitive`` needs separate consent (PIPL 29), ``personal`` is masked."""
    return Field(default=None, title=en, json_schema_extra={"zh": zh, "sensitive": sensitive, "personal": personal})


def need(zh: str, en: str, *, sensitive: bool = False, personal: bool = False) -> Any:
    """A field without which the row has no meaning."""
    return Field(title=en, json_schema_extra={"zh": zh, "sensitive": sensitive, "personal": personal})


class Record(Model):
    """One canonical row. ``title`` is (zh, en); ``many`` says whether a subject may have several rows."""

    title: ClassVar[tuple[str, str]]
    many: ClassVar[bool] = True


@dataclass(frozen=True, slots=True)
class DataSet:
    """One entry of the catalogue. ``fields`` are the names a consent may list, in the record's order."""

    name: str
    zh: str
    en: str
    many: bool
    model: type[Record]
    fields: tuple[str, ...]
    required: frozenset[str]
    sensitive: frozenset[str]
    personal: frozenset[str]


def data_set(name: str, model: type[Record]) -> DataSet:
    def marked(key: str) -> frozenset[str]:
        return frozenset(
            n
            for n, info in model.model_fields.items()
            if isinstance(info.json_schema_extra, dict) and info.json_schema_extra[key]
        )

    required = frozenset(n for n, info in model.model_fields.items() if info.is_required())
    zh, en = model.title
    return DataSet(
        name,
        zh,
        en,
        model.many,
        model,
        tuple(model.model_fields),
        required,
        marked("sensitive"),
        marked("personal"),
    )
