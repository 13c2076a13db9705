"""``xinqiao demo``."""

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from connectors.sandbox.scenarios import SCENARIOS
from gateway.cli.profile import print_profile
from gateway.cli.shared import AsJson, print_json, say
from gateway.demo import run_demo
from gateway.telemetry import configure_logging
from schemas.errors import InvalidRequest


def demo(
    keep: Annotated[Path | None, typer.Option(help="Keep data, keys and the exported log in this folder.")] = None,
    scenario: Annotated[str, typer.Option(help="A named enterprise of the sandbox.")] = "clean",
    as_json: AsJson = False,
) -> None:
    """演示 The main job end to end on loopback with invented enterprises."""
    names = [one.name for one in SCENARIOS]
    if scenario not in names:
        raise InvalidRequest(at="scenario", mend=", ".join(names))
    configure_logging(level=40)
    if keep is not None:
        result = asyncio.run(run_demo(keep, say, scenario))
    else:
        with tempfile.TemporaryDirectory(prefix="xinqiao-") as folder:
            result = asyncio.run(run_demo(Path(folder), say, scenario))
    if as_json:
        print_json(result)
    else:
        print_profile(result["profile"])
    if not result["log"]["verified"]:
        raise typer.Exit(1)
