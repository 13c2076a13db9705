"""Time-stamps of an export: signed heads, and what a time-stamping authority answered for each (RFC 3161).

    timestamp/SIZE.checkpoint    a head of SIZE entries as the log signed it
    timestamp/SIZE.tsr           the authority's reply (RFC 3161 section 2.4.2, DER) over the SHA-256 of that file

Checked here: both files are there, the head is one of this log's past, and its SHA-256 stands in the reply. Whether the
authority signed the reply, and when, ``openssl ts -verify`` says: its certificates have nothing to do with the log.
"""

import re
from collections.abc import Collection
from hashlib import sha256

from consent.log.report import Problem
from consent.log.tiles import MAX_STAMP, MAX_TEXT, Files, stamp_paths
from consent.log.trust import Broken, Older

_PATH = re.compile(r"timestamp/([1-9][0-9]{0,18})\.(?:checkpoint|tsr)")


def stamped_sizes(paths: Collection[str]) -> tuple[int, ...]:
    """The sizes that an export with these paths has a stamp for, or half of one; smallest first."""
    return tuple(sorted({int(match[1]) for match in map(_PATH.fullmatch, paths) if match}))


def read_stamp(files: Files, size: int) -> Older:
    """The stamped head of ``size`` entries, not yet held against the log. Raises ``TileError`` or ``Broken``."""
    head, reply = stamp_paths(size)
    data = files.read(head, MAX_TEXT)
    if sha256(data).digest() not in files.read(reply, MAX_STAMP):
        raise Broken(Problem("timestamp", reply, f"is not over the SHA-256 of {head}"))
    try:
        stamped = Older("stamped", head, data.decode())
    except UnicodeDecodeError:
        raise Broken(Problem("timestamp", head, "not UTF-8")) from None
    if stamped.checkpoint().size != size:
        raise stamped.wrong("of another size than its name says")
    return stamped
