"""``xinqiao witness``: a witness of logs as a process of its own."""

import asyncio
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from aiohttp import web

from consent.log.note import ED25519, NoteError, Vkey, parse_vkeys
from consent.log.witness import Folder, StateError, Witness
from gateway.cli.operations import until_stopped
from gateway.cli.shared import read_file, say, write
from gateway.keys import new_signing_key_pem, signing_key, write_private
from gateway.witness import witness_app
from schemas.errors import ConfigurationError, InvalidRequest


def _logs(file: Path) -> dict[str, list[Vkey]]:
    logs: dict[str, list[Vkey]] = {}
    try:
        for vkey in parse_vkeys(read_file(file)):
            if vkey.kind != ED25519:
                raise NoteError("the key of a witness, not of a log")
            logs.setdefault(vkey.name, []).append(vkey)
    except NoteError as error:
        raise InvalidRequest(at="logs", mend=str(error)) from None
    return logs


def _witness(folder: Path, held: Folder, name: str, logs: dict[str, list[Vkey]]) -> Witness:
    key = folder / "witness.pem"
    if not key.exists():
        write_private(key, new_signing_key_pem())
    try:
        return Witness(name, signing_key(key), logs, held, lambda: int(time.time()))
    except NoteError as error:
        raise InvalidRequest(at="name", mend=str(error)) from None


def witness(
    folder: Annotated[Path, typer.Argument(help="Its key and what it co-signed last; made if missing.")],
    name: Annotated[str, typer.Option(help="Its name, such as witness.example.cn/w1.")],
    logs: Annotated[Path, typer.Option(help="Verifier keys of the logs, one a line; a key's name is the origin.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8600,
) -> None:
    """见证人 Run a witness: it co-signs a log's checkpoint only where the log grew from the one before."""
    known = _logs(logs)
    try:
        with closing(Folder(folder)) as held:
            asyncio.run(_serve(_witness(folder, held, name, known), host, port))
    except (StateError, OSError) as error:
        mend = str(error) if isinstance(error, StateError) else "the folder cannot be written"
        raise ConfigurationError(at="folder", mend=mend) from None


async def _serve(judge: Witness, host: str, port: int) -> None:
    runner = web.AppRunner(witness_app(judge), access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError:
            raise ConfigurationError(at="host, port", mend="this address cannot be listened on") from None
        address = runner.addresses[0]
        write(judge.vkey.text())
        say(f"见证人 witness on http://{address[0]}:{address[1]}")
        await until_stopped()
    finally:
        await runner.cleanup()
