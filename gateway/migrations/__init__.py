"""The tables' history (Alembic): a new database is made by it, an older one brought up to date.

One transaction from beginning to end, on SQLite as on PostgreSQL: where it is interrupted nothing has happened, and the
next one does it all. Tables that are there already are left as they are, so a data folder that was made before there
was a history is taken up too.
"""

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from consent.tables import metadata
from gateway.jobs import tables
from schemas.errors import ConfigurationError

TABLES = (tables,)
"""Whoever else has tables of its own; importing them makes them known to ``metadata``."""
HERE = Path(__file__).parent


def upgrade(connection: Connection) -> None:
    """Bring the tables to the newest state, in the caller's transaction. Raises ConfigurationError."""
    config = Config()
    config.set_main_option("script_location", str(HERE).replace("%", "%%"))
    script = ScriptDirectory.from_config(config)
    if current(connection) not in {None, *(step.revision for step in script.walk_revisions())}:
        raise ConfigurationError(at="database", mend="its tables were made by a newer version of this program")

    def steps(revision: tuple[str, ...], _: MigrationContext) -> list[RevisionStep]:
        return script._upgrade_revs("head", revision)  # type: ignore[arg-type]

    with EnvironmentContext(config, script, fn=steps, destination_rev="head") as environment:
        environment.configure(connection=connection, target_metadata=metadata)
        environment.run_migrations()
    _check_columns(connection)


def check(connection: Connection) -> None:
    """Raise ConfigurationError where the tables are not in the newest state."""
    if current(connection) != newest():
        raise ConfigurationError(
            at="database",
            mend="it has no tables yet, or those of another version: run `xinqiao db upgrade` with the newest one",
        )


def current(connection: Connection) -> str | None:
    """The revision of the tables; None where there are none, or none with a history."""
    return MigrationContext.configure(connection).get_current_revision()


def newest() -> str | None:
    return ScriptDirectory(str(HERE)).get_current_head()


def _check_columns(connection: Connection) -> None:
    # Only tables from before there was a history can differ.
    inspector = inspect(connection)
    for table in metadata.sorted_tables:
        if {column["name"] for column in inspector.get_columns(table.name)} != set(table.columns.keys()):
            raise ConfigurationError(at="database", mend="made by an unfinished version: begin with an empty one")
