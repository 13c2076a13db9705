"""Time-stamps of heads by an authority (RFC 3161): every one is kept, since an older one proves the older time."""

from dataclasses import dataclass

from sqlalchemy import Connection, Row, insert, select

from consent.batch import Batch, Command
from consent.log.tiles import Stamp
from consent.tables import log_head, log_timestamps


@dataclass(frozen=True, slots=True)
class TimedStamp:
    """``time`` is the authority's, UTC text as in every table."""

    stamp: Stamp
    time: str


@dataclass(frozen=True, slots=True)
class StoreTimestamp(Command[None]):
    """Keep a stamp. The caller has verified it. Where another process has stamped the same head, that one stays."""

    held: TimedStamp

    def decide(self, batch: Batch) -> None:
        batch.finally_run(self._write)

    def _write(self, connection: Connection) -> None:
        stamp = self.held.stamp
        there = select(log_timestamps.c.size).where(log_timestamps.c.size == stamp.size)
        if connection.execute(there).first() is None:
            row = {"size": stamp.size, "time": self.held.time, "head": stamp.head, "reply": stamp.reply}
            connection.execute(insert(log_timestamps).values(row))


def newest_timestamp(connection: Connection) -> TimedStamp | None:
    """The stamp of the largest head that has one; of no head that the log has not come to."""
    come = log_timestamps.c.size <= select(log_head.c.size).scalar_subquery()
    rows = select(log_timestamps).where(come).order_by(log_timestamps.c.size.desc()).limit(1)
    row = connection.execute(rows).first()
    return None if row is None else TimedStamp(_stamp(row), row.time)


def timestamps(connection: Connection, after: int, size: int) -> list[Stamp]:
    """The next hundred stamps of heads of more than ``after`` and at most ``size`` entries, in order."""
    rows = select(log_timestamps).where(log_timestamps.c.size > after, log_timestamps.c.size <= size)
    return [_stamp(row) for row in connection.execute(rows.order_by(log_timestamps.c.size).limit(100))]


def _stamp(row: Row[tuple[object, ...]]) -> Stamp:
    return Stamp(row.size, row.head, row.reply)
