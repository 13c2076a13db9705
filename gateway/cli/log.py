"""``xinqiao log``: verify, export, prove, consistency, checkpoint, show, check, anomalies."""

import asyncio
import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import orjson
import typer

from consent.audit import Flaw
from consent.cosignatures import SignedHead
from consent.log.merkle import ProofError, verify_consistency
from consent.log.note import NoteError, Vkey, open_checkpoint
from consent.log.tiles import TileError, export
from consent.log.verify import main as verify_main
from consent.reads import LogSource
from gateway.api.audit import asked_for, searching, shown
from gateway.audit.export import check as check_archive
from gateway.audit.export import exported_log
from gateway.audit.looking import EXPORTED, REPORTED, newest, report, take
from gateway.audit.masks import short
from gateway.audit.tables import Form
from gateway.cli.shared import AsJson, print_json, print_table, read_file, run, say, settings, write
from gateway.cosigning import cosign_now
from gateway.profile.evidence import OPERATOR
from gateway.services import Services, database_path, open_services
from schemas.errors import ConfigurationError, InvalidRequest, LogBroken

app = typer.Typer(help="证据日志 The evidence log.", no_args_is_help=True)


def _write(source: LogSource, folder: Path) -> None:
    try:
        export(source, folder)
    except TileError as error:
        raise InvalidRequest(at=(folder / error.path).as_posix(), mend=error.problem) from None
    except OSError:
        raise InvalidRequest(at="folder", mend="the folder cannot be written") from None


def _recorded() -> None:
    """A log that was never started, or whose file is gone, must not pass for an intact one."""
    held = settings()
    # Nothing makes a PostgreSQL database by the way.
    if held.database is None and not database_path(held).exists():
        raise ConfigurationError(at="data", mend="there is no log in this folder")


async def write_export(services: Services, folder: Path, head: SignedHead | None = None) -> None:
    await asyncio.to_thread(lambda: _write(services.evidence.log_source(head), folder))


@app.command("export")
def export_(folder: Path) -> None:
    """导出 Write checkpoint, tiles, entry bundles and keys to FOLDER (C2SP tlog-tiles), the checkpoint co-signed by the
    witnesses of the settings that answer."""
    _recorded()

    async def work(services: Services) -> None:
        head, failed = await cosign_now(services)
        for name, code in failed.items():
            say(f"见证人未副署 witness did not co-sign: {name}: {code}")
        await write_export(services, folder, head)

    run(work)
    say(f"已导出 exported: {folder}")


@app.command()
def verify(
    folder: Annotated[
        Path | None, typer.Argument(help="An exported folder; the log of the data folder if not given.")
    ] = None,
    vkey: Annotated[Path | None, typer.Option(help="The signer's key, from elsewhere.")] = None,
    witness: Annotated[Path | None, typer.Option(help="Keys of witnesses, one of which must have co-signed.")] = None,
    checkpoint: Annotated[Path | None, typer.Option(help="An older checkpoint that must be a prefix.")] = None,
    as_json: AsJson = False,
) -> None:
    """核验 Recompute every hash and check the signature; of the data folder also that its consents, uses and profiles
    are what the log says. Exit status 1 when anything does not hold."""
    files = {"--vkey": vkey, "--witness": witness, "--checkpoint": checkpoint}
    options = [word for name, file in files.items() if file for word in (name, str(file))]
    options += ["--json"] if as_json else []
    if folder is not None:
        raise typer.Exit(verify_main([str(folder), *options]))
    _recorded()
    with tempfile.TemporaryDirectory() as temporary:
        exported = Path(temporary) / "log"

        async def work(services: Services) -> list[Flaw]:
            await write_export(services, exported)
            return await services.evidence.audit()

        flaws = run(work)
        for flaw in flaws:
            say(f"数据与日志不符 not what the log says: {flaw.table} {flaw.id}: {flaw.what}")
        raise typer.Exit(verify_main([str(exported), *options]) or (1 if flaws else 0))


def _texts(proof: Sequence[bytes]) -> list[str]:
    return [base64.b64encode(node).decode() for node in proof]


@app.command()
def prove(index: int, as_json: AsJson = False) -> None:
    """包含证明 Inclusion proof of entry INDEX in the current checkpoint."""

    async def work(services: Services) -> tuple[str, list[str]]:
        evidence = services.evidence
        if not 0 <= index < evidence.size:
            raise InvalidRequest(at="index", mend=f"below the log's size {evidence.size}")
        return await evidence.checkpoint(), _texts(await evidence.inclusion(index, evidence.size))

    text, proof = run(work)
    if as_json:
        print_json({"index": index, "checkpoint": text, "proof": proof})
    else:
        write("\n".join([text, *proof]))


@app.command()
def consistency(
    since: Annotated[Path, typer.Option("--from", help="An older checkpoint, a file.")], as_json: AsJson = False
) -> None:
    """一致性证明 Proof that the log only grew since the older checkpoint."""
    older = read_file(since).decode("utf-8", "replace")

    async def work(services: Services) -> tuple[int, str, list[str]]:
        evidence = services.evidence
        try:
            keys = await evidence.log_keys()
            old, signers = open_checkpoint(older, [Vkey.parse(evidence.vkey), *keys.keys])
        except NoteError:
            raise InvalidRequest(at="from", mend="a checkpoint signed by this log's key") from None
        if any((limit := keys.limit(vkey)) is not None and old.size > limit for vkey in signers):
            raise LogBroken(at="key", mend="signed by a key after it was replaced: keep both signed heads")
        if not 0 < old.size <= evidence.size:
            raise LogBroken(at="size", mend="the log is shorter than the older checkpoint: keep both signed heads")
        proof = await evidence.consistency(old.size, evidence.size)
        text = await evidence.checkpoint()
        try:
            new, _signers = open_checkpoint(text, [Vkey.parse(evidence.vkey)])
            verify_consistency(old.size, new.size, proof, old.root, new.root)
        except ProofError:
            raise LogBroken(at="root", mend="the log was rewritten: keep both signed heads") from None
        return old.size, text, _texts(proof)

    size, text, proof = run(work)
    if as_json:
        print_json({"from": size, "checkpoint": text, "proof": proof})
    else:
        write("\n".join([text, *proof]))


@app.command()
def checkpoint() -> None:
    """检查点 The signed checkpoint."""
    write(run(lambda services: services.evidence.checkpoint()), end="")


@app.command()
def show(
    uscc: Annotated[str | None, typer.Option(help="Only entries about this enterprise.")] = None,
    consent_id: Annotated[str | None, typer.Option("--consent", help="Only entries about this consent.")] = None,
    actor: Annotated[str | None, typer.Option(help="Only what this client did.")] = None,
    officer: Annotated[str | None, typer.Option(help="Only what this officer of --actor asked.")] = None,
    event: Annotated[str | None, typer.Option(help="Only this event, e.g. permit.refused.")] = None,
    outcome: Annotated[str | None, typer.Option(help="Only this code, e.g. consent_revoked.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only what names this platform.")] = None,
    since: Annotated[str | None, typer.Option(help="From this time on, e.g. 2026-11-24T06:00:00Z.")] = None,
    until: Annotated[str | None, typer.Option(help="Before this time.")] = None,
    last: Annotated[int, typer.Option(min=1, max=EXPORTED, help="At most this many, newest last.")] = 50,
    export: Annotated[Path | None, typer.Option(help="Write all that are found, with proofs, to this file.")] = None,
    form: Annotated[Form, typer.Option("--format", help="Of the rows in that file: csv, jsonl or xlsx.")] = "csv",
    as_json: AsJson = False,
) -> None:
    """查看 Entries of the log, whole, newest last; each look is an entry itself."""
    named = {
        "enterprise": uscc,
        "consent": consent_id,
        "actor": actor,
        "officer": officer,
        "event": event,
        "outcome": outcome,
        "platform": platform,
        "since": since,
        "until": until,
    }
    asked = asked_for({name: value for name, value in named.items() if value is not None})
    if export is not None:
        body = run(lambda services: take(services, OPERATOR, searching(services, asked), form, mask=False))
        try:
            export.write_bytes(body)
        except OSError:
            raise InvalidRequest(at="export", mend="the file cannot be written") from None
        say(f"已导出 exported: {export}")
        return
    read = run(lambda services: newest(services, OPERATOR, searching(services, asked), last))
    parsed = [(one.index, orjson.loads(one.entry)) for one in read]
    if as_json:
        print_json([{"index": index, "entry": entry} for index, entry in parsed])
    else:
        rows = [[i, e["time"], e["event"], e.get("actor"), e.get("consent")] for i, e in parsed]
        print_table("证据日志 evidence log", ["序号", "时间", "事件", "操作人", "授权"], rows)


@app.command()
def resume() -> None:
    """续接 After the database was lost or put back: go on as a log of another `origin`, which cites the last head."""

    async def work() -> None:
        async with open_services(settings(), resume=True) as services:
            say(f"已续接 resumed: {services.settings.origin}, {services.evidence.size} entries")

    asyncio.run(work())


@app.command()
def check(
    file: Path,
    vkey: Annotated[Path, typer.Option(help="The signer's key, from elsewhere.")],
    log: Annotated[Path | None, typer.Option(help="An exported log, to make masked rows again.")] = None,
) -> None:
    """核对 Hold a file of `log show --export`, or of the HTTP interface, against the log's key; needs no database."""
    try:
        keys = [Vkey.parse(line) for line in read_file(vkey).decode("utf-8", "replace").split()]
    except NoteError:
        raise InvalidRequest(at="vkey", mend="verifier keys, one a line") from None
    data = read_file(file)
    try:
        checked = check_archive(data, keys, None if log is None else exported_log(log, keys))
    except LogBroken as error:
        say(f"不成立 does not hold: {error.details['at']}")
        raise typer.Exit(1) from None
    write(f"{checked.entries} 条记录在 {checked.size} 条的日志中 entries are in the log of {checked.size}")
    told = checked.export
    by = ", ".join(told["by"]) or "没有条件，区间内无遗漏 no condition: none of the range is left out"
    write(f"检索区间 searched: [{told['first']}, {told['end']}); 条件 by: {by}")
    if not told["complete"]:
        write(f"文件未收完，其余从此处起 the file is full: the rest begins at {told['end']}")
    if not checked.remade:
        write("记录已遮盖：文件与导出时一致；--log 可重算 masked: as it was exported; --log makes the rows again")


@app.command()
def anomalies(
    last: Annotated[int, typer.Option(min=1, max=REPORTED, help="How many of the newest entries to read.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """异常 What in the newest entries deserves a second look; nobody is accused of anything."""
    found = run(lambda services: report(services, OPERATOR, last))
    if as_json:
        print_json([shown(one) for one in found])
    else:
        rows = [
            [
                one.rule,
                f"{one.actor} {short(one.officer)}" if one.officer else one.actor,
                one.count,
                ", ".join(map(str, one.indexes)),
                f"{one.zh}\n{one.en}",
            ]
            for one in found
        ]
        print_table("异常报告 anomalies", ["规则", "操作人", "次数", "条目", "说明"], rows)
        if not found:
            say("没有超过阈值的情形 nothing passed a threshold")
