"""One data set of a manifest, compiled and checked against the catalogue when the manifest is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from connectors.engine.fields import compile_fields
from connectors.engine.request import Template, compile_request
from connectors.engine.rules import Get, Judge, Test, Tree, any_of, compile_judge, compile_path, compile_rule
from connectors.engine.window import Window, compile_window
from connectors.manifest_text import KeyPath, Refusal
from connectors.mapping import Convert, RowMap
from schemas import manifest
from schemas.dates import compile_day
from schemas.errors import InvalidValue
from schemas.records import DataSet

Decoder = Callable[[bytes, str | None], Tree]
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAPS = 64


def seconds(duration: str) -> float:
    """``"30d"``, ``"5s"``, ``"200ms"`` (schemas.manifest.Duration) in seconds."""
    number = duration.rstrip("mshd")
    return int(number) * _SECONDS[duration[len(number) :]]


def per_second(rate: str) -> float:
    """``"20/s"``, ``"100/m"`` (schemas.manifest.Rate) per second."""
    number, _, unit = rate.partition("/")
    return int(number) / _SECONDS[unit]


@dataclass(frozen=True, slots=True)
class Echo:
    """Where the enterprise is named: (``uscc`` or ``name``, how to read it, its path)."""

    places: tuple[tuple[str, Get, str], ...]


@dataclass(frozen=True, slots=True)
class Paging:
    first: int
    size: int
    total_rows: Get | None
    total_pages: Get | None
    cursor: Get | None
    more: Test | None
    last: Test | None


@dataclass(frozen=True, slots=True)
class Ticket:
    submit: Template
    at: Get
    path: str
    every: float
    give_up: float
    hours: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Callback:
    """``at``: where the submit's reply has the platform's id, ``ticket``: where the callback has it; None where the
    platform has none."""

    at: Get | None
    path: str
    ticket: Get | None
    give_up: float
    signed: manifest.SignedCallback
    ack: manifest.Ack


@dataclass(frozen=True, slots=True)
class Latest:
    keys: tuple[Get, ...]
    by: Get
    path: str


@dataclass(frozen=True)
class Plan:
    """``request`` asks for the rows; with ``ticket`` it is the poll, with ``callback`` the submit. ``period``: from/to
    fields of a record."""

    name: str
    data_set: DataSet
    auth: Mapping[str, Any]
    request: Template
    ticket: Ticket | None
    callback: Callback | None
    judge: Judge
    submit_judge: Judge
    head_echo: Echo | None
    row_echo: Echo | None
    paging: Paging | None
    rows_at: Get
    rows_path: str
    many: bool
    from_xml: bool
    latest: Latest | None
    keep: Test | None
    drop: Test | None
    period: tuple[str, str] | None
    per_month: bool
    names_period: bool
    as_of_head: Get | None
    as_of_row: Get | None
    as_of_day: Callable[[object], str | None] | None
    as_of_path: str
    specs: Mapping[str, manifest.Spec]
    converters: Mapping[str, Convert]
    known: frozenset[str]
    _maps: dict[frozenset[str], RowMap] = field(default_factory=dict)

    def row_map(self, fields: frozenset[str]) -> RowMap:
        """How rows are read for the fields consented; made once for each set of them."""
        found = self._maps.get(fields)
        if found is None:
            if len(self._maps) >= _MAPS:
                self._maps.clear()
            wanted = fields & self.specs.keys()
            hidden = frozenset(self.period or ()) - wanted
            found = RowMap(
                self.rows_path, self.specs, self.converters, self.data_set.required, wanted, hidden, self.known
            )
            self._maps[fields] = found
        return found


def compile_plan(whole: manifest.Manifest, index: int, catalogue: Mapping[str, DataSet], decode: Decoder) -> Plan:
    """Raises Refusal for anything that a data set of the catalogue cannot take."""
    dataset = whole.dataset[index]
    at: KeyPath = ("dataset", index)
    data_set = catalogue.get(dataset.name)
    if data_set is None:
        close = get_close_matches(dataset.name, catalogue, n=1)
        raise Refusal((*at, "name"), f"did you mean `{close[0]}`?" if close else "name a data set of the catalogue")
    if any(other.name == dataset.name for other in whole.dataset[:index]):
        raise Refusal((*at, "name"), "declare each data set once")
    outcome = dataset.outcome or whole.outcome
    if outcome.echo is None and dataset.rows.echo is None and dataset.unechoed is None:
        raise Refusal(at, "say in `echo` where the reply names the enterprise, or in `unechoed` why it cannot")
    if not dataset.rows.many and dataset.paging:
        raise Refusal((*at, "paging"), "a data set of one row has no pages")
    converters = compile_fields(dataset, data_set, at)
    request, ticket = _requests(dataset, at)
    judge = compile_judge(outcome, decode, dataset.poll.pending if dataset.poll else ())
    period = _period(dataset, at)
    asking = ticket.submit if ticket else request
    if asking.per_month and ("month" not in asking.placeholders or period is None):
        raise Refusal(at, "one call per month needs `{month:FORM}` in its request, and `period`")
    rows, as_of = dataset.rows, dataset.as_of
    return Plan(
        name=dataset.name,
        data_set=data_set,
        auth=dataset.auth,
        request=request,
        ticket=ticket,
        callback=_callback(dataset, request, at),
        judge=judge,
        submit_judge=compile_judge(outcome, decode),
        head_echo=_echo(outcome.echo),
        row_echo=_echo(rows.echo),
        paging=_paging(dataset.paging, request, at),
        rows_at=compile_path(rows.at),
        rows_path=rows.at,
        many=rows.many,
        from_xml=whole.decode.steps[-1] == "xml",
        latest=_latest(rows.latest),
        keep=any_of(rows.keep) if rows.keep else None,
        drop=any_of(rows.drop) if rows.drop else None,
        period=period,
        per_month=asking.per_month,
        names_period=bool(asking.placeholders & {"from", "to", "month"}),
        as_of_head=compile_path(as_of.head) if as_of and as_of.head is not None else None,
        as_of_row=compile_path(as_of.from_) if as_of and as_of.from_ is not None else None,
        as_of_day=_day(as_of.forms, (*at, "as_of", "forms")) if as_of else None,
        as_of_path=str(as_of.head if as_of.from_ is None else f"{rows.at}.{as_of.from_}") if as_of else "",
        specs=dataset.fields,
        converters=converters,
        known=_known(dataset),
    )


def _requests(dataset: manifest.Dataset, at: KeyPath) -> tuple[Template, Ticket | None]:
    paging = dataset.paging
    pages = frozenset[str]()
    if paging:
        pages = frozenset({"cursor", "page_size"} if paging.cursor is not None else {"page", "page_size"})
    if dataset.request:
        month = {"month"} if dataset.request.per == "month" else set()
        return compile_request(dataset.request, (*at, "request"), pages | month), None
    # The model's validator saw to it that there is a submit, and beside it a poll or a callback.
    assert dataset.submit is not None  # noqa: S101
    if dataset.poll is None:
        if paging or dataset.submit.per == "month":
            raise Refusal((*at, "callback"), "a callback brings the whole answer: without `paging`, and not per month")
        return compile_request(dataset.submit, (*at, "submit"), frozenset({"callback_url"})), None
    if dataset.submit.ticket is None:
        raise Refusal((*at, "submit"), "say in `ticket` where the reply has the ticket")
    month = {"month"} if dataset.submit.per == "month" else set()
    submit = compile_request(dataset.submit, (*at, "submit"), frozenset(month))
    poll = compile_request(dataset.poll, (*at, "poll"), pages | {"ticket"} | month)
    if "ticket" not in poll.placeholders:
        raise Refusal((*at, "poll"), "a poll names its ticket: use `{ticket}`")
    return poll, Ticket(
        submit,
        compile_path(dataset.submit.ticket),
        dataset.submit.ticket,
        seconds(dataset.poll.every),
        seconds(dataset.poll.give_up),
        tuple(compile_window(text, (*at, "poll", "hours", i)) for i, text in enumerate(dataset.poll.hours)),
    )


def _callback(dataset: manifest.Dataset, submit: Template, at: KeyPath) -> Callback | None:
    callback = dataset.callback
    if callback is None:
        return None
    assert dataset.submit is not None  # noqa: S101 - the model's validator saw to it
    if "callback_url" not in submit.placeholders:
        raise Refusal((*at, "submit"), "tell the platform where to send its answer: use `{callback_url}`")
    path = dataset.submit.ticket
    if (path is None) != (callback.ticket is None):
        raise Refusal((*at, "callback"), "`submit.ticket` and `callback.ticket` come together")
    return Callback(
        None if path is None else compile_path(path),
        path or "",
        None if callback.ticket is None else compile_path(callback.ticket),
        seconds(callback.give_up),
        callback.signed,
        callback.ack,
    )


def _paging(paging: manifest.Paging | None, request: Template, at: KeyPath) -> Paging | None:
    if paging is None:
        return None
    needed = "cursor" if paging.cursor is not None else "page"
    if needed not in request.placeholders:
        raise Refusal((*at, "paging"), f"the request must say which page it asks for: use `{{{needed}}}`")
    return Paging(
        first=paging.first,
        size=paging.size,
        total_rows=None if paging.total_rows is None else compile_path(paging.total_rows),
        total_pages=None if paging.total_pages is None else compile_path(paging.total_pages),
        cursor=None if paging.cursor is None else compile_path(paging.cursor),
        more=None if paging.more is None else compile_rule(paging.more),
        last=None if paging.last is None else compile_rule(paging.last),
    )


def _echo(echo: manifest.Echo | None) -> Echo | None:
    if echo is None:
        return None
    named = [("uscc", echo.uscc), ("name", echo.name)]
    return Echo(tuple((kind, compile_path(path), path) for kind, path in named if path is not None))


def _latest(latest: manifest.Latest | None) -> Latest | None:
    if latest is None:
        return None
    return Latest(tuple(compile_path(key) for key in latest.key), compile_path(latest.by), latest.by)


def _period(dataset: manifest.Dataset, at: KeyPath) -> tuple[str, str] | None:
    if dataset.period is None:
        return None
    names = [dataset.period, dataset.period] if isinstance(dataset.period, str) else dataset.period
    for name in names:
        if not isinstance(dataset.fields.get(name), manifest.DaySpec | manifest.MonthSpec | manifest.YearSpec):
            raise Refusal((*at, "period"), "name a field of this data set of type day, month or year")
    return names[0], names[1]


def _known(dataset: manifest.Dataset) -> frozenset[str]:
    rows = dataset.rows
    paths = [spec.from_ for spec in dataset.fields.values() if not isinstance(spec, manifest.ConstSpec)]
    paths += rows.ignore
    if rows.echo:
        paths += [rows.echo.uscc, rows.echo.name]
    if rows.latest:
        paths += [*rows.latest.key, rows.latest.by]
    if dataset.as_of:
        paths.append(dataset.as_of.from_)
    pending = [*rows.keep, *rows.drop]
    while pending:
        rule = pending.pop()
        paths.append(rule.at)
        pending += rule.and_
    return frozenset(path.partition(".")[0] for path in paths if path)


def _day(forms: list[str], at: KeyPath) -> Callable[[object], str | None]:
    try:
        return compile_day(forms)
    except InvalidValue:
        raise Refusal(at, "use date forms of docs/data-sets.md that hold a day") from None
