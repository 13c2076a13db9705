"""Invented texts in the place of real ones: the same original always gives the same, and none belongs to anybody.

The marks of what is invented are those of the sandbox: region 990000, which no division has (GB/T 2260), and names that
say 虚构 and （沙箱）. Check characters hold.
"""

import random
import re
import unicodedata
from collections.abc import Callable

from connectors.base import Subject
from schemas.errors import InvalidIdentifier
from schemas.identifiers import (
    NameMatch,
    compare_names,
    organisation_code_check,
    parse_organisation_code,
    parse_registration_number,
    parse_resident_id,
    parse_uscc,
    registration_check,
    resident_check,
    uscc_check,
)

REGION = "990000"
MARKS = "虚构录制 号（沙箱）有限公司 虚构文字"
"""What the invented texts have in common."""
_HAN = re.compile(r"[\u3007\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
_MOBILE = re.compile(r"(?:\+?86[- ]?)?1[3-9][0-9](?:[- ]?[0-9]{4}){2}")
_CARD = re.compile(r"[0-9]{15,19}")
_FIRM = re.compile(r".{2,}(公司|厂|店|社|中心|合作社|事务所|集团|银行|局|委员会|法院|协会|基金)\)?")
_PERSON = re.compile(r"[^\W\d_a-zA-Z*]{1,2}[^\W\d_a-zA-Z*·]*[*某]*[^\W\d_a-zA-Z*]*(·[^\W\d_a-zA-Z]+)?")
_LETTERS = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳午未申酉"
_BIRTH = "19900101"


def luhn_check(digits: str) -> str:
    """The last digit of a card number for those before it (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        doubled = int(character) * (2 if place % 2 == 0 else 1)
        total += doubled - 9 if doubled > 9 else doubled
    return str(-total % 10)


class Inventor:
    """``seed``: another one gives other texts, where one happened to look like an original."""

    def __init__(self, subject: Subject, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - nothing secret: what is made only has to differ
        self._count = seed * 1000
        self._made: dict[str, str] = {}
        self._asked = subject
        self.subject = Subject(
            self._uscc(subject.uscc),
            self._firm(subject.name),
            None if subject.registration_number is None else self._registration(subject.registration_number),
        )

    def identifier(self, text: str) -> str | None:
        """For what says by its form whose it is: a code, a number of a person, phone or card, an e-mail address, the
        name of the enterprise. None for any other text."""
        core = unicodedata.normalize("NFKC", text).strip()
        for reads, make in (
            (parse_uscc, self._uscc),
            (parse_resident_id, self._resident),
            (parse_registration_number, self._registration),
            (parse_organisation_code, self._organisation),
        ):
            try:
                value = reads(text).value
            except InvalidIdentifier:
                continue
            return _dressed(text, make(value))
        if _MOBILE.fullmatch(core):
            return _dressed(text, self._once("mobile", re.sub(r"[^0-9]", "", core)[-11:], lambda n: f"120{n:08d}"))
        if _CARD.fullmatch(core) and luhn_check(core[:-1]) == core[-1]:
            return _dressed(text, self._once("card", core, lambda n: _card(len(core), n)))
        if _EMAIL.fullmatch(core):
            return _dressed(text, self._once("email", core.lower(), lambda n: f"invented{n}@example.invalid"))
        match = compare_names(core, self._asked.name)
        if match is NameMatch.SAME:
            return _dressed(text, self.subject.name)
        if match is NameMatch.MASKED and _HAN.search(core):
            # Whatever of it was visible, the mask fits the invented name and no other says 虚构.
            return _dressed(text, f"虚构{'*' * max(1, core.count('*'))}公司")
        return None

    def text(self, text: str) -> str:
        """For any other text, one of its kind and about its length."""
        core = text.strip()
        if not core:
            return text
        if (found := self.identifier(text)) is not None:
            return found
        if not _HAN.search(core):
            return _dressed(text, self._once("plain", core, lambda _: self._alike(core)))
        if _FIRM.fullmatch(core):
            return _dressed(text, self._firm(core))
        if len(core) <= 6 and _PERSON.fullmatch(core):
            return _dressed(text, self._once("person", core, lambda n: _person(core, n)))
        return _dressed(text, self._once("words", core, lambda n: f"虚构文字{n}"))

    def member(self, key: str) -> str:
        """For the name of a member, an element or (behind @) an attribute."""
        return ("@" if key.startswith("@") else "") + self._once("member", key, lambda n: f"unknown{n}")

    def number(self, text: str) -> str:
        """For an amount: sign, point, separators and zeros stay, every other digit is another one."""
        return self._once("number", text, lambda _: "".join(self._digit(c) for c in text))

    def _once(self, kind: str, original: str, make: Callable[[int], str]) -> str:
        key = f"{kind}:{original}"
        if key not in self._made:
            self._count += 1
            self._made[key] = make(self._count)
        return self._made[key]

    def _digit(self, character: str) -> str:
        if not character.isdecimal() or unicodedata.digit(character) == 0:
            return character
        own = unicodedata.digit(character)
        other = self._random.choice([n for n in range(1, 10) if n != own])
        return chr(ord(character) - own + other)

    def _alike(self, core: str) -> str:
        def other(character: str) -> str:
            if character.isdecimal():
                return self._random.choice([n for n in "123456789" if n != character])
            if character.isascii() and character.isalpha():
                letters = "abcdefghjkmnpqrstuvwxyz"
                drawn = self._random.choice([c for c in letters if c != character.lower()])
                return drawn.upper() if character.isupper() else drawn
            return character if character.isascii() else "x"

        return "".join(map(other, core))

    def _uscc(self, value: str) -> str:
        def make(n: int) -> str:
            organisation = f"MR{n:06d}"
            first = f"91{REGION}{organisation}{organisation_code_check(organisation)}"
            return first + uscc_check(first)

        return self._once("uscc", value, make)

    def _organisation(self, value: str) -> str:
        return self._once("organisation", value, lambda n: f"MR{n:06d}" + organisation_code_check(f"MR{n:06d}"))

    def _registration(self, value: str) -> str:
        return self._once("registration", value, lambda n: f"{REGION}{n:08d}" + registration_check(f"{REGION}{n:08d}"))

    def _resident(self, value: str) -> str:
        def make(n: int) -> str:
            if len(value) == 15:
                return f"{REGION}{_BIRTH[2:]}{n % 1000:03d}"
            first = f"{REGION}{_BIRTH}{n % 1000:03d}"
            return first + resident_check(first)

        return self._once("resident", value, make)

    def _firm(self, name: str) -> str:
        return self._once("firm", name, lambda n: f"虚构录制{n}号（沙箱）有限公司")


def _dressed(text: str, invented: str) -> str:
    """With the blanks around it and in the case of the original, so that what a connector mends is there to mend."""
    core = text.strip()
    if core.isascii() and core != core.upper() and core == core.lower() and not _HAN.search(invented):
        invented = invented.lower()
    start = text.index(core) if core else 0
    return text[:start] + invented + text[start + len(core) :]


def _card(length: int, n: int) -> str:
    first = "999999" + f"{n:0{length - 7}d}"[-(length - 7) :]
    return first + luhn_check(first)


def _person(core: str, n: int) -> str:
    if "*" in core or "某" in core:
        return "虚" + core[1:] if len(core) == core.count("*") + core.count("某") + 1 else "虚" + "*" * (len(core) - 1)
    given = ""
    for _ in range(max(1, len(core) - 1)):
        n, rest = divmod(n, len(_LETTERS))
        given = _LETTERS[rest] + given
    return "虚" + given
