"""Is this the enterprise we asked for? Asked of every reply that gives data, before any of it is read."""

from typing import Any

from connectors.base import Subject
from connectors.engine.plan import Echo
from connectors.engine.rules import Tree, is_empty
from connectors.mapping import Notes
from schemas.errors import InvalidIdentifier, SchemaDrift, SubjectMismatch
from schemas.identifiers import NameMatch, compare_names, parse_uscc


def check_echo(echo: Echo, tree: Tree, subject: Subject, prefix: str, notes: Notes, *, needed: bool = True) -> None:
    """Raises SubjectMismatch when a name or code is another's, SchemaDrift when ``needed`` and there is none at all."""
    seen = False
    for kind, get, path in echo.places:
        value = get(tree)
        if is_empty(value):
            continue
        same = value == getattr(subject, kind) or _same(kind, value, subject, notes)
        if same is False:
            raise SubjectMismatch(at=f"{prefix}.{path}" if prefix else path)
        seen = seen or same is True
    if needed and not seen:
        path = echo.places[0][2]
        raise SchemaDrift(at=f"{prefix}.{path}" if prefix else path)


def _same(kind: str, value: Any, subject: Subject, notes: Notes) -> bool | None:
    """None for a masked name that fits: that of many others fits too, so it proves nothing."""
    if not isinstance(value, str):
        return False
    if kind == "name":
        match = compare_names(value, subject.name)
        return None if match is NameMatch.MASKED else match is not NameMatch.DIFFERENT
    if value.strip() == subject.registration_number:
        # Seen in real registers: the old 15-digit number in the USCC's column.
        notes.repaired("uscc", ("registration number in its place",))
        return True
    try:
        reading = parse_uscc(value)
    except InvalidIdentifier:
        return False
    notes.repaired("uscc", reading.repairs)
    return reading.value == subject.uscc
