"""Request templates: a closed list of placeholders, no expressions; bodies are tables, never text."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from urllib.parse import quote

from connectors.base import Subject
from connectors.manifest_text import KeyPath, Refusal
from connectors.wire import Draft, Encode
from schemas.base import Json
from schemas.dates import YearMonth, format_date, month_end
from schemas.errors import InvalidValue
from schemas.manifest import Request

_PLACEHOLDER = re.compile(r"\{([a-z_]+)(?::([^{}]*))?\}")
_DATES = frozenset({"from", "to", "month", "today"})
_NUMBERS = frozenset({"page", "page_size"})
_PLAIN = frozenset({"uscc", "name", "registration_number", "cursor", "request_id", "ticket", "callback_url"})
_IN_HEADERS = frozenset({"uscc", "today", "request_id", "callback_url"})
_MAY_BE_MISSING = frozenset({"cursor", "registration_number"})


@dataclass(slots=True)
class Values:
    """What one call's placeholders stand for."""

    subject: Subject
    first: YearMonth
    last: YearMonth
    today: date
    month: YearMonth | None = None
    page: int = 1
    page_size: int = 100
    cursor: str | None = None
    ticket: str = ""
    callback_url: str = ""
    request_id: str = ""


Fill = Callable[[Values], Any]
"""What to send for this call; None leaves the entry out."""


@dataclass(frozen=True, slots=True)
class Template:
    """One compiled request. ``placeholders``: the names of those it uses."""

    method: str
    path: Fill
    query: tuple[tuple[str, Fill], ...]
    headers: tuple[tuple[str, Fill], ...]
    body: Fill | None
    encode: Encode
    charset: str
    placeholders: frozenset[str]
    per_month: bool

    def draft(self, base_url: str, values: Values) -> Draft:
        query = tuple([(k, text) for k, fill in self.query if (text := fill(values)) is not None])
        body: Mapping[str, Json] | None = self.body(values) if self.body else None
        headers = {k: fill(values) for k, fill in self.headers}
        return Draft(self.method, base_url, self.path(values), query, body, self.encode, self.charset, headers)


def compile_request(request: Request, at: KeyPath, allowed: frozenset[str]) -> Template:
    """``allowed``: which of month, page, page_size, cursor, ticket and callback_url have a meaning here.

    Raises Refusal for an unknown placeholder, one without meaning here, or a value that is no text, integer, flag,
    list or table.
    """
    used: set[str] = set()
    path = _Compiler(used, (_PLAIN | _DATES | _NUMBERS) - _MAY_BE_MISSING, allowed, in_path=True)
    headers = _Compiler(used, _IN_HEADERS, allowed)
    rest = _Compiler(used, _PLAIN | _DATES | _NUMBERS, allowed)
    try:
        "x".encode(request.charset)
    except LookupError:
        raise Refusal((*at, "charset"), "use a charset that Python knows, e.g. `utf-8` or `gb18030`") from None
    if request.encode == "xml" and len(request.body or {}) != 1:
        raise Refusal((*at, "body"), "an XML body has exactly one root element")
    return Template(
        method=request.method,
        path=path.text(request.path, (*at, "path")),
        query=tuple((k, rest.text(v, (*at, "query", k))) for k, v in request.query.items()),
        headers=tuple((k, headers.text(v, (*at, "headers", k))) for k, v in request.headers.items()),
        body=None if request.body is None else rest.table(request.body, (*at, "body")),
        encode=request.encode,
        charset=request.charset,
        placeholders=frozenset(used),
        per_month=request.per == "month",
    )


class _Compiler:
    def __init__(self, used: set[str], known: frozenset[str], allowed: frozenset[str], in_path: bool = False) -> None:
        self._used = used
        self._known = known
        self._allowed = allowed
        self._in_path = in_path

    def value(self, value: object, at: KeyPath) -> Fill:
        if isinstance(value, dict):
            return self.table(value, at)
        if isinstance(value, list):
            items = tuple(self.value(item, (*at, i)) for i, item in enumerate(value))
            return lambda values: [v for fill in items if (v := fill(values)) is not None]
        if isinstance(value, str):
            number = _PLACEHOLDER.fullmatch(value)
            if number and number[1] in _NUMBERS and number[2] == "number":
                self._allow(number[1], at)
                return _attribute(number[1])
            return self.text(value, at)
        if isinstance(value, int):
            return lambda _values: value
        raise Refusal(at, "use text, an integer, true, false, a list or a table (a decimal number as text)")

    def table(self, table: Mapping[str, object], at: KeyPath) -> Fill:
        entries = tuple((k, self.value(v, (*at, k))) for k, v in table.items())
        return lambda values: {k: v for k, fill in entries if (v := fill(values)) is not None}

    def text(self, text: str, at: KeyPath) -> Fill:
        parts: list[Fill] = []
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            if found.start() > end:
                parts.append(self._literal(text[end : found.start()], at))
            parts.append(self._placeholder(found[1], found[2], at, alone=found[0] == text))
            end = found.end()
        if end < len(text) or not parts:
            parts.append(self._literal(text[end:], at))
        if len(parts) == 1:
            return parts[0]
        fills = tuple(parts)
        return lambda values: "".join([fill(values) for fill in fills])

    def _literal(self, text: str, at: KeyPath) -> Fill:
        if "{" in text or "}" in text:
            raise Refusal(at, "write a placeholder of docs/manifest.md; there are no expressions")
        return lambda _values: text

    def _placeholder(self, name: str, form: str | None, at: KeyPath, alone: bool) -> Fill:
        self._allow(name, at)
        if name in _MAY_BE_MISSING and not alone:
            raise Refusal(at, f"`{{{name}}}` may have no value: let it stand alone")
        if name in _DATES:
            return self._date(name, form or "", at)
        if form is not None:
            raise Refusal(at, f"`{{{name}}}` takes no form here")
        get = _attribute(name)
        if name in _NUMBERS:
            return lambda values: str(get(values))
        if self._in_path:
            # A name with a slash must not become a path of its own.
            return lambda values: quote(get(values), safe="")
        return get

    def _date(self, name: str, form: str, at: KeyPath) -> Fill:
        try:
            format_date(date(2026, 1, 1), form)
        except InvalidValue:
            raise Refusal(at, f"give a date form, e.g. `{{{name}:yyyyMM}}`") from None
        day = _DAY_OF[name]
        return lambda values: format_date(day(values), form)

    def _allow(self, name: str, at: KeyPath) -> None:
        if name not in self._known or (name in _CONDITIONAL and name not in self._allowed):
            raise Refusal(at, f"`{{{name}}}` is no placeholder here; docs/manifest.md lists them")
        self._used.add(name)


_CONDITIONAL = frozenset({"month", "page", "page_size", "cursor", "ticket", "callback_url"})


def _attribute(name: str) -> Fill:
    if name in ("uscc", "name", "registration_number"):
        return lambda values: getattr(values.subject, name)
    return lambda values: getattr(values, name)


def _month_of(values: Values) -> date:
    year, month = values.month or values.last
    return date(year, month, 1)


_DAY_OF: Mapping[str, Callable[[Values], date]] = {
    "from": lambda values: date(*values.first, 1),
    "to": lambda values: month_end(values.last),
    "month": _month_of,
    "today": lambda values: values.today,
}
