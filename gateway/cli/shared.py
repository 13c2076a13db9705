"""What all commands share: settings, opened services, printing, and errors as text with exit status 1 or 2."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.services import Services, open_services
from gateway.settings import Settings, load_settings
from schemas.errors import ConfigurationError, FixError, XinqiaoError
from schemas.problems import problem

T = TypeVar("T")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

err = Console(stderr=True)


class State:
    """Options given before the command; set once by the callback of the main command."""

    config: Path | None = None
    data: Path | None = None


def settings() -> Settings:
    return load_settings(State.config, data=State.data)


def say(text: str) -> None:
    """Progress, for people: standard error."""
    err.print(text, highlight=False, markup=False, soft_wrap=True)


def write(text: str, end: str = "\n") -> None:
    """Standard output, at once: behind a pipe a server's first line must not wait for a full buffer."""
    sys.stdout.write(text + end)
    sys.stdout.flush()


def print_json(value: Any) -> None:
    write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def plain(value: object) -> str:
    """Somebody's text for a table: no markup, and nothing that steers a terminal or turns the reading direction."""
    return escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value)))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else plain(cell) for cell in row))
    Console().print(table)


def run(work: Callable[[Services], Coroutine[Any, Any, T]]) -> T:
    """Open the services of the settings, do ``work``, close them."""

    async def inside() -> T:
        async with open_services(settings()) as services:
            return await work(services)

    return asyncio.run(inside())


def fail(error: XinqiaoError) -> int:
    """Both languages on standard error; 2 where the use was wrong, 1 where something did not hold or is down."""
    body = problem(error)
    details = " ".join(f"{k}={v}" for k, v in sorted(error.details.items()))
    say(f"{error.code}{': ' + details if details else ''}")
    say(f"{body['title_zh']}：{body['detail_zh']}\n{body['title']}: {body['detail']}")
    return 2 if isinstance(error, FixError | ConfigurationError) else 1


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ConfigurationError(at=path.name, mend="the file cannot be read") from None
