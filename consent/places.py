"""Where the permits of consents are, and where in the log the entries about consents and enterprises stand.

An index by consent is written into at random, a page for every permit. So there is none: a consent's row names its
newest permit, and each permit the one before it. The log itself has indexes by consent and subject for all events but
two, which nearly every entry is of: a permit's row, or a profile's beside it, knows their places.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CTE, ColumnElement, CompoundSelect, Select, literal_column, select, union_all

from consent.tables import consents, log_entries, permits, profiles
from schemas.base import utc_text

FREQUENT = ("permit.granted", "profile.issued")
# Word for word the condition of the indexes: only then is it plain to the database that they serve.
RARE: ColumnElement[bool] = literal_column("event NOT IN ('permit.granted', 'profile.issued')")
CLOCK_STEP = timedelta(hours=1)
"""What is asked by time is found as long as the writer's clock never went back further than this."""
_POSITION = select(log_entries.c.position)


def floor(moment: str) -> str:
    """Before a permit that was granted before this, none was granted after ``moment``; both UTC text."""
    return utc_text(datetime.fromisoformat(moment) - CLOCK_STEP)


def permits_of(ids: Select[tuple[str]], floor: ColumnElement[str] | None = None) -> CTE:
    """Every permit under the consents, with all its columns; where given, down to the ``floor``."""
    newest = select(permits).join_from(consents, permits, permits.c.log_index == consents.c.last_permit)
    newest = newest.where(consents.c.id.in_(ids))
    chain = (newest if floor is None else newest.where(permits.c.granted_at > floor)).cte(recursive=True)
    before: Select[Any] = select(permits).join_from(chain, permits, permits.c.log_index == chain.c.before)
    return chain.union_all(before if floor is None else before.where(permits.c.granted_at > floor))


def about_consents(ids: Select[tuple[str]]) -> CompoundSelect[tuple[int]]:
    """The indexes of the entries that name one of the consents."""
    return union_all(_POSITION.where(log_entries.c.consent.in_(ids), RARE), *_frequent(ids))


def about_subject(subject: ColumnElement[str]) -> CompoundSelect[tuple[int]]:
    """The indexes of the entries that name the subject."""
    of_subject = select(consents.c.id).where(consents.c.subject == subject)
    return union_all(_POSITION.where(log_entries.c.subject == subject, RARE), *_frequent(of_subject))


def _frequent(ids: Select[tuple[str]]) -> tuple[Select[tuple[int]], Select[tuple[int]]]:
    granted = permits_of(ids)
    issued = select(profiles.c.log_index).join_from(granted, profiles, profiles.c.id == granted.c.profile_id)
    return select(granted.c.log_index), issued
