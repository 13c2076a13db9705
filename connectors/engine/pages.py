"""Whether another page follows, and whether all came that the platform promised."""

from typing import Any

from connectors.decoding import MISSING
from connectors.engine.plan import Paging
from connectors.engine.rules import Get, Tree, is_empty
from schemas.amounts import parse_count
from schemas.errors import InvalidValue, SchemaDrift


class Pager:
    """The pages of one reading. ``cursor`` is what asks for the next one, where the platform pages by cursor."""

    def __init__(self, paging: Paging, rows_path: str) -> None:
        self.cursor: str | None = None
        self._paging = paging
        self._rows_path = rows_path
        self._pages: list[list[Any]] = []
        self._cursors: set[str] = set()
        self._seen = 0
        self._rows = 0
        self._total_pages = 0

    def more(self, tree: Tree, rows: list[Any]) -> bool:
        """Count a page in, and say whether another follows.

        Raises SchemaDrift for a page or cursor that came before, and where what must tell does not.
        """
        paging = self._paging
        if rows and rows in self._pages:
            # A platform that ignores the page asked for: the same rows twice, the others never.
            raise SchemaDrift(at=self._rows_path, expected="another page")
        self._pages.append(rows)
        self._seen += len(rows)
        # The greatest total counts: one that shrinks while we read does not make the rest disappear.
        if paging.total_rows:
            self._rows = max(self._rows, _count(paging.total_rows, tree))
        if paging.total_pages:
            self._total_pages = max(self._total_pages, _count(paging.total_pages, tree))
            return len(self._pages) < self._total_pages
        if paging.more and paging.last:
            more = paging.more(tree, 0)
            if more is paging.last(tree, 0):
                raise SchemaDrift(at="paging", expected="more or last")
            return more
        return self._next(tree) if paging.cursor else self._seen < self._rows

    def whole(self) -> bool:
        """Whether a reading that came to its end holds all rows: as many as the totals say, and no page empty that a
        total or a flag promised. An empty page after a cursor is an end as good as any."""
        paging = self._paging
        if paging.total_rows and self._seen != self._rows:
            return False
        if paging.total_pages and len(self._pages) != self._total_pages:
            return False
        return paging.cursor is not None or bool(self._pages[-1])

    def _next(self, tree: Tree) -> bool:
        assert self._paging.cursor is not None  # noqa: S101 - asked by the caller
        cursor = self._paging.cursor(tree)
        if is_empty(cursor) and (cursor is not MISSING or self._paging.total_rows):
            return False
        if not isinstance(cursor, str | int) or isinstance(cursor, bool):
            raise SchemaDrift(at=self._rows_path, expected="cursor")
        self.cursor = str(cursor)
        if self.cursor in self._cursors:
            raise SchemaDrift(at=self._rows_path, expected="a new cursor")
        self._cursors.add(self.cursor)
        return True


def promises(paging: Paging, tree: Tree) -> bool:
    """Whether a reply without record says all the same that there are rows."""
    if paging.total_rows and not is_empty(paging.total_rows(tree)) and _count(paging.total_rows, tree):
        return True
    if paging.more and paging.more(tree, 0):
        return True
    return paging.cursor is not None and not is_empty(paging.cursor(tree))


def _count(get: Get, tree: Tree) -> int:
    try:
        return parse_count(get(tree))
    except InvalidValue:
        raise SchemaDrift(at="paging", expected="count") from None
