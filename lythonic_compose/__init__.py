"""Steps wired into a graph, run, and recorded as typed rows.

A function is a node; what flows between nodes is typed; what a run did is kept as models of
`lythonic_state`. This is the door: it re-exports the rooms and holds no code of its own.
"""

__all__: list[str] = []
