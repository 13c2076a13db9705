"""``xinqiao serve``, ``sandbox``, ``config`` and ``schema``."""

import asyncio
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from aiohttp import web
from pydantic import BaseModel

from connectors.manifest import manifest_schema
from connectors.sandbox.faults import FaultsError, read_faults
from connectors.sandbox.server import PLATFORMS, start_sandbox
from gateway import memory
from gateway.app import create_app
from gateway.auth.tokens import client_keys
from gateway.cli.shared import AsJson, State, fail, print_json, print_table, say, settings
from gateway.profile.request import ProfileRequest
from gateway.services import check_connectors
from gateway.settings import Settings, settings_file
from gateway.stamping import authority
from gateway.telemetry import configure_logging
from gateway.workers import Workers, reserved
from schemas.base import json_schema
from schemas.consent import Consent, ConsentGrant
from schemas.errors import ConfigurationError, InvalidRequest, XinqiaoError
from schemas.profile import Profile
from schemas.records import CATALOGUE

config_app = typer.Typer(help="设置 Settings.", no_args_is_help=True)

_MODELS: dict[str, type[BaseModel]] = {
    "profile": Profile,
    "profile-request": ProfileRequest,
    "consent": Consent,
    "consent-grant": ConsentGrant,
    **{name: dataset.model for name, dataset in CATALOGUE.items()},
}
SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "connector": manifest_schema,
    **{name: partial(json_schema, model) for name, model in _MODELS.items()},
}


async def until_stopped() -> None:
    """Return on SIGINT or SIGTERM."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def _serve(held: Settings, host: str, port: int, shared: bool, ready: Callable[[str], None]) -> None:
    """Until SIGINT or SIGTERM; ``ready`` is told the address. ``shared``: other processes listen on the port too."""
    runner = web.AppRunner(
        create_app(held), access_log=None, shutdown_timeout=held.limits.shutdown_seconds, handle_signals=False
    )
    await runner.setup()
    try:
        with _listening():
            await web.TCPSite(runner, host, port, reuse_port=shared or None).start()
        memory.settle()
        address = runner.addresses[0]
        ready(f"http://{address[0]}:{address[1]}")
        await until_stopped()
    finally:
        await runner.cleanup()


@contextmanager
def _listening() -> Iterator[None]:
    try:
        yield
    except (OSError, OverflowError):
        raise ConfigurationError(at="host, port", mend="this address cannot be listened on") from None


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; loopback if not given.")] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
) -> None:
    """网关 Run the gateway."""
    held = settings()
    configure_logging()
    at, number = host or held.host, held.port if port is None else port
    if workers == 1:
        asyncio.run(_serve(held, at, number, False, lambda url: say(f"信桥 listening on {url}  (docs: /docs)")))
        return
    with ExitStack() as stack:
        with _listening():
            at, number = stack.enter_context(reserved(at, number))

        def worker(ready: Callable[[], None]) -> int:
            try:
                asyncio.run(_serve(held, at, number, True, lambda _: ready()))
            except XinqiaoError as error:
                return fail(error)
            return 0

        told = f"信桥 listening on http://{at}:{number}  ({workers} workers; docs: /docs)"
        sys.exit(Workers(worker).run(workers, lambda: say(told)))


def sandbox(
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.")] = 8500,
    seed: Annotated[int, typer.Option(help="Seed of the invented enterprises.")] = 1,
    faults: Annotated[Path | None, typer.Option(help="TOML: what is wrong with which platform.")] = None,
    bank: Annotated[Path | None, typer.Option(help="Folder for the bank's own database and files.")] = None,
    nonces: Annotated[Path | None, typer.Option(help="File that keeps the nonces beyond a restart.")] = None,
) -> None:
    """沙箱 Run the simulated platforms (invented enterprises only)."""
    logging.basicConfig(level=logging.WARNING)
    try:
        troubles = read_faults(faults, [kind.id for kind in PLATFORMS]) if faults else None
    except (FaultsError, OSError) as error:
        raise ConfigurationError(
            at="faults", mend=str(error) if isinstance(error, FaultsError) else "no file"
        ) from None

    async def work() -> None:
        try:
            running = await start_sandbox(port, seed=seed, faults=troubles, bank=bank, nonces=nonces)
        except (OSError, OverflowError):
            raise ConfigurationError(at="port", mend="this port cannot be listened on") from None
        say(f"沙箱 simulated platforms on {running.url}  (scenarios: {running.url}/_sandbox/scenarios)")
        try:
            await until_stopped()
        finally:
            await running.close()

    asyncio.run(work())


@config_app.command("check")
def config_check(as_json: AsJson = False) -> None:
    """检查 Read the settings, hold them against the connectors, say what they are; secrets are not shown."""
    held = settings()
    try:
        asyncio.run(check_connectors(held))
        if held.timestamps is not None:
            authority(held.timestamps)
    except ConfigurationError as error:
        file = settings_file(State.config)
        raise ConfigurationError(**error.details, **({"file": str(file)} if file else {})) from None
    for name, client in held.clients.items():
        # A private key that was pasted by mistake must not be shown.
        client_keys(f"{client.role}s.{name}", client.jwks)
    shown = orjson.loads(held.model_dump_json())
    if as_json:
        print_json(shown)
    else:
        # What has parts is shown part by part, called as in docs/settings.md.
        rows = [
            (f"{name}.{part}" if part else name, orjson.dumps(value).decode())
            for name, whole in shown.items()
            for part, value in (whole.items() if isinstance(whole, dict) and whole else [("", whole)])
        ]
        print_table("设置 settings", ["key", "value"], rows)


def schema(name: Annotated[str, typer.Argument(help=", ".join(SCHEMAS))]) -> None:
    """JSON Schema 结构 of what NAME is."""
    if name not in SCHEMAS:
        raise InvalidRequest(at="name", mend=", ".join(SCHEMAS))
    print_json(SCHEMAS[name]())
