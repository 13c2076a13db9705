"""The canonical text forms, and models that take nothing else."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import TypeAdapter, ValidationError

from schemas.base import Day, Decimal_, Model, Month, Name, Time, Uscc, Year, utc_text


class Example(Model):
    day: Day
    year: Year


@pytest.mark.parametrize(
    ("form", "good", "bad"),
    [
        (
            Decimal_,
            ["0", "-1.50", "2000000.0", "9" * 18],
            ["", "00", "1.", ".5", "1e5", "+1", "9" * 19, "0." + "1" * 9],
        ),
        (Day, ["2024-02-29"], ["2023-02-29", "2023-2-1", "20230201", "2023-02-01T00:00:00"]),
        (Month, ["2026-09"], ["2026-9", "2026-13", "202609"]),
        (Time, ["2026-11-24T06:09:40+00:00", "2026-11-24T06:09:40Z"], ["2026-11-24T06:09:40", "now", "x" * 36]),
        (Time, [], ["2026-11-24T14:09:40+08:00", "2026-02-30T00:00:00Z"]),
        # Years to count from: 1825 days after the last day of year 9999 there is no date.
        (Time, ["1900-01-01T00:00:00Z", "2999-12-31T23:59:59Z"], ["9999-12-31T00:00:00Z", "1899-12-31T00:00:00Z"]),
        (Name, ["sh-tax", "tax_returns", "a"], ["", "Tax", "tax__a", "-tax", "税", "a" * 65]),
        (Uscc, ["91340000711771143J"], ["91340000711771143I", "9134000071177114", "９１340000711771143J"]),
    ],
)
def test_each_form_takes_its_own_and_refuses_its_neighbours(form: object, good: list[str], bad: list[str]) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(form)
    for text in good:
        assert adapter.validate_python(text) == text
    for text in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


def test_a_model_is_frozen_and_closed_and_converts_nothing() -> None:
    example = Example(day="2026-11-24", year=2026)
    with pytest.raises(ValidationError):
        example.year = 2027  # type: ignore[misc]
    for wrong in ({"day": "2026-11-24", "year": "2026"}, {"day": "2026-11-24", "year": 2026, "more": 1}):
        with pytest.raises(ValidationError):
            Example.model_validate(wrong)


def test_a_refused_value_is_not_repeated_in_the_text_of_the_error() -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"day": "11010519491231002X", "year": 2026})
    assert "1101" not in str(caught.value)


@pytest.mark.parametrize("text", ["2026-02-30", "2026-13-01"])
def test_a_day_that_does_not_exist_is_not_repeated_either(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"day": text, "year": 2026})
    assert text not in str(caught.value)


def test_moments_are_written_in_utc_with_milliseconds() -> None:
    moment = datetime(2026, 11, 24, 14, 9, 40, 123456, tzinfo=timezone(timedelta(hours=8)))
    assert utc_text(moment) == utc_text(moment.astimezone(UTC)) == "2026-11-24T06:09:40.123+00:00"
