"""What a manifest says of the values of a reply, path by path: which are its own, and what the others are."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from connectors.decoding import path_keys
from schemas import manifest as m
from schemas.dates import compile_day, compile_month, compile_year
from schemas.errors import InvalidValue
from schemas.identifiers import normalise_name

Kind = Literal["code", "result", "date", "page", "amount", "names", "text"]
_TIME = re.compile(r"(?=(?:[^0-9]*[0-9]){4,17}[^0-9]*$)[0-9]{2,4}[0-9:./ T+-]*Z?")
"""Of a row's time by which the newest is found."""


@dataclass(slots=True)
class Role:
    """What a manifest says of the values at one path. ``words``: values that are its own, not the enterprise's."""

    kind: Kind
    words: set[str] = field(default_factory=set)
    reads: list[Callable[[object], object]] = field(default_factory=list)
    """The readers of the dates that are declared."""
    separators: str = ""

    def is_word(self, text: str) -> bool:
        return text in self.words or normalise_name(text) in self.words

    def is_date(self, value: object) -> bool:
        for read in self.reads:
            try:
                read(value)
            except InvalidValue:
                continue
            return True
        return not self.reads and isinstance(value, str) and _TIME.fullmatch(value.strip()) is not None


@dataclass(frozen=True, slots=True)
class Terms:
    """``keep``: paths whose values the caller answers for; an identifier is replaced even there."""

    roles: Mapping[str, Role]
    keys: frozenset[str]
    charsets: Sequence[str]
    steps: Sequence[str]
    statuses: frozenset[int]
    keep: frozenset[str] = frozenset()
    keep_amounts: bool = False
    token: bool = False
    """For a reply that gives a token: what it is and how long it lasts stays."""


def terms_of(
    manifest: m.Manifest, dataset: m.Dataset, keep: Collection[str] = (), *, keep_amounts: bool = False
) -> Terms:
    roles = _roles(manifest, dataset)
    outcome = dataset.outcome or manifest.outcome
    keys = {key for path in roles for key in path_keys(path)} | {key for path in dataset.rows.ignore for key in [path]}
    keys |= {key for step in manifest.decode.steps for key in path_keys(step.partition(":")[2])}
    keys |= {key for path in keep for key in path_keys(path)}
    return Terms(
        roles,
        frozenset(keys),
        manifest.decode.charset,
        manifest.decode.steps,
        frozenset(outcome.status),
        frozenset(keep),
        keep_amounts,
    )


def _roles(manifest: m.Manifest, dataset: m.Dataset) -> dict[str, Role]:
    found: dict[str, Role] = {}

    def add(path: str | None, kind: Kind, words: Collection[object] = ()) -> Role:
        role = found.setdefault(path or "", Role(kind))
        # A rule says which values it knows; what the others are, a field says.
        role.kind = kind if role.kind == "code" else role.kind
        role.words.update(form for word in words for form in (str(word), normalise_name(str(word))) if form != "*")
        return role

    def rules(several: Sequence[m.Rule], at_row: str = "") -> None:
        for rule in several:
            if rule.at is not None:
                add(joined(at_row, rule.at), "code", [w for w in (rule.equals, *(rule.one_of or ())) if w is not None])
            rules(rule.and_, at_row)

    rows, outcome, paging = dataset.rows, dataset.outcome or manifest.outcome, dataset.paging
    rules([*outcome.denied, *outcome.retry, *outcome.no_record, *outcome.success])
    for retry in outcome.retry:
        add(retry.after, "page")
    add(outcome.code, "result")
    for echo, row in ((outcome.echo, ""), (rows.echo, rows.at)):
        for path in (echo.uscc, echo.name) if echo else ():
            add(path and joined(row, path), "text")
    if paging:
        add(paging.total_rows, "page")
        add(paging.total_pages, "page")
        add(paging.cursor, "text")
        rules([rule for rule in (paging.more, paging.last) if rule])
    rules([*rows.keep, *rows.drop], rows.at)
    if rows.latest:
        for key in rows.latest.key:
            add(joined(rows.at, key), "text")
        add(joined(rows.at, rows.latest.by), "date")
    if dataset.submit:
        add(dataset.submit.ticket, "text")
    if dataset.poll:
        rules(dataset.poll.pending)
    specs: list[m.ReadSpec | m.AsOf] = [s for s in dataset.fields.values() if not isinstance(s, m.ConstSpec)]
    for spec in [*specs, *([dataset.as_of] if dataset.as_of else [])]:
        role = add(spec.head if spec.from_ is None else joined(rows.at, spec.from_), _kind(spec), _words(spec))
        if isinstance(spec, m.DaySpec | m.AsOf):
            role.reads.append(compile_day(spec.forms))
        elif isinstance(spec, m.MonthSpec | m.YearSpec):
            role.reads.append((compile_month if isinstance(spec, m.MonthSpec) else compile_year)(spec.forms))
        elif isinstance(spec, m.NamesSpec):
            role.separators = spec.separators
    found.pop("", None)
    return found


def joined(row: str, path: str) -> str:
    return ".".join(part for part in (row, path) if part)


def _kind(spec: m.ReadSpec | m.AsOf) -> Kind:
    if isinstance(spec, m.DaySpec | m.MonthSpec | m.YearSpec | m.AsOf):
        return "date"
    if isinstance(spec, m.MoneySpec | m.DecimalSpec | m.RatioSpec | m.CountSpec):
        return "amount"
    if isinstance(spec, m.CodeSpec | m.FlagSpec):
        return "code"
    return "names" if isinstance(spec, m.NamesSpec) else "text"


def _words(spec: m.ReadSpec | m.AsOf) -> Collection[object]:
    if isinstance(spec, m.CodeSpec):
        return spec.table
    return [*spec.true, *spec.false] if isinstance(spec, m.FlagSpec) else ()
