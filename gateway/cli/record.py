"""``xinqiao connectors record``: one real fetch, or saved replies, as a fixture that says nothing of anybody."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from connectors.base import Progress, Query, Subject
from connectors.engine.connector import DeclarativeConnector
from connectors.engine.tuning import Tuning
from connectors.kit.recording import NotProven, Recording, Taken, Tape, Wanted, record, rehearsed
from connectors.kit.scrubbing import Unreadable
from connectors.manifest import Loaded
from connectors.ports import OpenGuard
from connectors.registry import BUILT_IN, load_connectors
from connectors.transport import AioTransport
from connectors.wire import WireReply
from gateway.cli.fetch import must_be_here, with_folder
from gateway.cli.shared import AsJson, print_json, print_table, read_file, say, settings
from gateway.credentials import resolve
from gateway.profile.request import months_back
from gateway.services import offers
from gateway.settings import Platform, Settings
from schemas.errors import InvalidRequest, UpstreamError
from schemas.identifiers import parse_uscc

_CASE = r"[a-z0-9][a-z0-9_-]{0,79}"


def record_(
    connector: Annotated[str, typer.Argument(help="A folder, or the id of a connector that the settings load.")],
    uscc: Annotated[str, typer.Option(help="统一社会信用代码 that was asked for; it is replaced.")],
    dataset: Annotated[str, typer.Option(help="数据集")],
    name: Annotated[str, typer.Option(help="企业名称 that was asked for; it is replaced.")] = "-",
    registration: Annotated[str | None, typer.Option(help="注册号, where the platform asks for it.")] = None,
    months: Annotated[int, typer.Option(min=1, max=120, help="Look-back.")] = 12,
    reply: Annotated[
        list[Path] | None, typer.Option(help="A saved reply in place of a call; one for each, in their order.")
    ] = None,
    content_type: Annotated[str | None, typer.Option(help="Of the saved replies.")] = None,
    status: Annotated[int, typer.Option(min=100, max=599, help="Of the last saved reply.")] = 200,
    case: Annotated[str | None, typer.Option(help="What the fixture is called; DATASET-recorded if not given.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A path whose values are nobody's and stay.")] = None,
    keep_amounts: Annotated[bool, typer.Option("--keep-amounts", help="保留金额 Amounts and counts stay.")] = False,
    into: Annotated[Path | None, typer.Option(help="Folder of fixtures; the connector's own if not given.")] = None,
    as_json: AsJson = False,
) -> None:
    """录制 A fixture from a real reply: scrubbed, replayed by the kit, and searched before anything is written."""
    held, chosen = with_folder(settings(), connector)
    loaded = offers(_allowing(held, chosen, bool(reply))).get(chosen)
    if loaded is None:
        raise InvalidRequest(at="connector", mend="a folder, or a connector that the settings load")
    found = next((one for one in loaded.manifest.dataset if one.name == dataset), None)
    if found is None or found.strategy == "callback":
        direct = ", ".join(one.name for one in loaded.manifest.dataset if one.strategy != "callback")
        mend = f"use one of {direct}" if direct else "what a platform sends by itself is not recorded"
        raise InvalidRequest(at="dataset", mend=mend)
    place = into or loaded.fixtures
    if into is None and loaded.fixtures.is_relative_to(BUILT_IN):
        raise InvalidRequest(at="into", mend="name a folder: this connector comes with the gateway")
    now = datetime.now(UTC)
    wanted = Wanted(
        dataset=dataset,
        subject=Subject(parse_uscc(uscc).value, name, registration),
        period=months_back(now, months),
        now=now.isoformat(timespec="milliseconds"),
        case=case or f"{dataset}-recorded",
        keep=keep or (),
        keep_amounts=keep_amounts,
    )
    if not re.fullmatch(_CASE, wanted.case):
        raise InvalidRequest(at="case", mend="lower-case letters, digits, hyphens and underscores")
    if (place / f"{wanted.case}.json").exists():
        raise InvalidRequest(at="case", mend="there is such a fixture: give another name")
    platform = held.platforms.get(chosen, Platform())
    secrets = resolve(chosen, {key: value.get_secret_value() for key, value in platform.credentials.items()})

    async def work() -> Recording:
        if reply:
            taken = await rehearsed(loaded, wanted, _saved(loaded, reply, content_type, status))
        else:
            taken = await _called(held, loaded, platform, secrets, wanted)
        return await record(loaded, wanted, taken, secrets)

    try:
        made = asyncio.run(work())
    except NotProven as error:
        say(f"未写入任何文件 nothing was written: what stands at {error.where} could not be proven gone")
        raise typer.Exit(1) from None
    except Unreadable:
        say("未写入任何文件 nothing was written: a reply is not what `decode` says, so it cannot be scrubbed")
        raise typer.Exit(1) from None
    place.mkdir(parents=True, exist_ok=True)
    for file, content in made.files.items():
        (place / file).write_bytes(content)
    _tell(place, made, as_json)


def _allowing(held: Settings, chosen: str, offline: bool) -> Settings:
    """Without calls no account is needed: the connector need not be among the platforms."""
    platforms = {chosen: held.platforms.get(chosen, Platform())} if offline else held.platforms
    return held.model_copy(update={"platforms": platforms, "allow_connectors": [chosen], "sources": {}})


def _saved(loaded: Loaded, files: list[Path], content_type: str | None, status: int) -> list[WireReply]:
    decode = loaded.manifest.decode
    kind = "text/xml" if decode.steps[0] == "xml" else "application/json"
    headers = {"content-type": content_type or f"{kind}; charset={decode.charset[0]}"}
    last = len(files) - 1
    return [WireReply(status if n == last else 200, headers, read_file(file)) for n, file in enumerate(files)]


async def _called(
    held: Settings, loaded: Loaded, platform: Platform, secrets: dict[str, str], wanted: Wanted
) -> list[Taken]:
    """What came of one fetch: each call once, one after the other."""
    transport = AioTransport(allowed_private=held.allow_private)
    tape = Tape(transport)
    once = platform.tuning().limits.model_copy(update={"attempts": 1, "concurrency": 1})
    name = loaded.manifest.id
    try:
        made = load_connectors(
            transport=tape,
            platforms={name: (True, platform.base_url, secrets)},
            tunings={name: Tuning(once)},
            folders=[] if loaded.folder.is_relative_to(BUILT_IN) else [loaded.folder],
            allow=[name],
            callback_url=held.callbacks,
        )[name]
        must_be_here(held, made)
        assert isinstance(made, DeclarativeConnector)  # noqa: S101 - the registry makes no others
        query = Query(wanted.subject, wanted.dataset, made.datasets[wanted.dataset], *wanted.period)
        deadline = asyncio.get_running_loop().time() + held.limits.deadline_seconds
        try:
            await made.fetch(query, OpenGuard(), deadline, Progress())
        except UpstreamError as error:
            say(f"{error.code}: what came is recorded as a failure")
    finally:
        await transport.close()
    return tape.taken


def _tell(place: Path, made: Recording, as_json: bool) -> None:
    if as_json:
        done = [{"path": path, "done": what, "why": why} for path, what, why in made.done]
        print_json({"folder": str(place), "files": sorted(made.files), "outcome": made.outcome, "done": done})
        return
    print_table("录制 recorded", ["路径 path", "处理 done", "原因 why"], made.done)
    say(f"{place}: {', '.join(sorted(made.files))} ({made.outcome})")
    say("请逐行核对 read every line of the table, and the files, before anybody else does")
