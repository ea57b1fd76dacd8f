"""Authors, books and loans of two libraries in one database, in every colour.

python -m examples.library                                     # SQLite in memory, sync
python -m examples.library sqlite:///library.db --async        # a file, with aiosqlite
python -m examples.library postgresql://user@host/database     # PostgreSQL
"""
