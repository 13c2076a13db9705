"""One file of files in one possible form, so that no byte of it can change unseen.

A ZIP archive (PKWARE APPNOTE 6.3): members stored, not compressed, in the order of their names, dated 1980-01-01, no
comments and no extra fields. Any tool opens it; ``unpack`` accepts only what ``pack`` writes.
"""

import struct
import zlib
from collections.abc import Mapping

MAX_ARCHIVE = 64 * 2**20
MAX_NAME = 400

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION = 20
_UTF8 = 0x800
_FIRST_DAY = 1 << 5 | 1
_MADE_ON_UNIX = 3 << 8 | _VERSION
_READABLE_FILE = 0o100644 << 16


class ArchiveError(Exception):
    """Not an archive as ``pack`` writes it."""


def pack(files: Mapping[str, bytes]) -> bytes:
    body, central = bytearray(), bytearray()
    for name, data in sorted(files.items()):
        path = name.encode()
        common = (_UTF8, 0, 0, _FIRST_DAY, zlib.crc32(data), len(data), len(data), len(path), 0)
        central += _CENTRAL.pack(b"PK\x01\x02", _MADE_ON_UNIX, _VERSION, *common, 0, 0, 0, _READABLE_FILE, len(body))
        central += path
        body += _LOCAL.pack(b"PK\x03\x04", _VERSION, *common) + path + data
    count = len(files)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(central), len(body), 0)
    return bytes(body + central + end)


def unpack(archive: bytes) -> dict[str, bytes]:
    """Raises ArchiveError."""
    if len(archive) > MAX_ARCHIVE:
        raise ArchiveError("too large")
    files: dict[str, bytes] = {}
    at = 0
    try:
        while archive.startswith(b"PK\x03\x04", at):
            *_, size, length, _extra = _LOCAL.unpack_from(archive, at)
            at += _LOCAL.size
            name = archive[at : at + length].decode()
            files[name] = archive[at + length : at + length + size]
            at += length + size
        if pack(files) == archive:
            return files
    except (struct.error, UnicodeDecodeError):
        pass
    raise ArchiveError("not a ZIP file as an evidence bundle is written, or not a whole one")
