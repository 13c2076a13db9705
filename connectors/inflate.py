"""Content decoding of a reply's body (RFC 9110 section 8.4.1) with a cap that holds before the bytes are made."""

import zlib

from schemas.errors import UpstreamOversize, UpstreamProtocol, UpstreamTruncated

MAX_MEMBERS = 1000
"""Concatenated gzip members of one body (RFC 1952 section 2.2); honest servers send one."""


class Inflater:
    """One body: fed as it comes, at most ``limit`` bytes made. Raises the typed errors of connectors.transport."""

    def __init__(self, gzip: bool, limit: int) -> None:
        self._gzip = gzip
        self._limit = limit
        self._made = 0
        self._members = 0
        self._zlib: zlib._Decompress | None = None

    def feed(self, data: bytes) -> bytes:
        made: list[bytes] = []
        while data:
            if self._zlib is None or self._zlib.eof:
                self._zlib = self._next_member(data[0])
            try:
                # One byte over the cap tells a body that is too long from one that just fits.
                out = self._zlib.decompress(data, self._limit + 1 - self._made)
            except zlib.error:
                raise UpstreamProtocol(what="content_encoding") from None
            self._made += len(out)
            if self._made > self._limit:
                raise UpstreamOversize(limit=self._limit)
            made.append(out)
            data = self._zlib.unused_data
        return b"".join(made)

    def _next_member(self, first: int) -> "zlib._Decompress":
        self._members += 1
        if self._members > (MAX_MEMBERS if self._gzip else 1):
            raise UpstreamProtocol(what="content_encoding")
        if self._gzip:
            return zlib.decompressobj(31)
        # RFC 9110 section 8.4.1.2 means the zlib format by «deflate»; some servers send the bare stream.
        return zlib.decompressobj(15 if first & 0x8F == 0x08 else -15)

    def finish(self) -> None:
        if self._zlib is None or not self._zlib.eof:
            raise UpstreamTruncated


def inflater(coding: str | None, limit: int) -> Inflater | None:
    """For the Content-Encoding given; None where the body is as it is."""
    if coding is None:
        return None
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return None
    if coding in ("gzip", "x-gzip", "deflate"):
        return Inflater(coding != "deflate", limit)
    # br and zstd are never asked for; a list («gzip, gzip») is a nested bomb's form.
    raise UpstreamProtocol(what="content_encoding")
