"""Invented enterprises and persons: who they are, and nothing that a real register could hold.

The region part 990000 belongs to no division (GB/T 2260 assigns no 99), the organisation code holds the number of
the enterprise, both check characters hold (GB 32100, GB 11714), and every name says 虚构 and （沙箱）.
"""

from functools import lru_cache

from schemas.identifiers import organisation_code_check, registration_check, uscc_check

REGION = "990000"
CAPACITY = 31**6
"""How many enterprises one seed can have."""

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_OURS, _OTHERS, _CORES = "XQ", "XR", "XC"
_BRANDS = "禾川晨屿澄野朴岚砚栖筱泽黎汀牧榆霁穗芷峤"
_SURNAMES = "陈周林沈顾陆方许邵丁"


def _code(prefix: str, n: int) -> str:
    digits = ""
    for _ in range(6):
        n, rest = divmod(n, 31)
        digits = _ALPHABET[rest] + digits
    organisation = prefix + digits
    first17 = f"91{REGION}{organisation}{organisation_code_check(organisation)}"
    return first17 + uscc_check(first17)


def uscc_of(n: int) -> str:
    """The code of enterprise ``n``, 0 <= n < CAPACITY."""
    return _code(_OURS, n)


@lru_cache(8192)
def number_of(uscc: str) -> int | None:
    """The inverse of ``uscc_of``; None for every text that it does not give."""
    if len(uscc) != 18:
        return None
    n = 0
    for character in uscc[10:16]:
        value = _ALPHABET.find(character)
        if value < 0:
            return None
        n = n * 31 + value
    return n if uscc_of(n) == uscc else None


def _brand(n: int) -> str:
    first, second = divmod(n * 7 % len(_BRANDS) ** 2, len(_BRANDS))
    return _BRANDS[first] + _BRANDS[second]


def name_of(n: int, trade: str) -> str:
    return f"虚构{_brand(n)}{n}号{trade}（沙箱）有限公司"


def other_firm(n: int) -> tuple[str, str]:
    """Name and code of an invented firm outside the population: a debtor, another owner."""
    return f"虚构往来{n}号商贸（沙箱）有限公司", _code(_OTHERS, n % CAPACITY)


CORE = ("虚构核心制造集团（沙箱）股份有限公司", _code(_CORES, 0))
"""Name and code of the one core company whose supply chain the sandbox knows."""


def registration_number_of(n: int) -> str:
    first14 = f"{REGION}{n % 10**8:08d}"
    return first14 + registration_check(first14)


def person(k: int) -> str:
    """A name as platforms mask it: the family name stays, each further character is ``*``."""
    return _SURNAMES[k % len(_SURNAMES)] + "*" * (1 + k // len(_SURNAMES) % 2)
