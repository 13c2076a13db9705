"""What a connector's ``manifest.toml`` may say: closed keys, read without running any code.

One path language everywhere: plain keys joined by dots (``body.list``), ``""`` for the whole reply. Equality is
typed: ``"0"`` is not ``0``. docs/manifest.md shows every key with its meaning; connectors.manifest compiles it.
"""

# ruff: noqa: RUF012 (pydantic copies a model's defaults for every instance)

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from schemas.base import Json, Model, Name, ShortText, Text

Path = Annotated[str, StringConstraints(pattern=r"^$|^[^.\s]+(\.[^.\s]+)*$", max_length=200)]
Duration = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}(ms|s|m|h|d)$")]
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}/(s|m|h)$")]
Window = Annotated[
    str,
    StringConstraints(
        pattern=r"^(daily|Mon|Tue|Wed|Thu|Fri|Sat|Sun) "
        r"([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9] [A-Za-z_]+/[A-Za-z_]+$"
    ),
]
Scalar = str | int | bool
Form = ShortText
"""A date form's name, one of schemas.dates."""


class Names(Model):
    zh: ShortText
    en: ShortText


class Auth(Model):
    """The signing scheme, the names of the secrets it needs, and beside them the scheme's own switches."""

    model_config = ConfigDict(extra="allow")

    scheme: Name
    secrets: list[Name] = []

    @property
    def options(self) -> Mapping[str, Json]:
        return self.model_extra or {}


class SignedReply(Model):
    """How the platform signs its replies: a scheme that can verify, and beside it the scheme's own switches. The keys
    are among the secrets of ``auth``. ``bound``: the reply repeats the nonce of the request."""

    model_config = ConfigDict(extra="allow")

    scheme: Name
    bound: bool = False

    @property
    def options(self) -> Mapping[str, Json]:
        return self.model_extra or {}


class TlsNames(Model):
    """Which secrets of ``auth`` hold this platform's own terms for TLS. ``client``: our certificate and its private
    key (PEM). ``authority``: the certificates that sign the platform's, in place of the system's (PEM). ``pins``: the
    SHA-256 of the public keys of its servers (base64, a comma between two)."""

    client: Name | None = None
    authority: Name | None = None
    pins: Name | None = None

    def named(self) -> list[Name]:
        return [name for name in (self.client, self.authority, self.pins) if name]


class Decode(Model):
    """``steps``: ``json``, ``xml``; ``at:PATH`` goes on with the text there; ``within:PATH`` lets the next step
    replace the text there by what it holds, so that the envelope stays readable."""

    charset: Annotated[list[ShortText], Field(min_length=1)] = ["utf-8"]
    steps: Annotated[list[ShortText], Field(min_length=1)] = ["json"]


class Rule(Model):
    """One condition on a reply or a row; every key given must hold, and every rule of ``and`` too."""

    at: Path | None = None
    equals: Scalar | None = None
    one_of: Annotated[list[Scalar], Field(min_length=1)] | None = None
    is_: Annotated[Literal["missing", "empty", "[]", "present"] | None, Field(alias="is")] = None
    status: Annotated[int, Field(ge=100, le=599)] | None = None
    and_: Annotated[list["Rule"], Field(alias="and")] = []

    @model_validator(mode="after")
    def _complete(self) -> "Rule":
        tests = [t for t in (self.equals, self.one_of, self.is_) if t is not None]
        if self.at is None and (tests or self.status is None):
            raise ValueError("give `at` with a test, or `status`")
        if self.at is not None and len(tests) != 1:
            raise ValueError("give exactly one of `equals`, `one_of`, `is` with `at`")
        return self


class RetryRule(Rule):
    """``after``: path of the seconds that the platform asks us to wait."""

    after: Path | None = None


class Echo(Model):
    """Where the reply names the enterprise it is about."""

    uscc: Path | None = None
    name: Path | None = None

    @model_validator(mode="after")
    def _some(self) -> "Echo":
        if self.uscc is None and self.name is None:
            raise ValueError("give `uscc` or `name`")
        return self


class Outcome(Model):
    """Tried in this order: denied, retry, no_record, success; a reply that none fits is a failure.

    ``status``: HTTP statuses whose body is read; any other is judged by rules without ``at``, then by HTTP's
    own meaning. ``code``: path of the platform's result code, named in errors.
    """

    status: Annotated[list[int], Field(min_length=1)] = [200]
    code: Path | None = None
    denied: list[Rule] = []
    retry: list[RetryRule] = []
    no_record: list[Rule] = []
    success: Annotated[list[Rule], Field(min_length=1)]
    echo: Echo | None = None


class Limits(Model):
    """``daily``: calls in a day of Asia/Shanghai, all processes together. ``timeout`` is per attempt;
    ``max_pages`` and ``max_rows`` per data set and period asked."""

    rate: Rate = "20/s"
    daily: Annotated[int, Field(ge=1, le=100_000_000)] | None = None
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 8
    timeout: Duration = "5s"
    attempts: Annotated[int, Field(ge=1, le=10)] = 3
    max_pages: Annotated[int, Field(ge=1, le=1000)] = 50
    max_rows: Annotated[int, Field(ge=1, le=100_000)] = 5000
    maintenance: list[Window] = []


class Request(Model):
    """A template: texts hold placeholders of a closed list, everything else is sent as it stands."""

    method: Literal["GET", "POST"] = "POST"
    path: Annotated[str, StringConstraints(pattern=r"^/[^?#\s]*$", max_length=500)]
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: dict[str, Any] | None = None
    encode: Literal["none", "json", "form", "xml"] = "none"
    charset: ShortText = "utf-8"
    per: Literal["period", "month"] = "period"

    @model_validator(mode="after")
    def _body_has_an_encoding(self) -> "Request":
        if (self.body is None) != (self.encode == "none"):
            raise ValueError("`body` and `encode` come together")
        return self


class Submit(Request):
    """``ticket``: where the reply says under which id the platform will answer; a poll cannot do without it."""

    ticket: Path | None = None


class Poll(Request):
    """Asked at the pace of ``every`` until ``give_up`` has passed since the ticket was given, and only inside ``hours``
    where there are any."""

    pending: Annotated[list[Rule], Field(min_length=1)]
    every: Duration
    give_up: Duration
    hours: list[Window] = []


class Ack(Model):
    """What the platform wants to be told, as it stands, once its callback is kept: else it sends it again."""

    status: Annotated[int, Field(ge=200, le=299)] = 200
    content_type: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[a-z0-9.+-]+$")] = "application/json"
    body: str = ""


class SignedCallback(Model):
    """How the platform signs its callbacks: a scheme that can verify and covers the body, and beside it the scheme's
    own switches. The keys are among the secrets of ``auth``. ``fresh``: how old a signature may be, in place of the
    scheme's own window."""

    model_config = ConfigDict(extra="allow")

    scheme: Name
    fresh: Duration | None = None

    @property
    def options(self) -> Mapping[str, Json]:
        return self.model_extra or {}


class Callback(Model):
    """The platform sends the answer itself, once, to ``{callback_url}`` of the submit. It is waited for until
    ``give_up`` has passed since the submit was answered. ``ticket``: where the callback names the id that the reply to
    the submit gave."""

    signed: SignedCallback
    give_up: Duration
    ticket: Path | None = None
    ack: Ack = Ack()


class Paging(Model):
    """One of ``total_pages``, ``cursor``, ``more``, else ``total_rows`` says whether another page follows.

    ``total_rows`` beside another is what the rows are held against. ``last`` comes with ``more``: a reply that fits
    both or neither is schema drift, so that a flag written in a new way does not end the reading in silence.
    """

    first: Annotated[int, Field(ge=0, le=1)] = 1
    size: Annotated[int, Field(ge=1, le=10_000)] = 100
    total_rows: Path | None = None
    total_pages: Path | None = None
    cursor: Path | None = None
    more: Rule | None = None
    last: Rule | None = None

    @model_validator(mode="after")
    def _one_style(self) -> "Paging":
        styles = sum(style is not None for style in (self.total_pages, self.cursor, self.more))
        if styles > 1 or (styles == 0 and self.total_rows is None):
            raise ValueError("give one of `total_pages`, `cursor`, `more`, or `total_rows`")
        if (self.more is None) != (self.last is None):
            raise ValueError("`more` and `last` come together")
        return self


class Latest(Model):
    """A change feed: of the rows with equal ``key`` only the one with the greatest ``by`` counts."""

    key: Annotated[list[Path], Field(min_length=1)]
    by: Path


class Rows(Model):
    """Where the rows stand, and which of them count: ``latest`` first, then any of ``keep``, none of ``drop``.
    With both, a row that fits neither is schema drift."""

    at: Path
    many: bool = True
    echo: Echo | None = None
    latest: Latest | None = None
    keep: list[Rule] = []
    drop: list[Rule] = []
    ignore: list[Path] = []


class _Spec(Model):
    """``from``: path in the row; ``head``: path in the whole reply, the same for every row."""

    from_: Annotated[Path | None, Field(alias="from")] = None
    head: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> "_Spec":
        if (self.from_ is None) == (self.head is None):
            raise ValueError("give exactly one of `from` and `head`")
        return self


class AsOf(_Spec):
    """Where the reply says how old its data is; from rows, the newest."""

    forms: Annotated[list[Form], Field(min_length=1)]


class TextSpec(_Spec):
    type: Literal["text"]


class UsccSpec(_Spec):
    type: Literal["uscc"]


class NamesSpec(_Spec):
    """A JSON list of texts, or one text cut at any character of ``separators``."""

    type: Literal["names"]
    separators: ShortText = ";；,，、"


class MoneySpec(_Spec):
    type: Literal["money"]
    unit: Literal["分", "元", "万元", "亿元"]


class DecimalSpec(_Spec):
    """A plain number that keeps its unit."""

    type: Literal["decimal"]


class RatioSpec(_Spec):
    type: Literal["ratio"]
    form: Literal["fraction", "percent"]


class CountSpec(_Spec):
    type: Literal["count"]


class DaySpec(_Spec):
    type: Literal["day"]
    forms: Annotated[list[Form], Field(min_length=1)]


class MonthSpec(_Spec):
    type: Literal["month"]
    forms: Annotated[list[Form], Field(min_length=1)]


class YearSpec(_Spec):
    type: Literal["year"]
    forms: Annotated[list[Form], Field(min_length=1)] = ["yyyy"]


class CodeSpec(_Spec):
    """``"*"`` in the table is any other code. Without it, ``else``: ``reject`` the reply, ``keep`` the text, or
    ``skip`` the value (and the row with it where the record requires the field)."""

    type: Literal["code"]
    table: Annotated[dict[str, str], Field(min_length=1)]
    else_: Annotated[Literal["reject", "keep", "skip"], Field(alias="else")] = "reject"


class FlagSpec(_Spec):
    """Typed equality; a value in neither list is schema drift."""

    type: Literal["flag"]
    true: Annotated[list[Scalar], Field(min_length=1)]
    false: Annotated[list[Scalar], Field(min_length=1)]


class ConstSpec(Model):
    type: Literal["const"]
    value: Scalar


ReadSpec = (
    TextSpec
    | UsccSpec
    | NamesSpec
    | MoneySpec
    | DecimalSpec
    | RatioSpec
    | CountSpec
    | DaySpec
    | MonthSpec
    | YearSpec
    | CodeSpec
    | FlagSpec
)
"""What is read from the reply."""
Spec = Annotated[ReadSpec | ConstSpec, Field(discriminator="type")]


class Dataset(Model):
    """One data set of the catalogue as this platform gives it.

    ``period``: the canonical field (or the from/to pair) that places a row in time; rows outside the period
    asked are left out, or are an error where the request named the period. ``unechoed``: the reason why this
    reply cannot say which enterprise it is about.
    """

    name: Name
    strategy: Literal["direct", "ticket", "callback"] = "direct"
    freshness: Duration = "30d"
    auth: dict[str, Any] = {}
    request: Request | None = None
    submit: Submit | None = None
    poll: Poll | None = None
    callback: Callback | None = None
    paging: Paging | None = None
    outcome: Outcome | None = None
    rows: Rows
    period: Name | Annotated[list[Name], Field(min_length=2, max_length=2)] | None = None
    as_of: AsOf | None = None
    unechoed: Text | None = None
    fields: Annotated[dict[Name, Spec], Field(min_length=1)]

    @model_validator(mode="after")
    def _strategy_has_its_requests(self) -> "Dataset":
        parts = {"request": self.request, "submit": self.submit, "poll": self.poll, "callback": self.callback}
        given = {name for name, part in parts.items() if part is not None}
        if self.strategy == "direct" and given != {"request"}:
            raise ValueError("strategy `direct` needs `request`, and none of `submit`, `poll` and `callback`")
        if self.strategy == "ticket" and given != {"submit", "poll"}:
            raise ValueError("strategy `ticket` needs `submit` and `poll`, and neither `request` nor `callback`")
        if self.strategy == "callback" and given != {"submit", "callback"}:
            raise ValueError("strategy `callback` needs `submit` and `callback`, and neither `request` nor `poll`")
        return self


class Manifest(Model):
    """``assurance``: ``published-spec`` where the owner's interface text is public, else ``assumed``."""

    id: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=64)]
    version: Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=20)]
    names: Names
    owner: ShortText
    assurance: Literal["published-spec", "assumed"]
    base_url: Annotated[
        str, StringConstraints(pattern=r"^(https?|local)://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?$", max_length=300)
    ]
    outlet: bool = False
    """Passes on what other platforms hold: asked only where settings send a data set through it."""
    auth: Auth
    reply: SignedReply | None = None
    tls: TlsNames | None = None
    decode: Decode = Decode()
    outcome: Outcome
    limits: Limits = Limits()
    dataset: Annotated[list[Dataset], Field(min_length=1)]
