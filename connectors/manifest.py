"""From a connector's folder to its compiled manifest: read, checked and compiled once, without running its code."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.decoding import compile_decoder
from connectors.engine.plan import Plan, compile_plan
from connectors.engine.tuning import windows_of
from connectors.manifest_text import KeyPath, Refusal, Source, error, parse, read
from connectors.signing import SCHEMES
from connectors.signing.covering import covers_body
from schemas.base import Json, json_schema
from schemas.errors import ConfigurationError, InvalidValue, ManifestError
from schemas.manifest import Manifest, SignedCallback
from schemas.records import CATALOGUE, DataSet

FILE = "manifest.toml"
TEMPLATE = "template.toml"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A manifest ready to serve. ``version`` is the manifest's own and the first 12 hex digits of its SHA-256."""

    folder: Path
    files: tuple[Path, ...]
    """The manifest, and the template that it extends."""
    fixtures: Path
    """The template's where a manifest extends one and has none of its own."""
    manifest: Manifest
    version: str
    plans: Mapping[str, Plan]

    @property
    def outlet(self) -> bool:
        """Whether it passes on what other platforms hold."""
        return self.manifest.outlet

    @property
    def datasets(self) -> Mapping[str, frozenset[str]]:
        return {name: frozenset(plan.specs) for name, plan in self.plans.items()}

    def reachable(self, callback_url: str | None) -> None:
        """ConfigurationError where a data set's answers are sent to us and nobody can reach us."""
        if callback_url is None and any(plan.callback for plan in self.plans.values()):
            mend = "the address under which platforms reach /v1/callbacks: this one sends its answers there"
            raise ConfigurationError(connector=self.manifest.id, at="callback_url", mend=mend)

    def options(self, plan: Plan) -> dict[str, Json]:
        """The scheme's switches for one data set."""
        return {**self.manifest.auth.options, **plan.auth}


def load(folder: Path, catalogue: Mapping[str, DataSet] = CATALOGUE) -> Loaded:
    """Read ``folder/manifest.toml``. Raises ManifestError with file, line, key path and how to mend it."""
    source = _source(folder)
    manifest = parse(source)
    try:
        return _compile(folder, source, manifest, catalogue)
    except Refusal as refusal:
        raise error(source, refusal) from None


def _source(folder: Path) -> Source:
    own = read(folder / FILE)
    extends = own.data.pop("extends", None)
    if extends is None:
        return own
    if not isinstance(extends, str) or not (folder / extends / TEMPLATE).is_file():
        raise error(own, Refusal(("extends",), f"name a folder, from this one, that holds {TEMPLATE}"))
    if "dataset" in own.data:
        raise error(own, Refusal(("dataset", 0), "the template has the data sets: write a manifest of its own instead"))
    return own.over(read((folder / extends / TEMPLATE).resolve()))


def _compile(folder: Path, source: Source, manifest: Manifest, catalogue: Mapping[str, DataSet]) -> Loaded:
    try:
        decode = compile_decoder(tuple(manifest.decode.charset), tuple(manifest.decode.steps))
    except InvalidValue as err:
        if err.details["what"] == "charset":
            raise Refusal(("decode", "charset"), "use charsets of docs/transport.md, e.g. `gb18030`") from None
        raise Refusal(("decode", "steps"), "use `json`, `xml`, `at:PATH` or `within:PATH`, a parser first") from None
    windows_of(manifest.limits)
    plans = [compile_plan(manifest, i, catalogue, decode) for i in range(len(manifest.dataset))]
    if manifest.auth.scheme not in SCHEMES:
        raise Refusal(("auth", "scheme"), f"use one of {', '.join(sorted(SCHEMES))}")
    own = folder / "fixtures"
    loaded = Loaded(
        folder,
        (source.file, source.template.file) if source.template else (source.file,),
        source.template.file.parent / "fixtures" if source.template and not own.is_dir() else own,
        manifest,
        f"{manifest.version}+{hashlib.sha256(source.whole.encode()).hexdigest()[:12]}",
        {plan.name: plan for plan in plans},
    )
    for index, plan in enumerate(plans):
        _check_auth(manifest, loaded.options(plan), ("dataset", index) if plan.auth else ())
    for index, dataset in enumerate(manifest.dataset):
        if dataset.callback is not None:
            _check_callback(manifest, dataset.callback.signed, ("dataset", index, "callback"))
    if manifest.tls and (unknown := sorted(set(manifest.tls.named()) - set(manifest.auth.secrets))):
        raise Refusal(("auth", "secrets"), f"declare the secret {unknown[0]}, which `tls` names")
    if manifest.reply is not None:
        if manifest.reply.scheme not in SCHEMES:
            raise Refusal(("reply", "scheme"), f"use one of {', '.join(sorted(SCHEMES))}")
        _check_auth(manifest, manifest.reply.options, (), "reply")
    return loaded


def _check_auth(manifest: Manifest, options: Mapping[str, Json], prefix: KeyPath, table: str = "auth") -> None:
    reply = manifest.reply if table == "reply" else None
    scheme = SCHEMES[reply.scheme if reply else manifest.auth.scheme]
    try:
        scheme.check(options, manifest.auth.secrets, table=table)
    except ManifestError as err:
        at: KeyPath = tuple(str(err.details["at"]).split("."))
        raise Refusal(prefix + at if at[-1] != "secrets" else at, str(err.details["mend"])) from None


def _check_callback(manifest: Manifest, signed: SignedCallback, at: KeyPath) -> None:
    """What comes unasked is let in by its signature alone, so that must cover all of it."""
    if signed.scheme not in SCHEMES:
        raise Refusal((*at, "signed", "scheme"), f"use one of {', '.join(sorted(SCHEMES))}")
    try:
        options = SCHEMES[signed.scheme].check(signed.options, manifest.auth.secrets, table="signed")
    except ManifestError as err:
        place: KeyPath = tuple(str(err.details["at"]).split("."))
        raise Refusal(at + place if place[-1] != "secrets" else place, str(err.details["mend"])) from None
    if not covers_body(signed.scheme, options):
        raise Refusal((*at, "signed"), "its signature must cover the body and the time (docs/signing.md, «Callbacks»)")


def manifest_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of ``manifest.toml``, for editors: with ``extends``, a template may say what is missing."""
    schema = json_schema(Manifest)
    schema["properties"] = {"extends": {"type": "string", "title": "Extends"}, **schema["properties"]}
    needed = schema.pop("required")
    return {**schema, "if": {"not": {"required": ["extends"]}}, "then": {"required": needed}}
