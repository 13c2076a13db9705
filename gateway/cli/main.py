"""The main command: options before the command, its groups, and errors turned into text and exit status."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.api.routing import place_of
from gateway.cli import connectors, consent, database, demo, keys, log, operations, profile, retention, witness
from gateway.cli.shared import State, fail
from schemas.errors import InternalError, XinqiaoError

app = typer.Typer(
    name="xinqiao",
    help="信桥：经企业授权，从公共数据平台取数、互相核验，给出一份签名、可追溯的企业信用画像。\n\n"
    "One signed, traceable enterprise credit profile from public data platforms, with the enterprise's consent.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
retention.add_commands(consent.app)
app.add_typer(consent.app, name="consent")
app.add_typer(profile.app, name="profile")
app.add_typer(connectors.app, name="connectors")
app.add_typer(log.app, name="log")
app.add_typer(keys.app, name="keys")
app.add_typer(database.app, name="db")
app.add_typer(operations.config_app, name="config")
app.command("schema")(operations.schema)
app.command("serve")(operations.serve)
app.command("sandbox")(operations.sandbox)
app.command("witness")(witness.witness)
app.command("demo")(demo.demo)


@app.callback()
def options(
    config: Annotated[Path | None, typer.Option(help="Settings, a TOML file.", envvar="XINQIAO_CONFIG")] = None,
    data: Annotated[Path | None, typer.Option(help="Data folder.", envvar="XINQIAO_DATA")] = None,
) -> None:
    State.config, State.data = config, data


def _options_first(arguments: list[str]) -> list[str]:
    """``--data`` and ``--config`` may also stand behind the command they are meant for."""
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word in ("--data", "--config"):
            first += [word, *([value] if (value := next(words, None)) is not None else [])]
        elif word.startswith(("--data=", "--config=")):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def main() -> None:
    try:
        app(_options_first(sys.argv[1:]))
    except XinqiaoError as error:
        sys.exit(fail(error))
    except Exception as error:
        # A traceback would show the text of the error, which may be anybody's data.
        sys.exit(fail(InternalError(error=type(error).__name__, where=place_of(error))))
