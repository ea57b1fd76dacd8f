"""The ORM half: rows in and out of SQLite and PostgreSQL, against what people would use instead."""
