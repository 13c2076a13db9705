"""The base of every model: frozen, strict, closed, and without floats."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from typing_extensions import TypeAliasType

Json = TypeAliasType("Json", "str | int | bool | list[Json] | dict[str, Json] | None")
"""A JSON value as this project passes it around: decimals travel as text, so there is no float."""


class Model(BaseModel):
    """Frozen, strict (no coercion), unknown keys are errors, and errors never repeat the input."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


def _utc(value: str) -> str:
    try:
        parsed = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("not an ISO 8601 time") from None
    if parsed.tzinfo is None or parsed.utcoffset() != UTC.utcoffset(None):
        raise ValueError("time must be UTC with offset, e.g. 2026-11-24T06:09:40+00:00")
    return value


def _calendar(value: str) -> str:
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError("not a day of the calendar") from None
    return value


def utc_text(moment: datetime) -> str:
    """ISO 8601 in UTC with offset and milliseconds: ``2026-11-24T06:09:40.000+00:00``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds")


# Canonical text forms. A record, a profile and a log entry hold only these, never a platform's dialect.
Decimal_ = Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,8})?$")]
Yuan = Annotated[Decimal_, Field(json_schema_extra={"unit": "元"})]
"""Money in 元 as decimal text; the platform's own unit was converted at the edge."""
Ratio = Annotated[Decimal_, Field(json_schema_extra={"unit": "1"})]
"""A share as decimal text: 0.07 is seven per cent."""
SquareMetres = Annotated[Decimal_, Field(json_schema_extra={"unit": "m2"})]
Day = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"), AfterValidator(_calendar)]
"""A calendar day in Asia/Shanghai, ``2026-11-24``."""
Month = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-(0[1-9]|1[0-2])$")]
Year = Annotated[int, Field(ge=1900, le=2999)]
Count = Annotated[int, Field(ge=0, lt=2**53)]
# The library reads far more than this as ISO 8601, any one character between day and hour among it.
Time = Annotated[
    str,
    StringConstraints(pattern=r"^(19|2[0-9])[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:.]{5,15}(Z|\+00:00)$"),
    AfterValidator(_utc),
]
"""Years as in ``Year``: what is counted from a time, such as a retention, stays inside what a date can hold."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""What is looked up as it was given. PostgreSQL holds no NUL: with one a question is a failure and not a «no»."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*([_-][a-z0-9]+)*$", max_length=64)]
"""A name of ours: a data set, a field, a platform, a lender, a purpose."""
StaffReference = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$")]
"""A lender's own reference of one of its staff, such as a number or an account."""
Uscc = Annotated[str, StringConstraints(pattern=r"^[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}$")]
"""GB 32100 form only; the check character is schemas.identifiers' work."""
Sha256Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")


def first_flaw(err: ValidationError) -> tuple[str, str]:
    """Place (``a.b.0``) and kind of the first flaw. A key that does not look like a name is the sender's own text,
    perhaps a person's, and becomes ``?``; so does whatever a message could repeat of the input.
    """
    first = err.errors(include_input=False, include_context=False, include_url=False)[0]
    place = [str(p) if isinstance(p, int) or _KEY.fullmatch(p) else "?" for p in first["loc"]]
    return ".".join(place) or "body", first["msg"]


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema (2020-12) of a model as it is serialised."""
    schema = model.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
