"""Brings a file's tables up to date, step by step; which step it is at is recorded in the file itself (alembic)."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from .sqlite import StoreError

SCRIPTS = Path(__file__).parent / "migrations"


def config(connection: Connection | None = None) -> Config:
    """alembic's settings: our scripts, on an open connection."""
    settings = Config()
    settings.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    return settings


@cache
def versions() -> tuple[str, ...]:
    """Every version there ever was, oldest first."""
    script = ScriptDirectory.from_config(config())
    return tuple(step.revision for step in script.walk_revisions())[::-1]


async def upgrade(engine: AsyncEngine, target: str = "head") -> None:
    """Runs the missing steps in one transaction. Raises StoreError for a file from a newer hub."""
    async with engine.begin() as connection:
        await connection.run_sync(_upgrade, target)


def _upgrade(connection: Connection, target: str) -> None:
    at = MigrationContext.configure(connection).get_current_revision()
    known = versions()
    if at is not None and at not in known:
        raise StoreError(
            f"cannot open the store: it is at version {at}, this hub knows up to {known[-1]} (use the newer hub)"
        )
    if target != "head" or at != known[-1]:
        command.upgrade(config(connection), target)
