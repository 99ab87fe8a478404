"""Moves all studies from one database into another, empty one, as from SQLite to PostgreSQL."""

from typing import Final

from sqlalchemy import Connection, Table, func, insert, select, text

from rating.errors import DatabaseError
from rating.storage.database import Database
from rating.storage.guards import drop_guards, set_guards
from rating.storage.models import Base, Study

_ROWS_AT_ONCE: Final = 200


def transfer(source: Database, target: Database) -> dict[str, int]:
    """Copy every row into an empty database and return how many of each table; all or none.

    Keys stay as they are, and with them what the root hashes of locked studies cover.

    Raises:
        DatabaseError: the target holds studies already.
    """
    copied: dict[str, int] = {}
    with source.read() as reading, target.write() as writing:
        connection = writing.connection()
        if connection.execute(select(func.count()).select_from(Study)).scalar_one():
            raise DatabaseError(f"{target.url} holds studies already; give an empty database.")
        drop_guards(connection)  # they let no row into a study that is locked
        for table in Base.metadata.sorted_tables:
            # By key, so that an item is there before the repeat that points to it.
            query = select(table).order_by(*table.primary_key)
            rows = reading.execute(query.execution_options(yield_per=_ROWS_AT_ONCE))
            copied[table.name] = 0
            for part in rows.mappings().partitions():
                connection.execute(insert(table), [dict(row) for row in part])
                copied[table.name] += len(part)
        set_sequences(connection, list(Base.metadata.tables.values()))
        set_guards(connection)
    return copied


def set_sequences(connection: Connection, tables: list[Table]) -> None:
    """Let PostgreSQL number new rows after those that were written with their keys."""
    if connection.dialect.name == "sqlite":
        return
    for table in tables:
        if "id" in table.primary_key.columns:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), "
                    f"(SELECT coalesce(max(id), 0) + 1 FROM {table.name}), false)"
                )
            )
