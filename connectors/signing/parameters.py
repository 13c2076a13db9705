"""Schemes that sign a request's parameters: sorted ``k=v`` joined by ``&``, the signature a parameter beside them."""

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Annotated
from urllib.parse import parse_qsl

import orjson
from pydantic import Field

from connectors.json_tree import parse_json
from connectors.signing.base import Moment, TimeForm, heard, query_of
from connectors.signing.template import ATTEMPT, Facts, Template, compile_template, secret_names
from connectors.signing.verifying import Claim, Why, Window, lowered, refusal, required, same
from connectors.wire import Draft, WireRequest
from schemas.base import Json, Model, ShortText
from schemas.errors import UpstreamError


class ParameterOptions(Model):
    """``add``: parameters that every request gets before it is signed; texts with {ts}, {nonce} and secrets.

    ``sign``: the parameter that takes the signature. ``skip``: parameters sent and not signed. ``skip_empty``:
    empty texts are sent and not signed.
    """

    add: Annotated[dict[str, Template], Field(default_factory=dict)]
    ts: TimeForm
    sign: ShortText = "sign"
    skip: Annotated[list[str], Field(default_factory=list)]
    skip_empty: bool = True

    def named(self) -> set[str]:
        return secret_names(self.add.values(), ATTEMPT)


class Parameters:
    """Adds the declared parameters to a draft and gives the text that is signed.

    They go into the body where the request has one, else into the query. A null member is not sent.
    """

    def __init__(self, options: ParameterOptions, secrets: Mapping[str, str] | None) -> None:
        self._ts, self._skip_empty = options.ts, options.skip_empty
        self._add = [(name, compile_template(text, ATTEMPT, secrets)) for name, text in options.add.items()]
        self._unsigned = frozenset([options.sign, *options.skip])

    def complete(self, draft: Draft, moment: Moment) -> tuple[Draft, dict[str, str]]:
        facts = Facts(moment.text(self._ts), moment.nonce)
        added = {name: render(facts).decode() for name, render in self._add}
        return with_parameters(draft, added), added

    def text(self, draft: Draft) -> str:
        """Raw values in ASCII order of their names; what is not a text stands as its JSON text, as it is sent."""
        return self.joined(draft.query if draft.body is None else draft.body.items())

    def joined(self, pairs: Iterable[tuple[str, Json]]) -> str:
        kept = [(k, v if isinstance(v, str) else orjson.dumps(v).decode()) for k, v in pairs if k not in self._unsigned]
        return "&".join([f"{k}={v}" for k, v in sorted(kept) if v or not self._skip_empty])


def with_parameters(draft: Draft, extra: Mapping[str, str]) -> Draft:
    if draft.body is None:
        return draft.with_query((*draft.query, *extra.items()))
    return draft.with_body({k: v for k, v in {**draft.body, **extra}.items() if v is not None})


Check = Callable[[bytes, str], bool]
"""(signed text, signature text) -> whether it holds; False too for a signature that has not its form."""


class ParameterVerifier:
    """The receiving side. A message must carry ``{ts}``, and ``{nonce}`` where the options add one, each alone in a
    parameter that is signed; a parameter that is a secret alone says whose message it is.

    ``suffix`` stands behind the text, ``masked_suffix`` for people. ``hidden``: parameters that people see as
    ``<name>``.
    """

    window = Window(300, 300)
    aside = False

    def __init__(
        self,
        options: ParameterOptions,
        secrets: Mapping[str, str],
        check: Check,
        suffix: str = "",
        masked_suffix: str = "",
        hidden: Iterable[str] = (),
    ) -> None:
        self._sign, self._ts, self._check = options.sign, options.ts, check
        self._suffix, self._masked_suffix, self._hidden = suffix, masked_suffix, tuple(hidden)
        self._parameters = Parameters(options, secrets)
        unsigned = {options.sign, *options.skip}
        alone = {text: name for name, text in options.add.items() if name not in unsigned}
        self._ts_name, self._nonce_name = alone.get("{ts}", ""), alone.get("{nonce}", "")
        self._own = {name: value for held, value in secrets.items() if (name := alone.get(f"{{{held}}}"))}

    def read(self, request: WireRequest) -> Claim:
        given, charset = parameters_of(request)
        signature = given.get(self._sign)
        if not isinstance(signature, str) or not signature:
            raise refusal(Why.MISSING)
        texts = texts_of(given)
        nonce = required(texts, self._nonce_name) if self._nonce_name else ""
        moment = heard(required(texts, self._ts_name), self._ts, nonce)
        try:
            text = self._parameters.joined(given.items())
            signed = (text + self._suffix).encode(charset)
        except (TypeError, ValueError):
            raise refusal(Why.MALFORMED) from None
        why = None
        if any(not same(texts.get(name, ""), value) for name, value in self._own.items()):
            why = Why.UNKNOWN_KEY
        elif not self._check(signed, signature):
            why = Why.FORGED
        masked = {**given, **{name: f"<{name}>" for name in (*self._own, *self._hidden)}}
        canonical = self._parameters.joined(masked.items()) + self._masked_suffix
        # Without a nonce the text itself, which the signature covers: many signatures can stand for one text.
        return Claim(canonical, moment.unix, nonce or text, why)


def parameters_of(request: WireRequest) -> tuple[dict[str, Json], str]:
    """The members of a JSON body or of a form, or of the query where there is no body, and their charset.

    UpstreamSignature (malformed) for anything else, and for a name that comes twice.
    """
    kind, _, rest = lowered(request.headers).get("content-type", "").partition(";")
    charset = rest.partition("charset=")[2].strip(' "').lower() or "utf-8"
    try:
        if request.body and "json" in kind:
            tree = parse_json(request.body.decode(charset))
            if not isinstance(tree, dict):
                raise ValueError
            return {k: str(v) if isinstance(v, Decimal) else v for k, v in tree.items() if v is not None}, charset  # type: ignore[misc]
        text = request.body.decode("ascii") if request.body else query_of(request)
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), encoding=charset, errors="strict")
    except (ValueError, LookupError, UpstreamError):
        raise refusal(Why.MALFORMED) from None
    found: dict[str, Json] = dict(pairs)
    if len(found) != len(pairs):
        raise refusal(Why.MALFORMED)
    return found, charset


def texts_of(members: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in members.items() if isinstance(value, str)}
