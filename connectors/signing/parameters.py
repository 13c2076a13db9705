"""Schemes that sign a request's parameters: sorted ``k=v`` joined by ``&``, the signature a parameter beside them."""

from collections.abc import Iterable, Mapping
from typing import Annotated

import orjson
from pydantic import Field

from connectors.signing.base import Moment, TimeForm
from connectors.signing.template import ATTEMPT, Facts, Template, compile_template, secret_names
from connectors.wire import Draft
from schemas.base import Json, Model, ShortText


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
        pairs: Iterable[tuple[str, Json]] = draft.query if draft.body is None else draft.body.items()
        kept = [(k, v if isinstance(v, str) else orjson.dumps(v).decode()) for k, v in pairs if k not in self._unsigned]
        return "&".join([f"{k}={v}" for k, v in sorted(kept) if v or not self._skip_empty])


def with_parameters(draft: Draft, extra: Mapping[str, str]) -> Draft:
    if draft.body is None:
        return draft.with_query((*draft.query, *extra.items()))
    return draft.with_body({k: v for k, v in {**draft.body, **extra}.items() if v is not None})
