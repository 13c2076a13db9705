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

from connectors.signing.verifying import Claim, Opener, SignedReplies, Verifier, Why, Window, lowered, refusal, same
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


class Heard(Moment):
    """The moment that somebody else's message names: its nonce may have any form."""

    def __post_init__(self) -> None:
        return


_FORMS: Mapping[TimeForm, tuple[str, timezone]] = {
    "rfc1123": ("%a, %d %b %Y %H:%M:%S GMT", UTC),
    "rfc3339": ("%Y-%m-%dT%H:%M:%SZ", UTC),
    "yyyy-MM-dd HH:mm:ss": ("%Y-%m-%d %H:%M:%S", _SHANGHAI),
    "yyyyMMddHHmmss": ("%Y%m%d%H%M%S", _SHANGHAI),
}


def heard(text: str, form: TimeForm, nonce: str) -> Heard:
    """Read strictly: only a text that ``Moment.text`` could have written. UpstreamSignature (malformed) for others."""
    try:
        if form in ("unix-s", "unix-ms"):
            if not (text.isascii() and text.isdigit()) or len(text) > 16:
                raise ValueError
            moment = Heard(int(text) / (1000 if form == "unix-ms" else 1), nonce)
        else:
            pattern, zone = _FORMS[form]
            moment = Heard(datetime.strptime(text, pattern).replace(tzinfo=zone).timestamp(), nonce)
        if moment.text(form) == text:
            return moment
    except (ValueError, OverflowError, OSError):
        pass
    raise refusal(Why.MALFORMED)


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
    """A scheme that adds headers to the encoded request and has nothing to renew. Who holds its secrets can also
    verify: the headers that it would have set are compared with those that came.

    ``signature_header`` (lower case) is the one whose difference is a forgery; any other names a key or an algorithm
    that is not the one agreed on.
    """

    window = Window(300, 300)
    signature_header: str
    aside = False
    folds_case = False
    signs_nonce = True

    @abstractmethod
    def headers(self, request: WireRequest, moment: Moment) -> dict[str, str]: ...

    @abstractmethod
    def canonical(self, request: WireRequest, moment: Moment, charset: str = "utf-8") -> str:
        """The text that is signed, with ``<name>`` where a secret stands."""

    @abstractmethod
    def moment_of(self, headers: Mapping[str, str]) -> Heard:
        """Time and nonce in headers with lower-case names; UpstreamSignature where they are missing or malformed."""

    async def sign(self, draft: Draft, moment: Moment, send: Send) -> WireRequest:  # noqa: ARG002
        request = draft.wire()
        return with_headers(request, self.headers(request, moment))

    def refused(self, request: WireRequest) -> bool:  # noqa: ARG002
        return False

    def explain(self, draft: Draft, moment: Moment) -> Explained:
        request = draft.wire()
        return Explained(self.canonical(request, moment, draft.charset), self.shown(request, moment))

    def shown(self, request: WireRequest, moment: Moment) -> dict[str, str]:
        """The headers as people may see them."""
        return self.headers(request, moment)

    def read(self, request: WireRequest) -> Claim:
        given = lowered(request.headers)
        moment = self.moment_of(given)
        right = lowered(self.headers(request, moment))
        if any(not given.get(name) for name in right):
            raise refusal(Why.MISSING)
        why = self.differs(given, right)
        # A nonce that nothing signs could be changed at will; a letter's case must not make a second one either.
        nonce = moment.nonce if moment.nonce and self.signs_nonce else right[self.signature_header]
        return Claim(self.canonical(request, moment), moment.unix, nonce, why)

    def differs(self, given: Mapping[str, str], right: Mapping[str, str]) -> Why | None:
        """What the headers that came say against those that would have been right; names are lower-case."""
        if any(not same(given[name], right[name]) for name in right if name != self.signature_header):
            return Why.UNKNOWN_KEY
        pair = given[self.signature_header], right[self.signature_header]
        return None if same(*((text.lower() for text in pair) if self.folds_case else pair)) else Why.FORGED


def with_headers(request: WireRequest, extra: Mapping[str, str]) -> WireRequest:
    return WireRequest(request.method, request.url, {**request.headers, **extra}, request.body)


def path_of(request: WireRequest) -> str:
    """The path as sent, percent-encoded, without the query."""
    _, _, rest = request.url.partition("://")
    return "/" + rest.partition("?")[0].partition("/")[2]


def query_of(request: WireRequest) -> str:
    """The query as sent, percent-encoded."""
    return request.url.partition("?")[2]


class NoOptions(Model):
    """For schemes without switches."""


@dataclass(frozen=True)
class Scheme:
    """A named scheme: what its options may be, which secrets they need, and how a signer is made of both.

    ``verifies`` makes the receiving side for requests and callbacks, from the same options and secrets: an asymmetric
    scheme takes the secret ``platform_key``, or without it the public half of ``private_key``. ``opens`` makes it for
    replies, where they are not simply signed like requests. Both need ``verify_needs``.
    """

    options: type[Model]
    needs: Callable[[Any], Collection[str]]
    make: Callable[[Any, Mapping[str, str]], Signer]
    verify_needs: Callable[[Any], Collection[str]] | None = None
    verifies: Callable[[Any, Mapping[str, str]], Verifier] | None = None
    opens: Callable[[Any, Mapping[str, str], bool], Opener] | None = None

    def check(self, options: Mapping[str, Json], declared: Collection[str], *, table: str = "auth") -> Model:
        """The options as a model. ManifestError names the key (``at``, under ``table``: ``auth``, or ``reply`` for the
        receiving side) and what to do (``mend``)."""
        try:
            model = self.options.model_validate(dict(options))
        except ValidationError as err:
            first = err.errors(include_url=False, include_context=False, include_input=False)[0]
            at = ".".join([table, *map(str, first["loc"])])
            raise ManifestError(at=at, mend=first["msg"]) from None
        if table != "auth" and self.verifies is None:
            raise ManifestError(at=f"{table}.scheme", mend="a scheme that can verify (docs/signing.md)")
        for name in sorted(self._needed(model, table)):
            if name not in declared:
                raise ManifestError(at="auth.secrets", mend=f"declare the secret {name}, which the scheme needs")
        return model

    def build(self, options: Mapping[str, Json], secrets: Mapping[str, str]) -> Signer:
        """ManifestError for the options; ConfigurationError (``at``: ``secrets.NAME``) for a secret that is empty
        or does not have its form. ``secrets`` holds the values by the names that the manifest declares."""
        return self.make(self._filled(options, secrets, "auth"), secrets)

    def verifier(self, options: Mapping[str, Json], secrets: Mapping[str, str]) -> Verifier:
        """For messages that are signed with the same options; errors as ``build``. With a key of our own and none of
        the platform it stands where the platform does: it verifies what ``build`` with the same secrets signs."""
        own = {"private_key", "shared_key"} & secrets.keys() and not {
            "platform_key",
            "platform_key_id",
        } & secrets.keys()
        model = self._filled(options, secrets, "auth" if own else "reply")
        if self.verifies is None:
            raise ManifestError(at="auth.scheme", mend="a scheme that can verify (docs/signing.md)")
        return self.verifies(model, secrets)

    def opener(self, options: Mapping[str, Json], secrets: Mapping[str, str], *, bound: bool = False) -> Opener:
        """For replies; errors as ``build``. ``bound``: they repeat the request's nonce."""
        model = self._filled(options, secrets, "reply")
        if self.opens is not None:
            return self.opens(model, secrets, bound)
        assert self.verifies is not None  # noqa: S101 - checked with the options
        return SignedReplies(self.verifies(model, secrets), bound=bound)

    def _filled(self, options: Mapping[str, Json], secrets: Mapping[str, str], table: str) -> Model:
        model = self.check(options, secrets, table=table)
        for name in sorted(self._needed(model, table)):
            if not secrets[name]:
                raise ConfigurationError(at=f"secrets.{name}", mend="give it a value")
        return model

    def _needed(self, model: Model, table: str) -> Collection[str]:
        return self.needs(model) if table == "auth" or self.verify_needs is None else self.verify_needs(model)


def header_scheme(
    options: type[Model],
    needs: Callable[[Any], Collection[str]],
    make: Callable[[Any, Mapping[str, str]], HeaderSigner],
) -> Scheme:
    """A scheme of shared secrets: one object signs and verifies."""
    return Scheme(options, needs, make, needs, make)
