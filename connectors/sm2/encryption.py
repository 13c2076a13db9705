"""The text forms of an SM2 ciphertext (GB/T 32918.4, 6.1): C1 a point, C2 as long as the plaintext, C3 a SM3 digest.

The backends speak the SEQUENCE of GM/T 0009 (x, y, C3, C2); platforms mostly write the parts one behind the other.
"""

from typing import Literal

CipherForm = Literal["c1c3c2", "c1c2c3", "04c1c3c2", "04c1c2c3", "der"]
"""``04``: the point with the leading byte of its uncompressed form. The order of the parts is that of GB/T 32918.4-2016
or of its draft."""

_POINT, _HASH = 64, 32


def from_der(der: bytes, form: CipherForm) -> bytes:
    """ValueError for anything but one such SEQUENCE."""
    if form == "der":
        return der
    inner, rest = _element(der, 0x30)
    x, inner = _element(inner, 0x02)
    y, inner = _element(inner, 0x02)
    c3, inner = _element(inner, 0x04)
    c2, inner = _element(inner, 0x04)
    c1 = int.from_bytes(x).to_bytes(32) + int.from_bytes(y).to_bytes(32)
    if rest or inner:
        raise ValueError("more than one ciphertext")
    lead = b"\x04" if form.startswith("04") else b""
    return lead + c1 + (c3 + c2 if form.endswith("c1c3c2") else c2 + c3)


def to_der(data: bytes, form: CipherForm) -> bytes | None:
    """None for what has not the form. The point is checked by the backend."""
    if form == "der":
        return data
    if form.startswith("04"):
        if data[:1] != b"\x04":
            return None
        data = data[1:]
    c1, rest = data[:_POINT], data[_POINT:]
    if len(rest) <= _HASH:
        return None
    c3, c2 = (rest[:_HASH], rest[_HASH:]) if form.endswith("c1c3c2") else (rest[-_HASH:], rest[:-_HASH])
    return _tagged(0x30, _integer(c1[:32]) + _integer(c1[32:]) + _tagged(0x04, c3) + _tagged(0x04, c2))


def _integer(data: bytes) -> bytes:
    number = int.from_bytes(data)
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1))


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 128:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(length)]) + length + content


def _element(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """The content of the DER element that starts ``data``, and what follows it."""
    if data[:1] != bytes([tag]) or len(data) < 2:
        raise ValueError("not the DER element that was expected")
    head, size = 2, data[1]
    if size & 0x80:
        head = 2 + (size & 0x7F)
        size = int.from_bytes(data[2:head])
    if len(data) < head + size:
        raise ValueError("a DER element that is cut off")
    return data[head : head + size], data[head + size :]
