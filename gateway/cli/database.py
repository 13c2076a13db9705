"""``xinqiao db``: the tables of the database."""

import asyncio
import sqlite3

import typer
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from consent.storage import open_store
from gateway import migrations
from gateway.cli.shared import say, settings
from gateway.services import database_place
from schemas.errors import StorageUnavailable

app = typer.Typer(help="数据库 The database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade() -> None:
    """升级 Make the tables, or bring them up to date; what is up to date is left alone. One transaction."""
    before, after = asyncio.run(_upgrade())
    say(f"数据库 database: {before or '-'} -> {after}")


async def _upgrade() -> tuple[str | None, str | None]:
    store = open_store(database_place(settings()))
    revisions: list[str | None] = []

    def tables(connection: Connection) -> None:
        revisions.append(migrations.current(connection))
        migrations.upgrade(connection)
        revisions.append(migrations.current(connection))

    try:
        await asyncio.get_running_loop().run_in_executor(store.writing, store.create, tables)
    except (SQLAlchemyError, sqlite3.Error, OSError):
        raise StorageUnavailable(retry_after=5) from None
    finally:
        await store.close()
    return revisions[0], revisions[1]
