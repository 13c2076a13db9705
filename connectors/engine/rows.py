"""Which rows of a reply there are, and which of them count."""

from decimal import Decimal
from typing import Any

from connectors.base import Subject
from connectors.engine.echo import check_echo
from connectors.engine.plan import Latest, Plan
from connectors.engine.rules import Tree, is_empty
from connectors.mapping import Notes
from schemas.errors import SchemaDrift


def rows_in(plan: Plan, tree: Tree) -> list[Any]:
    """The rows as the platform sent them. XML has no lists: there one element is a row, and none is an empty list.

    Raises SchemaDrift where something else stands at the path.
    """
    found = plan.rows_at(tree)
    if plan.many and isinstance(found, list):
        return found
    if isinstance(found, dict) and (not plan.many or plan.from_xml):
        return [found]
    if plan.from_xml and is_empty(found):
        return []
    raise SchemaDrift(at=plan.rows_path, expected="rows" if plan.many else "row")


def select(plan: Plan, rows: list[Any], subject: Subject, notes: Notes) -> list[Any]:
    """The rows that count, each of them about ``subject``. Raises SubjectMismatch or SchemaDrift."""
    if not (plan.latest or plan.keep or plan.drop):
        _check(plan, rows, subject, notes, needed=True)
        return rows
    # A row that does not count must not be another enterprise's either.
    _check(plan, rows, subject, notes, needed=False)
    if plan.latest:
        rows = latest(rows, plan.latest, plan.rows_path)
    if plan.keep and plan.drop and not all(plan.keep(row, 0) or plan.drop(row, 0) for row in rows):
        # A row of a kind nobody knows may be a failure: leaving it out could read as «no record».
        raise SchemaDrift(at=plan.rows_path, expected="a row to keep or to drop")
    if plan.keep:
        rows = [row for row in rows if plan.keep(row, 0)]
    if plan.drop:
        rows = [row for row in rows if not plan.drop(row, 0)]
    _check(plan, rows, subject, notes, needed=True)
    return rows


def _check(plan: Plan, rows: list[Any], subject: Subject, notes: Notes, *, needed: bool) -> None:
    if plan.row_echo:
        for row in rows:
            check_echo(plan.row_echo, row, subject, plan.rows_path, notes, needed=needed)


def latest(rows: list[Any], rule: Latest, path: str) -> list[Any]:
    """Of the rows with equal key the one with the greatest ``by``, later rows winning; in the order of the keys."""
    newest: dict[tuple[Any, ...], tuple[Any, Any]] = {}
    for row in rows:
        key = tuple(str(get(row)) for get in rule.keys)
        order = rule.by(row)
        if not isinstance(order, str | int | Decimal) or isinstance(order, bool):
            raise SchemaDrift(at=f"{path}.{rule.path}")
        held = newest.get(key)
        try:
            if held is None or order >= held[0]:
                newest[key] = (order, row)
        except TypeError:
            raise SchemaDrift(at=f"{path}.{rule.path}") from None
    return [row for _, row in newest.values()]
