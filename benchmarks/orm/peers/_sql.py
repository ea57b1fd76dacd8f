"""The SQL of those who write it by hand for SQLite: with models and without."""

from __future__ import annotations

from ..data import AUTHOR_COLUMNS, BOOK_COLUMNS, COLUMNS

TABLES = """
CREATE TABLE IF NOT EXISTS person (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, age INTEGER NOT NULL, score REAL NOT NULL,
    active INTEGER NOT NULL, email TEXT, created TEXT NOT NULL, birth TEXT NOT NULL,
    note TEXT NOT NULL, addr TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS author (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, born TEXT NOT NULL, bio TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS book (
    id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL REFERENCES author (id),
    title TEXT NOT NULL, year INTEGER NOT NULL, price REAL NOT NULL, tags TEXT NOT NULL
) STRICT;
"""
PERSON = ", ".join(COLUMNS)
INSERT = f"INSERT INTO person ({', '.join(COLUMNS[1:])}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
INSERT_KEY = f"INSERT INTO person ({PERSON}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
UPSERT = f"{INSERT_KEY} ON CONFLICT (id) DO UPDATE SET " + ", ".join(
    f"{column} = excluded.{column}" for column in COLUMNS[1:]
)
SELECT = f"SELECT {PERSON} FROM person"
GET = f"{SELECT} WHERE id = ?"
FILTER = f"{SELECT} WHERE id > ? AND id <= ? ORDER BY id"
SELECT_ALL = f"{SELECT} ORDER BY id"
UPDATE = "UPDATE person SET age = ? WHERE id = ?"
JOIN = "SELECT {}, {} FROM book b JOIN author a ON a.id = b.author_id ORDER BY b.id".format(
    ", ".join(f"b.{column}" for column in BOOK_COLUMNS),
    ", ".join(f"a.{column}" for column in AUTHOR_COLUMNS),
)
