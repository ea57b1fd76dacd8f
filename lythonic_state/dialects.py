"""How the two databases differ in the text of SQL, and nothing else.

No values, no models, no connection: a `Dialect` answers how a name is quoted, how a column is read
and bound, and how the few operators are spelt that SQLite and PostgreSQL spell differently.
"""

from __future__ import annotations

from typing import Literal

from .codecs import Codec, Encoder
from .table import ColumnSpec

DialectName = Literal["sqlite", "postgres"]


class Dialect:
    """The spelling of one database. `mark` is the placeholder of a bound value."""

    name: DialectName
    mark: str

    def __init__(self, folding: str = "") -> None:
        self.folding = folding
        """The collation by whose rules `ilike` folds upper and lower case, where SQL does it."""

    def quote(self, name: str) -> str:
        """A name as an identifier inside a statement that has bound values."""
        return '"' + name.replace('"', '""') + '"'

    def quote_ddl(self, name: str) -> str:
        """A name as an identifier inside a statement without bound values."""
        return '"' + name.replace('"', '""') + '"'

    def type_of(self, codec: Codec) -> str:
        return codec.sqlite_type if self.name == "sqlite" else codec.postgres_type

    def encoder(self, codec: Codec) -> Encoder:
        return codec.encode_sqlite if self.name == "sqlite" else codec.encode_postgres

    def column(self, column: ColumnSpec, alias: str | None = None) -> str:
        """The column in an expression, as it is stored."""
        name = self.quote(column.name)
        return f"{self.quote(alias)}.{name}" if alias else name

    def read(self, column: ColumnSpec, alias: str | None = None) -> str:
        """The column in a SELECT list, in the form that its codec decodes."""
        return self.readable(self.column(column, alias), column.codec)

    def readable(self, sql: str, codec: Codec) -> str:
        return sql

    def bind(self, codec: Codec) -> str:
        """The placeholder of a value of this codec."""
        return self.mark

    def order(self, sql: str, codec: Codec, descending: bool, nullable: bool) -> str:
        """An ORDER BY term; NULLs come first ascending and last descending."""
        return self.sortable(sql, codec) + (" DESC" if descending else "")

    def sortable(self, sql: str, codec: Codec) -> str:
        """The expression whose order in SQL is the order of the values in Python."""
        if codec.ordering == "path":
            # The separator sorts below every character, and stays apart from a character 1.
            one, two = f"{self.character}(1)", f"{self.character}(2)"
            return f"replace(replace({sql}, {one}, {one} || {two}), '/', {one} || {one})"
        return sql

    @property
    def character(self) -> str:
        """The function that makes a text of one character from its number."""
        return "char"

    @property
    def begin(self) -> str:
        raise NotImplementedError


class SqliteDialect(Dialect):
    name = "sqlite"
    mark = "?"

    @property
    def begin(self) -> str:
        return "BEGIN IMMEDIATE"


class PostgresDialect(Dialect):
    name = "postgres"
    mark = "%s"

    def quote(self, name: str) -> str:
        return '"' + name.replace('"', '""').replace("%", "%%") + '"'

    def readable(self, sql: str, codec: Codec) -> str:
        if codec.postgres_type == "JSONB":
            return f"{sql}::text"
        if codec.postgres_type == "TIMESTAMPTZ":
            return f"({sql} AT TIME ZONE 'UTC')"
        return sql

    def bind(self, codec: Codec) -> str:
        return "%s::" + codec.postgres_type.removesuffix(' COLLATE "C"').lower()

    def order(self, sql: str, codec: Codec, descending: bool, nullable: bool) -> str:
        nulls = (" NULLS LAST" if descending else " NULLS FIRST") if nullable else ""
        return super().order(sql, codec, descending, nullable) + nulls

    @property
    def character(self) -> str:
        return "chr"

    @property
    def begin(self) -> str:
        return "BEGIN"


SQLITE = SqliteDialect()
POSTGRES = PostgresDialect(folding="pg_c_utf8")
POSTGRES_BEFORE_17 = PostgresDialect(folding="default")
