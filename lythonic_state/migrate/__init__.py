"""How does a live database differ from its models, and how is that mended?

`live` reads the database, `changes` compares, `fill` finds values for new columns, `plan` writes
the steps, `history` keeps what was done. What a user calls stands in `schema.py`.
"""

HISTORY_TABLE = "lythonic_migrations"
"""The table that keeps what was migrated; no model may take its name."""
