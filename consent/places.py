"""Where in the log the entries about consents and enterprises stand.

Nearly every entry is of one of two events. Those have a row of a permit or of a profile beside them, which is found by
its consent and knows its place: so they need no index of the log's own, which each of them would write into at random.
"""

from sqlalchemy import ColumnElement, CompoundSelect, Select, literal_column, select, union_all

from consent.tables import consents, log_entries, permits, profiles

FREQUENT = ("permit.granted", "profile.issued")
# Word for word the condition of the indexes: only then is it plain to the database that they serve.
RARE: ColumnElement[bool] = literal_column("event NOT IN ('permit.granted', 'profile.issued')")
_POSITION = select(log_entries.c.position)


def about_consents(ids: Select[tuple[str]]) -> CompoundSelect[tuple[int]]:
    """The indexes of the entries that name one of the consents."""
    return union_all(_POSITION.where(log_entries.c.consent.in_(ids), RARE), *_frequent(ids))


def about_subject(subject: ColumnElement[str]) -> CompoundSelect[tuple[int]]:
    """The indexes of the entries that name the subject."""
    of_subject = select(consents.c.id).where(consents.c.subject == subject)
    return union_all(_POSITION.where(log_entries.c.subject == subject, RARE), *_frequent(of_subject))


def _frequent(ids: Select[tuple[str]]) -> tuple[Select[tuple[int]], Select[tuple[int]]]:
    issued = select(profiles.c.log_index).join_from(permits, profiles, profiles.c.id == permits.c.profile_id)
    return (
        select(permits.c.log_index).where(permits.c.consent_id.in_(ids)),
        issued.where(permits.c.consent_id.in_(ids)),
    )
