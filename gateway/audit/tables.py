"""Entries as a file: CSV, JSON lines or a workbook. The same entries give the same bytes."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from schemas.errors import ConfigurationError
from schemas.events import EVENTS

try:
    import xlsxwriter
except ImportError:  # the extra `reports` is not installed
    xlsxwriter = None

Form = Literal["csv", "jsonl", "xlsx"]
Row = tuple[int, dict[str, Any]]
"""Index and entry."""

COLUMNS = ("index", "time", "event", "事件", "actor", "consent", "subject", "code", "entry")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def guarded(text: str) -> str:
    """Text that a spreadsheet would take for a formula, also in full width, gets an apostrophe before it (OWASP, CSV
    Injection)."""
    return "'" + text if text.startswith(_FORMULA) else text


def written(rows: Sequence[Row], form: Form) -> bytes:
    """Raises ConfigurationError where a workbook is asked for and cannot be written here."""
    if form == "jsonl":
        return b"".join(orjson.dumps({"index": index, "entry": entry}) + b"\n" for index, entry in rows)
    return _workbook(rows) if form == "xlsx" else _csv(rows)


def _cells(index: int, entry: dict[str, Any]) -> list[str]:
    said = [str(entry.get(name) or "") for name in ("actor", "consent", "subject", "code")]
    kind = EVENTS.get(entry["event"])
    whole = orjson.dumps(entry, option=orjson.OPT_SORT_KEYS).decode()
    return [str(index), entry["time"], entry["event"], kind.zh if kind else "", *said, whole]


def _csv(rows: Sequence[Row]) -> bytes:
    """RFC 4180 in UTF-8 with a byte order mark: without it Excel reads Chinese in a code page."""
    text = io.StringIO()
    sheet = csv.writer(text)
    sheet.writerow(COLUMNS)
    sheet.writerows([guarded(cell) for cell in _cells(*row)] for row in rows)
    return text.getvalue().encode("utf-8-sig")


def _workbook(rows: Sequence[Row]) -> bytes:
    if xlsxwriter is None:
        raise ConfigurationError(at="format", mend="xlsx needs the extra `reports`; csv and jsonl do not")
    held = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    with xlsxwriter.Workbook(held, options) as book:
        # Not the present time: the same entries are to give the same bytes.
        made = datetime.fromisoformat(rows[-1][1]["time"]) if rows else datetime(2000, 1, 1, tzinfo=UTC)
        book.set_properties({"created": made.replace(tzinfo=None)})
        sheet = book.add_worksheet("log")
        for column, name in enumerate(COLUMNS):
            sheet.write_string(0, column, name)
        for line, row in enumerate(rows, 1):
            for column, cell in enumerate(_cells(*row)):
                sheet.write_string(line, column, cell)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, len(rows), len(COLUMNS) - 1)
    return held.getvalue()
