"""Who is at the other end: the seam behind which a person's identity is checked before a consent counts.

The sandbox shows a one-time code on the page itself, which proves nothing and is refused in production. What a real
gateway puts here (电子营业执照, a legal person's certificate, a face check of the legal representative) is an outside
service with a contract of its own; it fits this shape when it answers with a code or a ticket that the page can post.
"""

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

CODE_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Person:
    """Who is to be checked, for which request and on which visit (one browser). ``ref`` is the lender's reference."""

    request_id: str
    visit: str
    uscc: str
    role: str
    ref: str


class IdentityCheck(Protocol):
    """``name`` goes into the consent as the way in which the signer was checked."""

    @property
    def name(self) -> str: ...

    async def begin(self, person: Person, now: datetime) -> str | None:
        """Start the check (send a code, open a session); gives what the page itself is to show, mostly nothing."""

    async def holds(self, person: Person, answer: str, now: datetime) -> bool:
        """Whether ``answer`` shows that this person is there. Asked at most a few times per request."""


class SandboxCode:
    """Six digits per request, visit and ten minutes, shown on the page: for trying out, never for production."""

    name = "sandbox_code"

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    async def begin(self, person: Person, now: datetime) -> str | None:
        return self._code(person, self._window(now))

    async def holds(self, person: Person, answer: str, now: datetime) -> bool:
        window = self._window(now)
        given = answer.strip().encode()
        # Also the code of the window before: one that was shown a moment ago must not lapse while it is typed.
        return any(hmac.compare_digest(self._code(person, w).encode(), given) for w in (window, window - 1))

    def _window(self, now: datetime) -> int:
        return int(now.timestamp()) // CODE_SECONDS

    def _code(self, person: Person, window: int) -> str:
        about = f"{person.request_id}\x00{person.visit}\x00{window}".encode()
        return f"{int.from_bytes(hmac.digest(self._secret, about, 'sha256')) % 1_000_000:06}"
