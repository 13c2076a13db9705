"""``xinqiao connectors sign``: what a scheme signs and adds; with ``--verify``, why a message does not hold."""

import asyncio
import time
from base64 import b64decode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from connectors.signing import SCHEMES
from connectors.signing.base import Explained, Heard, Moment, Scheme, new_nonce
from connectors.signing.verifying import Claim, Why, judge
from connectors.wire import Draft, WireReply, WireRequest
from gateway.cli.shared import AsJson, print_json, print_table, read_file, say, write
from schemas.errors import InvalidRequest, UpstreamSignature

REASONS: Mapping[Why, tuple[str, str]] = {
    Why.MISSING: ("缺少签名，或签名没有覆盖必须覆盖的内容", "no signature, or not over all that it must cover"),
    Why.MALFORMED: ("签名头、参数或时间的格式不对", "a header, parameter or time does not have its form"),
    Why.UNKNOWN_KEY: ("应用或密钥标识不是约定的那个", "it names another application or key than the one agreed on"),
    Why.ALGORITHM: ("算法不是约定的那个", "it names another algorithm than the one agreed on"),
    Why.DIGEST: ("报文体与其摘要不符", "the body is not the one whose digest was signed"),
    Why.FORGED: ("格式正确但签名不对", "the form is right and the signature is not"),
    Why.STALE: ("时间超出允许的窗口：请核对时钟", "its time lies outside the window: compare the clocks"),
    Why.REPLAYED: ("随机数已用过", "its nonce came before"),
    Why.NOT_OURS: ("签名属于另一个请求的应答", "it was signed as the answer to another request"),
}
"""What each refusal means, in Chinese and English."""

_ENCODED = ("json", "form", "xml")


def sign(
    scheme: Annotated[str, typer.Argument(help=", ".join(sorted(SCHEMES)))],
    request: Annotated[Path, typer.Option(help="JSON: method, base_url, path, query, body, encode, charset, options.")],
    credentials: Annotated[Path, typer.Option(help="JSON: secrets by name.")],
    at: Annotated[str | None, typer.Option(help="Time with offset; now if not given.")] = None,
    nonce: Annotated[str | None, typer.Option(help="10 to 20 letters or digits; a fresh one if not given.")] = None,
    verify: Annotated[
        Path | None, typer.Option(help="JSON of what was sent: method, url, headers, body or body_base64, canonical.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """签名 Show the canonical string (secrets masked) and what the scheme adds; or say why a message does not hold."""
    if scheme not in SCHEMES:
        raise InvalidRequest(at="scheme", mend=", ".join(sorted(SCHEMES)))
    try:
        asked, secrets = orjson.loads(read_file(request)), orjson.loads(read_file(credentials))
        moment = Moment(time.time() if at is None else _unix_seconds(at), nonce or new_nonce())
        draft = Draft(
            method=asked["method"],
            base_url=asked["base_url"],
            path=asked["path"],
            query=tuple((str(k), str(v)) for k, v in asked.get("query", {}).items()),
            body=asked.get("body"),
            encode=asked.get("encode", "none"),
            charset=asked.get("charset", "utf-8"),
        )
        sent = _sent(orjson.loads(read_file(verify))) if verify else None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InvalidRequest(at="request, credentials or at", mend="see docs/command-line.md for the form") from None
    # ``Draft`` sends no body without an encoding: here somebody would compare the signature of another message.
    if draft.body is not None and (not isinstance(draft.body, dict) or draft.encode not in _ENCODED):
        raise InvalidRequest(at="request.body", mend="an object, with encode json, form or xml beside it")
    options = asked.get("options", {})
    if sent is None:
        _show(scheme, SCHEMES[scheme], options, secrets, draft, moment, as_json)
    else:
        _verify(SCHEMES[scheme], options, secrets, draft, moment.unix, sent, as_json)


def _unix_seconds(at: str) -> float:
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError("a time without offset means another moment on another machine")
    return moment.timestamp()


def _sent(given: dict[str, Any]) -> tuple[WireRequest, str | None]:
    raw = b64decode(given["body_base64"], validate=True) if "body_base64" in given else given.get("body", "").encode()
    headers = {str(name): str(value) for name, value in given.get("headers", {}).items()}
    return WireRequest(str(given["method"]), str(given["url"]), headers, raw), given.get("canonical")


def _show(
    name: str,
    scheme: Scheme,
    options: Mapping[str, Any],
    secrets: Mapping[str, str],
    draft: Draft,
    moment: Moment,
    as_json: bool,
) -> None:
    signer = scheme.build(options, secrets)
    explained = signer.explain(draft, moment)

    async def no_send(_request: WireRequest) -> WireReply:
        raise InvalidRequest

    try:
        headers = asyncio.run(signer.sign(draft, moment, no_send)).headers
    except InvalidRequest:  # the scheme wants a token from the platform first: only its text can be shown
        headers = explained.headers
    parameters = explained.parameters
    if as_json:
        print_json({"canonical": explained.canonical, "headers": dict(headers), "parameters": dict(parameters)})
    else:
        write(explained.canonical)
        rows = [["header", *pair] for pair in headers.items()] + [["parameter", *pair] for pair in parameters.items()]
        print_table(name, ["", "name", "value"], rows)


def _verify(
    scheme: Scheme,
    options: Mapping[str, Any],
    secrets: Mapping[str, str],
    draft: Draft,
    now: float,
    sent: tuple[WireRequest, str | None],
    as_json: bool,
) -> None:
    """Exit status 1 where the message does not hold."""
    request, told = sent
    verifier = scheme.verifier(options, secrets)
    claim: Claim | None = None
    why: Why | None = None
    try:
        claim = verifier.read(request)
        judge(claim, verifier.window, now)
    except UpstreamSignature as err:
        why = Why(str(err.details["why"]))
    texts: dict[str, str] = {}
    if claim is not None:
        texts = {"ours": _expected(scheme, options, secrets, draft, claim).canonical, "theirs": claim.canonical}
        if told is not None:
            texts["theirs"] = _masked(told, secrets)
    part = parting(texts["ours"], texts["theirs"]) if texts else None
    if as_json:
        print_json({"holds": why is None, "why": why, "canonical": texts, "parts_at": part})
    else:
        for side, text in texts.items():
            write(f"--- {side}\n{text}")
        if part is not None:
            write(f"第 {part['line']} 行第 {part['column']} 个字符开始不同 they part at line {part['line']}, ", end="")
            write(f"character {part['column']}: {part['ours']!r} / {part['theirs']!r}")
        say(f"{why.value}: {REASONS[why][0]} {REASONS[why][1]}" if why else "签名成立 the signature holds")
    if why is not None:
        raise typer.Exit(1)


def _expected(
    scheme: Scheme, options: Mapping[str, Any], secrets: Mapping[str, str], draft: Draft, claim: Claim
) -> Explained:
    """What our side signs at the same moment. A receiving side may lack our own keys; then its text is all there is."""
    if not set(scheme.needs(scheme.options.model_validate(dict(options)))) <= secrets.keys():
        return Explained(claim.canonical)
    return scheme.build(options, secrets).explain(draft, Heard(claim.unix, claim.nonce))


def _masked(text: str, secrets: Mapping[str, str]) -> str:
    """A text that the platform's support sent may hold what is secret."""
    for name, value in sorted(secrets.items(), key=lambda pair: -len(pair[1])):
        text = text.replace(value, f"<{name}>") if value else text
    return text


def parting(ours: str, theirs: str) -> dict[str, Any] | None:
    """Where two texts part: line and character, both from 1, and what stands from there on; None where they are one."""
    if ours == theirs:
        return None
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    before = ours[:at]
    return {
        "line": before.count("\n") + 1,
        "column": at - before.rfind("\n"),
        "ours": ours[at : at + 40],
        "theirs": theirs[at : at + 40],
    }
