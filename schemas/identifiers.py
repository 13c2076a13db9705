"""Identifiers of Chinese enterprises and persons: check characters, repair rules, comparison of names.

Repair follows one rule everywhere: mend what a keyboard or a file format did to a code (blanks, full-width forms,
case, letters that look like digits), say so, and require the check character afterwards. Nothing here knows which
region codes or authorities exist: retired ones stay valid on old licences.
"""

import re
import unicodedata
from collections.abc import Iterable
from datetime import date
from enum import StrEnum
from operator import mul
from typing import NamedTuple

from schemas.errors import InvalidIdentifier

USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_VALUE = {c: i for i, c in enumerate(USCC_ALPHABET)}
_USCC_WEIGHTS = tuple(pow(3, i, 31) for i in range(17))
# All zeros satisfy the arithmetic and stand in no register.
_USCC_FORM = re.compile(r"(?!0{18})[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)
_ORGANISATION_FORM = re.compile(r"([0-9A-Z]{8})-?([0-9X])")
_REGISTRATION_FORM = re.compile(r"(?!0{15})[0-9]{15}")
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_RESIDENT_FORM = re.compile(r"[1-9][0-9]{5}([0-9]{8})[0-9]{3}[0-9X]|[1-9][0-9]{5}([0-9]{6})[0-9]{3}")

_ZERO_WIDTH = re.compile("[\u00ad\u180e\u200b-\u200f\u2060\ufeff]")
_LOOK_ALIKES = str.maketrans("IO", "10")
_LONGEST = 64


class Reading(NamedTuple):
    """A value that holds its check. ``repairs`` and ``warnings`` are fixed phrases in the order of the rules."""

    value: str
    repairs: tuple[str, ...]
    warnings: tuple[str, ...]


def _repair(text: str, what: str, *, look_alikes: bool) -> tuple[str, tuple[str, ...]]:
    if len(text) > _LONGEST:
        raise InvalidIdentifier(what=what, fault="form")
    repairs = []
    visible = _ZERO_WIDTH.sub("", text)
    if visible != text:
        repairs.append("zero-width mark")
    if visible != visible.lstrip():
        repairs.append("leading blank")
    if visible != visible.rstrip():
        repairs.append("trailing blank")
    stripped = visible.strip()
    folded = unicodedata.normalize("NFKC", stripped)
    if not folded.isascii():
        raise InvalidIdentifier(what=what, fault="form")
    if folded != stripped:
        repairs.append("full-width")
    upper = folded.upper()
    if upper != folded:
        repairs.append("lower case")
    if not look_alikes:
        return upper, tuple(repairs)
    if "I" in upper:
        repairs.append("I read as 1")
    if "O" in upper:
        repairs.append("O read as 0")
    return upper.translate(_LOOK_ALIKES), tuple(repairs)


def uscc_check(first17: str) -> str:
    """The 18th character of a unified social credit code (GB 32100-2015, annex A) for its first 17."""
    try:
        values = [_USCC_VALUE[c] for c in first17]
    except KeyError:
        values = []
    if len(values) != len(_USCC_WEIGHTS):
        raise InvalidIdentifier(what="uscc", fault="form")
    return USCC_ALPHABET[-sum(map(mul, values, _USCC_WEIGHTS)) % 31]


def is_uscc(text: str) -> bool:
    """Whether ``text`` is a code in exact form whose check character holds; nothing is repaired."""
    return _USCC_FORM.fullmatch(text) is not None and uscc_check(text[:17]) == text[17]


def parse_uscc(text: str) -> Reading:
    """Read a unified social credit code (GB 32100-2015) as registers and spreadsheets hold it.

    The organisation code inside (places 9 to 17) has a check character of its own; codes were issued with a wrong
    one, so its failure is a warning. Raises InvalidIdentifier with ``fault`` form or check.
    """
    value, repairs = (text, ()) if is_uscc(text) else _repair(text, "uscc", look_alikes=True)
    if not _USCC_FORM.fullmatch(value):
        raise InvalidIdentifier(what="uscc", fault="form")
    if uscc_check(value[:17]) != value[17]:
        raise InvalidIdentifier(what="uscc", fault="check")
    inner_holds = organisation_code_check(value[8:16]) == value[16]
    return Reading(value, repairs, () if inner_holds else ("organisation code check fails",))


def organisation_code_check(first8: str) -> str:
    """The 9th character of an organisation code (GB 11714-1997): a digit, or X for ten."""
    if len(first8) != 8 or not (first8.isascii() and first8.isalnum() and first8 == first8.upper()):
        raise InvalidIdentifier(what="organisation_code", fault="form")
    total = sum(int(c, 36) * w for c, w in zip(first8, _ORGANISATION_WEIGHTS, strict=True))
    return "0123456789X"[-total % 11]


def parse_organisation_code(text: str) -> Reading:
    """Read an organisation code with or without its hyphen; the value has none.

    Its alphabet holds I and O, so these are not read as digits.
    """
    folded, repairs = _repair(text, "organisation_code", look_alikes=False)
    match = _ORGANISATION_FORM.fullmatch(folded)
    if not match:
        raise InvalidIdentifier(what="organisation_code", fault="form")
    if organisation_code_check(match[1]) != match[2]:
        raise InvalidIdentifier(what="organisation_code", fault="check")
    return Reading(match[1] + match[2], repairs, ())


def registration_check(first14: str) -> str:
    """The 15th digit of a business registration number: ISO/IEC 7064 MOD 11,10 over the first 14 digits."""
    if len(first14) != 14 or not (first14.isascii() and first14.isdigit()):
        raise InvalidIdentifier(what="registration_number", fault="form")
    product = 10
    for c in first14:
        product = ((product + int(c)) % 10 or 10) * 2 % 11
    return str((11 - product) % 10)


def parse_registration_number(text: str) -> Reading:
    """Read a 15-digit business registration number, the identifier before 2015."""
    value, repairs = _repair(text, "registration_number", look_alikes=True)
    if not _REGISTRATION_FORM.fullmatch(value):
        raise InvalidIdentifier(what="registration_number", fault="form")
    if registration_check(value[:14]) != value[14]:
        raise InvalidIdentifier(what="registration_number", fault="check")
    return Reading(value, repairs, ())


def resident_check(first17: str) -> str:
    """The 18th character of a citizen's identity number (GB 11643-1999, ISO 7064 MOD 11-2) for its first 17."""
    if len(first17) != 17 or not (first17.isascii() and first17.isdigit()):
        raise InvalidIdentifier(what="resident_id", fault="form")
    return "10X98765432"[sum(int(c) * w for c, w in zip(first17, _RESIDENT_WEIGHTS, strict=True)) % 11]


def parse_resident_id(text: str) -> Reading:
    """Read a citizen's identity number of 18 places, or of 15 as issued until 1999 (it has no check: a warning).

    The birth date inside must be a real day. Letters are never read as digits: the old form could not prove it.
    Raises InvalidIdentifier with ``fault`` form, date or check.
    """
    value, repairs = _repair(text, "resident_id", look_alikes=False)
    match = _RESIDENT_FORM.fullmatch(value)
    if not match:
        raise InvalidIdentifier(what="resident_id", fault="form")
    birth = match[1] or "19" + match[2]
    try:
        date(int(birth[:4]), int(birth[4:6]), int(birth[6:]))
    except ValueError:
        raise InvalidIdentifier(what="resident_id", fault="date") from None
    if match[1] is None:
        return Reading(value, repairs, ("15-digit form has no check",))
    if resident_check(value[:17]) != value[17]:
        raise InvalidIdentifier(what="resident_id", fault="check")
    return Reading(value, repairs, ())


class NameMatch(StrEnum):
    SAME = "same"
    FORMER = "former"
    MASKED = "masked"
    DIFFERENT = "different"


_BRACKETS = str.maketrans("〔〕【】[]", "()()()")
_INVISIBLE = re.compile(rf"\s|{_ZERO_WIDTH.pattern}")


def normalise_name(text: str) -> str:
    """The form in which names are compared: NFKC, one bracket form, no blanks and no zero-width marks.

    For comparing only; a record keeps the registered form with its full-width brackets.
    """
    # Decomposed first: some marks become a blank and a combining mark, which then joins the letter before it.
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKD", text))
    return unicodedata.normalize("NFKC", visible).translate(_BRACKETS)


def compare_names(found: str, registered: str, former: Iterable[str] = ()) -> NameMatch:
    """Compare a name that a source gave with the registered name, then with the subject's former names.

    MASKED says that a name carries ``*`` and nothing that is visible contradicts; it proves nothing. One run of
    ``*`` stands for one or more characters, since sources do not keep the length. A branch has its own name and
    its own code: it is DIFFERENT from its parent. An empty name is like no other.
    """
    a, b = normalise_name(found), normalise_name(registered)
    if not a or not b:
        return NameMatch.DIFFERENT
    if "*" not in a and a == b:
        return NameMatch.SAME
    earlier = [normalise_name(name) for name in former]
    if "*" not in a and a in earlier:
        return NameMatch.FORMER
    if any(_compatible(a, name) for name in (b, *earlier) if "*" in a + name):
        return NameMatch.MASKED
    return NameMatch.DIFFERENT


_MASK_RUN = re.compile(r"\*+")


def _compatible(a: str, b: str) -> bool:
    """Whether some name fits both patterns: a step of each, a run of ``*`` may stay where it is."""
    a, b = _MASK_RUN.sub("*", a), _MASK_RUN.sub("*", b)
    reached = {(0, 0)}
    frontier = [(0, 0)]
    while frontier:
        i, j = frontier.pop()
        if i == len(a) or j == len(b):
            continue
        # One character is read from both sides at once; a mask may read more.
        if a[i] == b[j] or "*" in (a[i], b[j]):
            steps = {(i + 1, j + 1)}
            if a[i] == "*":
                steps.add((i, j + 1))
            if b[j] == "*":
                steps.add((i + 1, j))
            new = steps - reached
            reached |= new
            frontier.extend(new)
    return (len(a), len(b)) in reached
