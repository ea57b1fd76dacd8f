"""What the type checkers must say about the public verbs, in both colours.

These files are read by mypy --strict and by basedpyright; none of them is run. A right use is
pinned with `assert_type`. A wrong use stands on a line with `# type: ignore[code]` for mypy and
`# pyright: ignore[rule]` for pyright: both checkers refuse an ignore that they do not need, so a
wrong use that is no longer an error fails the check.
"""
