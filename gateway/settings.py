"""Settings: one TOML file (``--config`` or XINQIAO_CONFIG) under ``XINQIAO_…`` variables, which win.

Nested names take two underscores: ``XINQIAO_LIMITS__DEADLINE_SECONDS=6``. Secrets of platforms are better given
as a variable: ``XINQIAO_PLATFORMS='{"sh-tax": {"credentials": {"app_id": "…"}}}'``; the two are merged.
"""

import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from connectors.engine.tuning import Tuning, windows_of
from connectors.manifest_text import Refusal
from consent.consents import ENTERPRISE
from consent.log.note import COSIGNATURE, NoteError, Vkey
from consent.retention import EVIDENCE_DAYS, Rule, Rules
from consent.shredding import Reason
from schemas.base import Name, ShortText, first_flaw
from schemas.errors import ConfigurationError
from schemas.manifest import Duration
from schemas.manifest import Limits as ManifestLimits

DEFAULT_DATA = Path(".xinqiao")
Role = Literal["lender", "operator", "auditor"]
NOT_A_CLIENT = frozenset({ENTERPRISE, "operator", "unknown"})
"""Whom the log names so: the enterprise on its page, the command line, and a caller that could not be told."""


SourceText = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*( via [a-z][a-z0-9-]*)?$", max_length=150)]
"""``sh-tax``, or ``sh-tax via sh-ywtb`` for an outlet that passes it on."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Client(_Part):
    """Who may ask for access tokens. ``jwks`` holds the public keys that its ``private_key_jwt`` assertions are signed
    with."""

    role: ClassVar[Role]
    name: ShortText
    jwks: dict[str, Any]


class Lender(Client):
    role = "lender"


class Operator(Client):
    role = "operator"


class Auditor(Client):
    """Reads the evidence log and nothing else."""

    role = "auditor"
    unmask: bool = False
    """Whether it may see which enterprise an entry is about, and whole ids."""


class Platform(_Part):
    """How one connector is reached here. Credentials are by the names that its manifest asks for."""

    enabled: bool = True
    base_url: str | None = None
    credentials: dict[str, SecretStr] = Field(default_factory=dict)
    required: bool = True
    """Whether a profile is incomplete while this platform does not answer."""
    weight: Annotated[int, Field(ge=1, le=100)] = 1
    """Of platforms that disagree, the heavier is believed."""
    limits: ManifestLimits = ManifestLimits()
    """In place of the manifest's: only the keys that are given."""
    freshness: dict[Name, Duration] = Field(default_factory=dict)
    """By data set, how old this platform's data may be."""

    @field_validator("limits")
    @classmethod
    def _has_time_zones(cls, value: ManifestLimits) -> ManifestLimits:
        try:
            windows_of(value)
        except Refusal as refusal:
            raise ValueError(refusal.mend) from None
        return value

    @field_serializer("limits")
    def _given(self, value: ManifestLimits) -> dict[str, Any]:
        return value.model_dump(exclude_unset=True)

    def tuning(self) -> Tuning:
        return Tuning(self.limits, self.freshness)


class Witness(_Part):
    """A witness of the evidence log. ``url`` is its submission prefix, ``vkey`` its verifier key."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    vkey: str

    @field_validator("vkey")
    @classmethod
    def _is_a_witness(cls, value: str) -> str:
        try:
            if Vkey.parse(value).kind == COSIGNATURE:
                return value
        except NoteError:
            pass
        raise ValueError("the verifier key of a witness")


class Timestamps(_Part):
    """A time-stamping authority (RFC 3161) for heads of the evidence log. ``certificates``: a PEM file of those that
    its signatures lead to."""

    url: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    certificates: Path
    every_minutes: Annotated[int, Field(ge=10, le=10_080)] = 60


class RetentionRule(_Part):
    """``reason`` is one of PIPL 47; ``basis`` is the legal basis by name, and stands in the log as it is."""

    days: Annotated[int, Field(ge=0, le=36500)]
    reason: Reason
    basis: Annotated[str, Field(min_length=1, max_length=200)]

    def rule(self) -> Rule:
        return Rule(self.days, self.reason, self.basis)


def _default(rule: Rule) -> RetentionRule:
    return RetentionRule(days=rule.days, reason=rule.reason, basis=rule.basis)


class Retention(_Part):
    """What is kept how long after the end of a consent, by class (docs/retention.md)."""

    payload: RetentionRule = _default(Rules().payload)
    """Profiles and records; a consent that agreed to fewer days has its own."""
    withdrawn: RetentionRule = _default(Rules().withdrawn)
    """Profiles and records after a withdrawal."""
    evidence: RetentionRule = _default(Rules().evidence)
    """The proof of consent; three years at least."""

    @field_validator("evidence")
    @classmethod
    def _three_years(cls, value: RetentionRule) -> RetentionRule:
        if value.days < EVIDENCE_DAYS:
            raise ValueError(f"at least {EVIDENCE_DAYS} days")
        return value

    def rules(self) -> Rules:
        return Rules(self.payload.rule(), self.withdrawn.rule(), self.evidence.rule())


class Anomalies(_Part):
    """From when on the report of anomalies speaks; hours are of the day in Asia/Shanghai."""

    after_refusal_days: Annotated[int, Field(ge=1, le=3650)] = 30
    day_begins: Annotated[int, Field(ge=0, le=23)] = 7
    day_ends: Annotated[int, Field(ge=1, le=24)] = 22
    odd_hour_uses: Annotated[int, Field(ge=1)] = 5
    enterprises_refused_per_hour: Annotated[int, Field(ge=2)] = 10
    refusals_in_ten_minutes: Annotated[int, Field(ge=2)] = 30
    enterprises_per_application: Annotated[int, Field(ge=2)] = 3
    unmasked_per_day: Annotated[int, Field(ge=1)] = 20


class Limits(_Part):
    body_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024
    """Largest request body that is read."""
    deadline_seconds: Annotated[float, Field(gt=0, le=180)] = 8.0
    """How long sources may take before a profile is made of what has come."""
    shutdown_seconds: Annotated[float, Field(gt=0, le=300)] = 30.0
    token_seconds: Annotated[int, Field(ge=60, le=3600)] = 600
    """Life of an access token."""
    refused_burst: Annotated[int, Field(ge=1, le=100_000)] = 200
    """How many requests of one client may be refused at once before it has to wait."""
    refused_per_minute: Annotated[int, Field(ge=1, le=100_000)] = 60
    """How many more may be every minute."""
    permit_seconds: Annotated[int, Field(ge=10, le=86400)] = 600
    """How long a permit may stay open before the sweep closes it as outcome unknown."""


class Settings(BaseSettings):
    """Every setting, its default and its meaning; docs/settings.md is held against this class by a test."""

    model_config = SettingsConfigDict(
        env_prefix="XINQIAO_", env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    data: Path = DEFAULT_DATA
    """Folder of the embedded database, and of the keys in development."""
    database: SecretStr | None = None
    """A PostgreSQL database, ``postgresql://user:password@host/name``; the file in ``data`` when not given."""
    keys: Path | None = None
    """Folder of the gateway's own keys; ``data/keys`` in development. Production refuses keys inside ``data``."""
    production: bool = False
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8400
    origin: ShortText = "xinqiao.invalid/evidence"
    """Origin line of the evidence log, fixed when the log is created."""
    issuer: str = "https://xinqiao.invalid"
    """``iss`` of access tokens and profiles; the token endpoint is ``issuer/oauth/token``."""
    lenders: dict[Name, Lender] = Field(default_factory=dict)
    operators: dict[Name, Operator] = Field(default_factory=dict)
    auditors: dict[Name, Auditor] = Field(default_factory=dict)
    platforms: dict[Name, Platform] = Field(default_factory=dict)
    callback_url: Annotated[str, Field(pattern=r"^https?://[^\s/?#@]+(/[^\s?#]*[^\s?#/])?$")] | None = None
    """Where platforms that send their answers by themselves reach this gateway, without ``/v1/callbacks``; https in
    production."""
    sources: dict[Name, Annotated[list[SourceText], Field(min_length=1)]] = Field(default_factory=dict)
    """By data set: the platforms to ask, the next only where the one before gave nothing."""
    connectors: list[Path] = Field(default_factory=list)
    """Folders of connectors from outside the catalogue."""
    allow_connectors: list[Name] | None = None
    """The only connectors to load; all of the catalogue when not given."""
    allow_private: list[str] = Field(default_factory=list)
    """``host:port`` of platforms on addresses that are not public, such as a simulator on loopback."""
    allow_private_webhooks: list[str] = Field(default_factory=list)
    """The same for lenders' webhooks, which must not reach platforms."""
    signers: dict[ShortText, dict[str, Any]] = Field(default_factory=dict)
    """By unified social credit code: the JWKS whose signatures make a consent of that enterprise `signed`."""
    witnesses: dict[Name, Witness] = Field(default_factory=dict)
    """Whom every new head of the evidence log is offered to."""
    timestamps: Timestamps | None = None
    """Who time-stamps heads of the evidence log; nobody when not given."""
    limits: Limits = Limits()
    retention: Retention = Retention()
    anomalies: Anomalies = Anomalies()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 — the library calls by these names
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @field_validator("lenders", "operators", "auditors")
    @classmethod
    def _no_name_of_ours(cls, value: dict[str, Client]) -> dict[str, Client]:
        # The log names who acted: a client of these names would act as somebody else.
        if value.keys() & NOT_A_CLIENT:
            raise ValueError("no client can be called `enterprise`, `operator` or `unknown`")
        return value

    @model_validator(mode="after")
    def _names_of_their_own(self) -> Self:
        if len(self.clients) < len(self.lenders) + len(self.operators) + len(self.auditors):
            raise ValueError("a lender, an operator and an auditor need names of their own")
        return self

    @model_validator(mode="after")
    def _hidden_on_the_way(self) -> Self:
        if self.production and self.callback_url is not None and not self.callback_url.startswith("https://"):
            raise ValueError("in production `callback_url` begins with https://")
        return self

    @property
    def callbacks(self) -> str | None:
        """What stands before ``/CONNECTOR/TICKET`` in the address that a platform is told."""
        return None if self.callback_url is None else self.callback_url + "/v1/callbacks"

    @property
    def clients(self) -> dict[str, Client]:
        """Everybody who may ask for access tokens, by the name that the log knows them by."""
        return {**self.lenders, **self.operators, **self.auditors}

    @field_validator("database")
    @classmethod
    def _is_postgresql(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("a URL that begins with postgresql://")
        return value

    @property
    def key_folder(self) -> Path:
        return self.keys if self.keys is not None else self.data / "keys"


def settings_file(config: Path | None) -> Path | None:
    """The file that is read: ``config``, else the one that XINQIAO_CONFIG names."""
    named = os.environ.get("XINQIAO_CONFIG")
    return config or (Path(named) if named else None)


def load_settings(config: Path | None = None, **overrides: Any) -> Settings:
    """Settings from ``config`` (else XINQIAO_CONFIG) and the environment; ConfigurationError names the bad key, and the
    file that was read with the environment."""
    _check_variables(os.environ)
    file = settings_file(config)
    if file is not None and not file.is_file():
        raise ConfigurationError(at="config", mend="the file does not exist")

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        settings = FromFile(**{k: v for k, v in overrides.items() if v is not None})
    except ValidationError as err:
        at, mend = first_flaw(err)
        if err.errors(include_input=False, include_context=False, include_url=False)[0]["type"] == "extra_forbidden":
            close = get_close_matches(at.rpartition(".")[2], _names(), n=1)
            mend = "no such setting" + (f": did you mean `{close[0]}`?" if close else "")
        raise ConfigurationError(at=at, mend=mend, **({"file": str(file)} if file else {})) from None
    except SettingsError as err:
        # The library says which setting in its text only; the value is not in it, and nothing else of it is shown.
        field = re.search(r'field "([a-z_]+)"', str(err))
        at = f"environment XINQIAO_{field[1].upper()}" if field else "environment"
        raise ConfigurationError(at=at, mend="the variable should hold JSON and does not") from None
    except (ValueError, OSError):
        raise ConfigurationError(at="config", mend="not a readable TOML file") from None
    if settings.production and settings.key_folder.resolve().is_relative_to(settings.data.resolve()):
        raise ConfigurationError(at="keys", mend="in production the keys must not lie inside the data folder")
    return settings


def _names() -> list[str]:
    parts = [one for one in globals().values() if isinstance(one, type) and issubclass(one, BaseModel)]
    return sorted({name for part in parts for name in part.model_fields})


# Not settings: where the settings file is, and where the tests find real replies.
_OTHER_VARIABLES = frozenset({"config", "samples"})


def _check_variables(environment: Mapping[str, str]) -> None:
    """A misspelt XINQIAO_PRODUCTION would run in development mode: an unknown variable is an error."""
    known = Settings.model_fields.keys() | _OTHER_VARIABLES
    for name in environment:
        setting = name.upper().removeprefix("XINQIAO_").split("__")[0].lower()
        if name.upper().startswith("XINQIAO_") and setting not in known:
            raise ConfigurationError(at=f"environment XINQIAO_{setting.upper()}", mend="no such setting")
