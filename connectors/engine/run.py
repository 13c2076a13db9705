"""One fetch at work: months, tickets and pages of a data set, read into one answer."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

from connectors.base import Found, Progress, Query, Reply, Row
from connectors.decoding import MISSING
from connectors.engine.call import Answer, Caller
from connectors.engine.echo import check_echo
from connectors.engine.pages import Pager, promises
from connectors.engine.pending import Held, Tickets
from connectors.engine.plan import Callback, Paging, Plan
from connectors.engine.request import Values
from connectors.engine.rows import rows_in, select
from connectors.engine.rules import Tree, Verdict, is_empty
from connectors.mapping import Notes, RowMap, last_day, within
from connectors.ports import Ticket
from schemas.dates import YearMonth, month_range
from schemas.errors import (
    CircuitOpen,
    DeadlineExceeded,
    InvalidValue,
    PeriodMismatch,
    QuotaExhausted,
    SchemaDrift,
    UpstreamBusy,
    UpstreamConnect,
    UpstreamDenied,
    UpstreamError,
    UpstreamPending,
    UpstreamRejected,
    UpstreamStatus,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnrecognised,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
# What makes one page or month missing. Everything else (another enterprise, drift, a refusal) spoils the whole answer.
_MISSED = (
    UpstreamConnect,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamBusy,
    UpstreamStatus,
    UpstreamRejected,
    DeadlineExceeded,
)


@dataclass(slots=True)
class Part:
    """What one period asked gave: the whole look-back window, or one month of it."""

    records: list[Row] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    as_of: date | None = None
    whole: bool = True
    missed: UpstreamError | None = None


class Run:
    """Made for one query; holds all of its state."""

    def __init__(
        self,
        plan: Plan,
        query: Query,
        caller: Caller,
        progress: Progress,
        caps: tuple[int, int],
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        tickets: Tickets,
    ) -> None:
        self._plan = plan
        self._query = query
        self._caller = caller
        self._progress = progress
        self._clock = clock
        self._today = datetime.fromtimestamp(clock(), SHANGHAI).date()
        self._max_pages, self._max_rows = caps
        self._sleep = sleep
        self._tickets = tickets
        self._notes = Notes()
        self._skipped = False
        self._map: RowMap = plan.row_map(query.fields)

    async def reply(self) -> Reply:
        query, plan = self._query, self._plan
        if plan.per_month:
            parts = await _side_by_side([self._month(m) for m in month_range(query.first, query.last)])
        else:
            parts = [await self._part(query.first, query.last, None)]
        records = tuple(chain.from_iterable([part.records for part in parts]))
        missed = [part.missed for part in parts if part.missed]
        if waiting := [err for err in missed if isinstance(err, UpstreamPending)]:
            # What is there already is read again then: an answer is one answer.
            raise max(waiting, key=lambda err: str(err.details["next_attempt_at"]))
        if missed and len(missed) == len(parts):
            raise missed[0]
        if not plan.data_set.many and len(records) > 1:
            raise SchemaDrift(at=plan.rows_path, expected="one row")
        whole = not missed and False not in [part.whole for part in parts]
        if whole and not records and self._skipped:
            # Rows came, of kinds that the manifest leaves out: that is not the platform's «no record».
            raise UpstreamUnrecognised(at=plan.rows_path)
        return Reply(
            found=(Found.FOUND if records else Found.ABSENT) if whole else Found.PARTIAL,
            records=records,
            as_of=max([part.as_of for part in parts if part.as_of], default=None),
            fetched_at=datetime.fromtimestamp(self._clock(), UTC),
            attempts=self._progress.attempts,
            raw_digest=hashlib.sha256(b"".join(chain.from_iterable([part.digests for part in parts]))).digest(),
            signature_held=self._caller.signature_held,
            repairs=tuple(self._notes.repairs),
            drift=self._notes.drift,
        )

    async def _month(self, month: YearMonth) -> Part:
        try:
            return await self._part(month, month, month)
        except UpstreamDenied:
            raise
        except (*_MISSED, UpstreamPending) as err:
            return Part(missed=err)

    async def _part(self, first: YearMonth, last: YearMonth, month: YearMonth | None) -> Part:
        plan, part = self._plan, Part()
        values = Values(self._query.subject, first, last, self._today, month)
        held = None
        if plan.callback:
            if (come := await self._callback(plan.callback, values, part)) is not None:
                self._take(come, part, values, must_have=True)
            return part
        if plan.ticket:
            held = await self._tickets.held(plan.ticket, month)
            if held is None:
                answer = await self._caller.ask(plan.ticket.submit, values, plan.submit_judge, "submit")
                if answer.verdict is Verdict.NO_RECORD:
                    part.digests.append(answer.digest)
                    self._check_nothing(answer.tree)
                    return part
                value = _ticket(plan.ticket.at(answer.tree), plan.ticket.path)
                held = await self._tickets.keep(plan.ticket, month, Ticket(value, self._clock(), answer.digest))
            part.digests.append(held.ticket.digest)
            values.ticket = held.ticket.value
        if plan.paging is None:
            self._take(await self._ask(values, held), part, values, must_have=True)
        else:
            await self._pages(plan.paging, values, part, held)
        return part

    async def _callback(self, terms: Callback, values: Values, part: Part) -> Answer | None:
        """What came of a callback; None where the platform held nothing when it was asked."""
        expected = await self._tickets.expected()
        if expected is None:
            values.callback_url = await self._tickets.callback_url()
            try:
                answer = await self._caller.ask(self._plan.request, values, self._plan.submit_judge, "submit")
                if answer.verdict is Verdict.NO_RECORD:
                    part.digests.append(answer.digest)
                    self._check_nothing(answer.tree)
                    await self._tickets.drop_callback()
                    return None
                value = "" if terms.at is None else _ticket(terms.at(answer.tree), terms.path)
            except UpstreamError:
                await self._tickets.drop_callback()
                raise
            expected = await self._tickets.open_callback(terms, Ticket(value, self._clock(), answer.digest))
        if expected.arrived is None:
            if expected.over:
                raise DeadlineExceeded(waiting_for="callback")
            raise UpstreamPending(next_attempt_at=expected.until)
        part.digests.append(expected.ticket.digest)
        return await self._caller.take(expected.arrived, self._plan.judge)

    async def _pages(self, paging: Paging, values: Values, part: Part, held: Held | None) -> None:
        values.page, values.page_size = paging.first, paging.size
        pager = Pager(paging, self._plan.rows_path)
        part.whole = False
        for number in range(1, self._max_pages + 1):
            try:
                answer = await self._ask(values, held)
            except UpstreamDenied:
                raise
            except _MISSED:
                if number == 1:
                    raise
                return
            rows = self._take(answer, part, values, must_have=number == 1)
            if answer.verdict is Verdict.NO_RECORD:
                # After a total or a flag that promised more, «no record» is a gap; after a cursor it is the end.
                if number == 1 and promises(paging, answer.tree):
                    raise UpstreamUnrecognised(at=self._plan.rows_path)
                part.whole = number == 1 or (paging.cursor is not None and pager.whole())
                return
            if not pager.more(answer.tree, rows):
                part.whole = pager.whole()
                return
            if not rows or len(part.records) >= self._max_rows:
                return
            values.cursor = pager.cursor
            values.page += 1

    async def _ask(self, values: Values, held: Held | None) -> Answer:
        plan = self._plan
        if held is None:
            return await self._caller.ask(plan.request, values, plan.judge)
        while True:
            await held.check_hours(self._clock())
            try:
                answer = await self._caller.ask(plan.request, values, plan.judge, "poll")
            except (*_MISSED, CircuitOpen, QuotaExhausted) as err:
                # The ticket is as good as before: what failed is this one try to ask for it.
                if err.retryable or isinstance(err, DeadlineExceeded | CircuitOpen | QuotaExhausted):
                    await held.again(self._clock(), err)
                raise
            if answer.verdict is not Verdict.PENDING:
                return answer
            await self._sleep(await held.wait(self._clock(), self._caller.deadline))

    def _check_nothing(self, tree: Tree) -> None:
        """«No record» that names another enterprise or brings rows is not believed: it would read as a clean sheet."""
        plan = self._plan
        if plan.head_echo:
            check_echo(plan.head_echo, tree, self._query.subject, "", self._notes, needed=False)
        if isinstance(found := plan.rows_at(tree), list | dict) and (found or (plan.many and type(found) is dict)):
            raise UpstreamUnrecognised(at=plan.rows_path)

    def _take(self, answer: Answer, part: Part, values: Values, *, must_have: bool) -> list[Any]:
        """Read one reply into ``part``; gives the rows that the platform sent."""
        plan, notes, subject = self._plan, self._notes, self._query.subject
        part.digests.append(answer.digest)
        tree = answer.tree
        if answer.verdict is Verdict.NO_RECORD:
            self._check_nothing(tree)
            return []
        if plan.head_echo:
            check_echo(plan.head_echo, tree, subject, "", notes)
        rows = rows_in(plan, tree)
        if not rows:
            if must_have:
                # Success without a row, and no rule that calls it «no record»: we do not know what it means.
                raise UpstreamUnrecognised(at=plan.rows_path)
            return []
        counting = select(plan, rows, subject, notes)
        if plan.row_echo:
            for row in counting:
                check_echo(plan.row_echo, row, subject, plan.rows_path, notes)
        head = self._map.head(tree, notes)
        if head is None:
            self._skipped = True
        else:
            self._date(tree, counting, part, self._map_rows(counting, head, part, values))
        return rows

    def _map_rows(self, rows: list[Any], head: Row, part: Part, values: Values) -> list[Row]:
        plan = self._plan
        made = self._map.records(rows, head, self._notes)
        self._skipped |= len(made) < len(rows)
        if plan.period:
            inside = within(made, plan.period, values.first, values.last)
            if plan.names_period and len(inside) < len(made):
                raise PeriodMismatch(at=plan.rows_path)
            made = inside
        part.records += made
        return made

    def _date(self, tree: Tree, rows: list[Any], part: Part, records: list[Row]) -> None:
        """As-of: what the reply says, else the end of the newest period; never after today."""
        plan = self._plan
        found: list[Any] = []
        if plan.as_of_day:
            places = [plan.as_of_head(tree)] if plan.as_of_head else [plan.as_of_row(r) for r in rows if plan.as_of_row]
            try:
                found = [plan.as_of_day(None if v is MISSING else v) for v in places]
            except InvalidValue:
                raise SchemaDrift(at=plan.as_of_path, expected="date") from None
        elif plan.period:
            ends = plan.period[1]
            found = [record.get(ends) for record in records]
        # Of one form, so that the greatest text or year is the newest.
        newest = last_day(max([value for value in found if value is not None], default=None))
        if newest:
            newest = min(newest, self._today)
            part.as_of = max(newest, part.as_of or newest)
        self._map.uncover(records)


def _ticket(value: Any, path: str) -> str:
    if isinstance(value, str | int) and not isinstance(value, bool) and not is_empty(value):
        return str(value)
    raise SchemaDrift(at=path, expected="ticket")


async def _side_by_side(work: list[Any]) -> list[Part]:
    """All at once; the first failure that spoils the whole stops the others before it is raised."""
    tasks = [asyncio.ensure_future(w) for w in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
