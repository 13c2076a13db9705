"""What every signing scheme is: options checked at load, secrets by name, a request signed afresh per attempt."""

import re
import secrets as randomness
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import formatdate
from functools import lru_cache
from typing import Any, Literal, Protocol

from pydantic import ValidationError

from connectors.wire import Draft, Send, WireRequest
from schemas.base import Json, Model
from schemas.errors import ConfigurationError, InvalidValue, ManifestError

TimeForm = Literal["unix-s", "unix-ms", "rfc1123", "rfc3339", "yyyy-MM-dd HH:mm:ss", "yyyyMMddHHmmss"]
"""``rfc3339`` is UTC with Z and whole seconds; the last two are wall time in Asia/Shanghai."""

_SHANGHAI = timezone(timedelta(hours=8))
_NONCE = re.compile(r"[0-9A-Za-z]{10,20}")


@dataclass(frozen=True, slots=True)
class Moment:
    """When and with which nonce one attempt is signed.

    ``unix``: seconds since 1970 with fractions. ``nonce``: 10 to 20 ASCII letters and digits, the length of the
    strictest gateway known.
    """

    unix: float
    nonce: str

    def __post_init__(self) -> None:
        if not _NONCE.fullmatch(self.nonce):
            raise InvalidValue(what="nonce")

    def text(self, form: TimeForm) -> str:
        return str(round(self.unix * 1000)) if form == "unix-ms" else _text_of_second(int(self.unix), form)


@lru_cache(maxsize=64)
def _text_of_second(second: int, form: TimeForm) -> str:
    """Kept, because all requests of one second share it and formatting costs more than an HMAC."""
    if form == "unix-s":
        return str(second)
    if form == "rfc1123":
        return formatdate(second, usegmt=True)
    if form == "rfc3339":
        return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    wall = datetime.fromtimestamp(second, _SHANGHAI)
    return wall.strftime("%Y-%m-%d %H:%M:%S" if form == "yyyy-MM-dd HH:mm:ss" else "%Y%m%d%H%M%S")


def new_nonce() -> str:
    """16 hexadecimal digits: 64 bits that no earlier request had."""
    return randomness.token_hex(8)


@dataclass(frozen=True, slots=True)
class Explained:
    """What ``sign`` would do, for people: the signed text with ``<name>`` where a secret stands, and what is added."""

    canonical: str
    headers: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)


class Signer(Protocol):
    """One scheme with one platform's options and secrets; shared by all requests to that platform."""

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:
        """Encode and sign. ``send`` fetches a token where the scheme needs one; its errors go through."""

    def refused(self, request: WireRequest) -> bool:
        """The platform refused the credentials of ``request``. True: they were renewed, one more try makes sense."""

    def explain(self, draft: Draft, moment: Moment) -> Explained: ...


class HeaderSigner(ABC):
    """A scheme that adds headers to the encoded request and has nothing to renew."""

    @abstractmethod
    def headers(self, draft: Draft, request: WireRequest, moment: Moment) -> dict[str, str]: ...

    @abstractmethod
    def explain(self, draft: Draft, moment: Moment) -> Explained: ...

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        request = draft.wire()
        return with_headers(request, self.headers(draft, request, moment))

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False


def with_headers(request: WireRequest, extra: Mapping[str, str]) -> WireRequest:
    return WireRequest(request.method, request.url, {**request.headers, **extra}, request.body)


def path_of(request: WireRequest) -> str:
    """The path as sent, percent-encoded, without the query."""
    _, _, rest = request.url.partition("://")
    return "/" + rest.partition("?")[0].partition("/")[2]


class NoOptions(Model):
    """For schemes without switches."""


@dataclass(frozen=True)
class Scheme:
    """A named scheme: what its options may be, which secrets they need, and how a signer is made of both."""

    options: type[Model]
    needs: Callable[[Any], Collection[str]]
    make: Callable[[Any, Mapping[str, str]], Signer]

    def check(self, options: Mapping[str, Json], declared: Collection[str]) -> Model:
        """The options as a model. ManifestError names the key (``at``, under ``auth``) and what to do (``mend``)."""
        try:
            model = self.options.model_validate(dict(options))
        except ValidationError as err:
            first = err.errors(include_url=False, include_context=False, include_input=False)[0]
            at = ".".join(["auth", *map(str, first["loc"])])
            raise ManifestError(at=at, mend=first["msg"]) from None
        for name in sorted(self.needs(model)):
            if name not in declared:
                raise ManifestError(at="auth.secrets", mend=f"declare the secret {name}, which the scheme needs")
        return model

    def build(self, options: Mapping[str, Json], secrets: Mapping[str, str]) -> Signer:
        """ManifestError for the options; ConfigurationError (``at``: ``secrets.NAME``) for a secret that is empty
        or does not have its form. ``secrets`` holds the values by the names that the manifest declares."""
        model = self.check(options, secrets)
        for name in sorted(self.needs(model)):
            if not secrets[name]:
                raise ConfigurationError(at=f"secrets.{name}", mend="give it a value")
        return self.make(model, secrets)
