"""How did a row come to be, and what was made of it? What users ask of the lineage of rows.

The rules by which rows flow stand in `lineage.py`; here they begin at a row or a node, and end in
rows, a node or an explanation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from itertools import islice
from typing import Any

from lythonic_state import (
    SyncConnection,
    UserCtx,
    col,
    select_columns,
)
from lythonic_state.fields import frozen, mutable, replace
from lythonic_state.identity import is_scoped, models_of_table, table_name

from ..errors import RunNotFound, UnknownName, nearest
from .explanation import Explanation, LineageInput, LineageStep, numbered, shortened
from .history import of_tenant, run_by_id
from .lineage import Lineage, Source
from .origins import KeysOfTable, RowKey, newest_origins
from .payloads import members
from .row_lists import Places, Reader, RowList, current_rows, needs_context, row_key, stored_key
from .tables import (
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    PayloadRows,
    RowOrigin,
)

SHOWN_ROWS = 3
"""So many rows of a step are named in an explanation."""
LOOKED_AT = 1000
"""So many rows of a value are looked at, to say who wrote them."""


@frozen
class Asking:
    """Whom a question about rows is put to, and by whom."""

    conn: SyncConnection
    places: Places
    """Where the rows themselves are; most often the same."""
    user_ctx: UserCtx = None

    def lineage(self) -> Lineage:
        return Lineage(self.conn)

    def read(
        self, sources: Sequence[Source], models: Iterable[type[Any]], limit: int | None
    ) -> RowList[Any]:
        known = {table_name(model): model for model in models}
        return Reader(self.conn, self.places, self.user_ctx).read(
            self.visible(sources), known, limit
        )

    def visible(self, sources: Sequence[Source]) -> list[Source]:
        """Those of the tenant that asks."""
        only = of_tenant(self.user_ctx)
        if not only:
            return list(sources)
        ids = list({source.node.run_id for source in sources})
        runs = {run.run_id for run in DagRun.select(self.conn, run_id=ids, **only)}
        return [source for source in sources if source.node.run_id in runs]


def rows_of(
    asking: Asking, run_id: str, label: str, model: type[Any], limit: int | None
) -> RowList[Any]:
    run = run_by_id(asking.conn, run_id, asking.user_ctx)
    if run is None:
        raise RunNotFound(f"there is no run {run_id!r} in this store")
    nodes = _nodes_at(asking.conn, [run], label, run_id)
    table = table_name(model)
    only = [
        replace(source, tables=(table,))
        for source in asking.lineage().written_by(nodes)
        if table in source.tables
    ]
    return asking.read(only, [model], limit)


def origin_of(asking: Asking, row: Any) -> NodeExecution | None:
    found = _writer_of(asking, row)
    return None if found is None else found.node


def upstream_rows(asking: Asking, row: Any, limit: int | None) -> RowList[Any]:
    found = _writer_of(asking, row)
    if found is None:
        return RowList()
    return asking.read(asking.lineage().feeding([found.node]), [type(row)], limit)


def downstream_rows(asking: Asking, row: Any, limit: int | None) -> RowList[Any]:
    known = stored_key(row)
    if known is None:
        return RowList()
    return asking.read(asking.lineage().fed_by(*known), [type(row)], limit)


def explain(asking: Asking, row: Any, depth: int, steps: int) -> Explanation:
    known = stored_key(row)
    shown = named(row)
    if known is None:
        return Explanation(shown, None)
    first = _writer_of(asking, row)
    made = _Chain(asking, depth, steps)
    if first is not None:
        made.follow(first, shown)
    text = _text_now(asking, row, known[1])
    return Explanation(shown, text, tuple(made.steps()), tuple(made.cut))


def named(row: Any) -> RowKey:
    """Which row it is; its key is None where it is not set."""
    known = stored_key(row)
    model: type[Any] = type(row)
    return RowKey(table_name(model), None) if known is None else row_key(model, known[1])


def _writer_of(asking: Asking, row: Any) -> Source | None:
    """The newest attempt that wrote a row, with its node."""
    known = stored_key(row)
    if known is None:
        return None
    table, key = known
    wrote = newest_origins(asking.conn, table, [key]).get(key)
    if wrote is None:
        return None
    (found,) = _sources(asking.conn, [wrote.node_attempt_id], table) or (None,)
    return None if found is None or not asking.visible([found]) else found


def _sources(conn: SyncConnection, attempt_ids: Iterable[int], table: str) -> list[Source]:
    attempts = NodeAttempt.select(
        conn, node_attempt_id=list(attempt_ids), order_by="node_attempt_id"
    )
    nodes = {
        node.node_execution_id: node
        for node in NodeExecution.select(
            conn, node_execution_id=list({each.node_execution_id for each in attempts})
        )
    }
    return [
        Source(nodes[each.node_execution_id], each, (table,))
        for each in attempts
        if each.node_execution_id in nodes
    ]


def _nodes_at(
    conn: SyncConnection, runs: Sequence[DagRun], label: str, run_id: str
) -> list[NodeExecution]:
    """The nodes of a label, or of a path to what is inside: "pages/fetch", "router/text/parse"."""
    ids = [run.run_id for run in runs]
    found = NodeExecution.select(conn, run_id=ids, node_label=label, order_by="node_execution_id")
    if found:
        return found
    outer, _, rest = label.partition("/")
    inside = DagRun.select(conn, parent_run_id=ids, parent_label=outer) if rest else []
    branches = {run.branch for run in inside if run.branch is not None}
    branch, _, after = rest.partition("/")
    if branch in branches and after:
        inside, rest = [run for run in inside if run.branch == branch], after
    if inside:
        return _nodes_at(conn, inside, rest, run_id)
    hashes = {run.graph_hash for run in runs if run.graph_hash is not None}
    known = {
        each
        for graph in GraphSnapshot.select(conn, graph_hash=list(hashes))
        for each in graph.nodes
    }
    known |= {node.node_label for node in NodeExecution.select(conn, run_id=ids)}
    if outer in known:
        return []
    raise UnknownName(f"run {run_id!r} has no node {label!r}{nearest(outer, known)}")


def _text_now(asking: Asking, row: Any, key: int | str) -> str | None:
    model: type[Any] = type(row)
    if is_scoped(model) and asking.user_ctx is None:
        raise needs_context(model)
    # it was given as it is somewhere; where its table is not, that is all there is to show
    now = row
    rows = asking.places.of(model)
    if rows is not None:
        now = current_rows(rows, model, [key], asking.user_ctx).get(key)
    return None if now is None else shortened(now.model_dump_json())


@mutable(slots=False)
class _Begun:
    """A step of a chain, while the chain is followed."""

    source: Source
    number: int
    rows: dict[RowKey, None] = field(default_factory=dict[RowKey, None])
    """Of the chain; the first of them where it is all that the step wrote."""
    whole: int | None = None
    """How many rows the step wrote, where all of them are of the chain."""
    upstream: list[int] = field(default_factory=list[int])
    seeds: list[RowKey] = field(default_factory=list[RowKey])


class _Chain:
    """Steps and the steps before them, level by level, each once."""

    def __init__(self, asking: Asking, depth: int, most: int) -> None:
        self._asking = asking
        self._lineage = asking.lineage()
        self._depth = depth
        self._most = most
        self._begun: dict[int, _Begun] = {}
        self.cut: list[str] = []

    def follow(self, first: Source, row: RowKey) -> None:
        level = [self._begin(first)]
        level[0].rows[row] = None
        for _ in range(self._depth):
            following: list[_Begun] = []
            for step in level:
                following += self._before(step)
            level = following
        if level:
            numbers = numbered([step.number for step in level])
            self.cut.append(f"What fed {numbers} is not looked at (depth={self._depth}).")

    def _begin(self, source: Source) -> _Begun:
        assert source.attempt is not None
        step = _Begun(source, len(self._begun) + 1)
        self._begun[source.attempt.node_attempt_id] = step
        return step

    def _before(self, step: _Begun) -> list[_Begun]:
        """The steps whose rows fed one; returns those that are new."""
        sources = self._asking.visible(self._lineage.feeding([step.source.node]))
        new: list[_Begun] = []
        left_out = 0
        for source, rows in self._writers(step, sources):
            assert source.attempt is not None
            known = self._begun.get(source.attempt.node_attempt_id)
            if known is None:
                if len(self._begun) >= self._most:
                    left_out += 1
                    continue
                known = self._begin(source)
                new.append(known)
            if known.whole is None and rows is None:
                known.rows, known.whole = self._some(source), self._count(source)
            elif known.whole is None:
                known.rows.update(dict.fromkeys(rows or ()))
            if known.number not in step.upstream:
                step.upstream.append(known.number)
        if left_out:
            self.cut.append(
                f"{left_out} more attempts fed step {step.number} (steps={self._most})."
            )
        return new

    def _writers(
        self, step: _Begun, sources: Sequence[Source]
    ) -> Iterator[tuple[Source, list[RowKey] | None]]:
        """Who wrote the rows of sources, and which of their rows; None for all that they wrote."""
        for source in sources:
            if source.attempt is not None:
                yield source, None
        held = [each for source in sources for each in source.held]
        # what the step itself wrote, or others since, is not what it was fed
        began = self._first_origin(step) if held else None
        for rows in held:
            pages = KeysOfTable(self._asking.conn, rows.table_name, (), [rows], LOOKED_AT).pages()
            keys = next(pages, [])
            wrote = newest_origins(self._asking.conn, rows.table_name, keys, began)
            by_attempt: dict[int, list[RowKey]] = {}
            for key in keys:
                shown = _shown_key(rows.table_name, key)
                if key in wrote:
                    by_attempt.setdefault(wrote[key].node_attempt_id, []).append(shown)
                elif len(step.seeds) < SHOWN_ROWS and shown not in step.seeds:
                    step.seeds.append(shown)
            count = sum(last - first + 1 for first, last in rows.ranges) + len(rows.texts)
            if count > len(keys):
                self.cut.append(
                    f"Of the {count} rows of {rows.table_name} in a value that fed step "
                    f"{step.number}, {len(keys)} are looked at."
                )
            found = _sources(self._asking.conn, by_attempt, rows.table_name)
            for writer in self._asking.visible(found):
                assert writer.attempt is not None
                yield writer, by_attempt[writer.attempt.node_attempt_id]

    def _first_origin(self, step: _Begun) -> int | None:
        assert step.source.attempt is not None
        attempt_id = step.source.attempt.node_attempt_id
        found = RowOrigin.first(
            self._asking.conn, node_attempt_id=attempt_id, order_by="row_origin_id"
        )
        return None if found is None else found.row_origin_id

    def _some(self, source: Source) -> dict[RowKey, None]:
        assert source.attempt is not None
        found: list[RowKey] = []
        for table in source.tables:
            attempts = [source.attempt.node_attempt_id]
            keys = KeysOfTable(self._asking.conn, table, attempts, page=SHOWN_ROWS)
            found += [_shown_key(table, key) for key in next(keys.pages(), [])]
        return dict.fromkeys(found[:SHOWN_ROWS])

    def _count(self, source: Source) -> int:
        assert source.attempt is not None
        attempt_id = source.attempt.node_attempt_id
        ranges: Any = select_columns(
            self._asking.conn,
            col(RowOrigin.first_key),
            col(RowOrigin.last_key),
            node_attempt_id=attempt_id,
            key_text=None,
        )
        texts = RowOrigin.select_count(
            self._asking.conn, node_attempt_id=attempt_id, ne__key_text=None
        )
        return texts + sum(int(last) - int(first) + 1 for first, last in ranges)

    # -- the facts

    def steps(self) -> Iterator[LineageStep]:
        """All of them, with what is known of their nodes and runs."""
        begun = list(self._begun.values())
        if not begun:
            return
        conn = self._asking.conn
        nodes = [step.source.node for step in begun]
        runs = {
            run.run_id: run
            for run in DagRun.select(conn, run_id=list({node.run_id for node in nodes}))
        }
        hashes = list({run.graph_hash for run in runs.values() if run.graph_hash is not None})
        graphs = {each.graph_hash: each for each in GraphSnapshot.select(conn, graph_hash=hashes)}
        inputs = _inputs(conn, self._lineage, nodes, runs)
        for step in begun:
            node, attempt = step.source.node, step.source.attempt
            run = runs.get(node.run_id)
            assert attempt is not None
            if run is None:  # removed while this was read
                continue
            graph = graphs.get(run.graph_hash or "")
            yield LineageStep(
                step.number,
                node.node_label,
                node.run_id,
                run.dag_nsref,
                run.path,
                attempt.number,
                attempt.finished_at,
                "unknown" if graph is None else graph.code_hashes.get(node.node_label, "unknown"),
                tuple(inputs.get(node.node_execution_id, ())),
                tuple(islice(step.rows, SHOWN_ROWS)),
                len(step.rows) if step.whole is None else step.whole,
                tuple(sorted(step.upstream)),
                tuple(step.seeds),
            )


def _inputs(
    conn: SyncConnection,
    lineage: Lineage,
    nodes: Sequence[NodeExecution],
    runs: Mapping[str, DagRun],
) -> dict[int, list[LineageInput]]:
    """What nodes were given, by the node; values that are nothing but rows are not read."""
    by_label = {(node.run_id, node.node_label): node for node in nodes}
    edges = [
        edge
        for edge in EdgeTraversal.select(
            conn,
            run_id=list(runs),
            downstream_label=list({label for _, label in by_label}),
            ne__param=None,
            order_by="edge_traversal_id",
        )
        if (edge.run_id, edge.downstream_label) in by_label
    ]
    outputs = lineage.values((edge.run_id, edge.upstream_label) for edge in edges)
    rows = PayloadRows.select(
        conn,
        payload_hash=list(
            {
                *outputs.values(),
                *(run.source_inputs for run in runs.values() if run.source_inputs is not None),
            }
        ),
        only_rows=True,
    )
    only_rows = {(each.payload_hash, each.place) for each in rows}
    texts = lineage.texts(
        [
            *(each for each in outputs.values() if (each, "") not in only_rows),
            *(run.source_inputs for run in runs.values()),
        ]
    )
    found: dict[int, list[LineageInput]] = {}
    for node in nodes:
        given = runs[node.run_id].source_inputs if node.run_id in runs else None
        if given is None or given not in texts:
            continue
        mine = members(texts[given]).get(node.node_label)
        for param, text in () if mine is None else members(mine).items():
            held = (given, f"{node.node_label}.{param}") in only_rows
            found.setdefault(node.node_execution_id, []).append(
                LineageInput(param, "given", None if held else shortened(text))
            )
    for edge in edges:
        node = by_label[edge.run_id, edge.downstream_label]
        value = texts.get(outputs.get((edge.run_id, edge.upstream_label), ""))
        found.setdefault(node.node_execution_id, []).append(
            LineageInput(
                edge.param or "", edge.upstream_label, None if value is None else shortened(value)
            )
        )
    return found


def _shown_key(table: str, key: int | str) -> RowKey:
    """A key as its model has it, where that is known; else as it is kept."""
    models = models_of_table(table)
    if isinstance(key, str) and not models:
        parts = json.loads(key)
        return RowKey(table, tuple(parts) if isinstance(parts, list) else key)
    return row_key(models[0], key) if models else RowKey(table, key)
