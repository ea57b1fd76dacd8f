"""What of a node's value becomes rows of its own tables, and how do they get there?

`declared` reads types, `found` takes values apart, `spool` is where streams wait, `saving` writes,
and `rows` is what comes after a stream. Which run it belongs to is known to the recorder only.
"""
