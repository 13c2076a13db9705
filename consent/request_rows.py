"""The rows behind requests to an enterprise for its consent, as one transaction sees them (see consent/rows.py)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from consent.storage import Writing, among, fetch, listed
from consent.tables import consent_requests

OPEN = "open"


@dataclass(slots=True)
class RequestRow:
    id: str
    token_hash: str
    lender: str
    subject: str
    state: str
    expires_at: str
    tries: int
    consent_id: str | None
    log_index: int
    new: bool = False
    changed: bool = False


COLUMNS = ("id", "token_hash", "lender", "subject", "state", "expires_at", "tries", "consent_id", "log_index")
REQUEST_ROWS = select(*(consent_requests.c[name] for name in COLUMNS))
_BY_ID = REQUEST_ROWS.where(among(consent_requests.c.id, "ids"))
_OVERDUE = (
    REQUEST_ROWS.where(consent_requests.c.state == OPEN, consent_requests.c.expires_at <= bindparam("now"))
    .order_by(consent_requests.c.expires_at)
    .limit(bindparam("most"))
)
_ADD = insert(consent_requests)
_CHANGE = (
    update(consent_requests)
    .where(consent_requests.c.id == bindparam("key"))
    .values(state=bindparam("state"), tries=bindparam("tries"), consent_id=bindparam("consent_id"))
)


def read_row(row: Sequence[Any]) -> RequestRow:
    """From a row of ``REQUEST_ROWS``."""
    return RequestRow(*row)


class RequestSet:
    def __init__(self) -> None:
        self._wanted: set[str] = set()
        self._most_overdue = 0
        self._rows: dict[str, RequestRow] = {}
        self.overdue: list[RequestRow] = []

    def want(self, request_id: str) -> None:
        self._wanted.add(request_id)

    def want_overdue(self, most: int) -> None:
        """Open requests past their time, oldest first."""
        self._most_overdue = most

    def load(self, connection: Connection, now: str) -> None:
        if self._wanted:
            for row in fetch(connection, _BY_ID, ids=listed(self._wanted)):
                self._rows[row[0]] = read_row(row)
        if self._most_overdue:
            for row in connection.execute(_OVERDUE, {"now": now, "most": self._most_overdue}):
                self.overdue.append(self._rows.setdefault(row[0], read_row(row)))

    def get(self, request_id: str) -> RequestRow | None:
        return self._rows.get(request_id)

    def opened(self) -> set[str]:
        """The subjects of the requests that this transaction opens."""
        return {row.subject for row in self._rows.values() if row.new}

    def add(self, row: RequestRow) -> None:
        row.new = True
        self._rows[row.id] = row

    def writes(self) -> list[Writing]:
        rows = self._rows.values()
        changed = [
            {"key": r.id, "state": r.state, "tries": r.tries, "consent_id": r.consent_id}
            for r in rows
            if r.changed and not r.new
        ]
        return [(_ADD, [{name: getattr(r, name) for name in COLUMNS} for r in rows if r.new]), (_CHANGE, changed)]
