"""Which rows fed a node, and which nodes did a row feed? The way of rows through recorded runs.

What a node gives *carries* rows:

- where its attempt wrote rows, these and no others;
- where its value is nothing but rows (in lists, dicts and the like), these;
- a map, a switch or a graph inside carries what the last nodes of the runs inside of it carry;
- any other value may be made of all that reached its node: the rows that it holds, and those that
  *fed* the node.

A node is *fed* by what its upstreams carry along edges that feed a parameter, and by the rows that
its run was given for it. The source of a run inside another is fed by the rows in the very value
that reached it, which in a map is one element. Where that value is more than rows, it is fed by
what fed the node around it, too; in a map over a map, by the element from which the value came. A
reused output carries what it carried in the run that made it. Both directions follow the same
rules: one row is upstream of another exactly if that one is downstream of it.

What a function reads from a database by itself, and does not return as rows, is not seen. Of a node
that was run again in the same run, the last attempt counts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from lythonic_state import SyncConnection
from lythonic_state.fields import frozen

from ..events import DONE
from .origins import (
    StoredKey,
    attempts_that_wrote,
    newest_attempts,
    payloads_with,
    tables_of,
)
from .payloads import members
from .tables import DagRun, EdgeTraversal, NodeAttempt, NodeExecution, Payload, PayloadRows


@frozen
class Source:
    """Rows that a node gave: those that its attempt wrote, or those that a value held."""

    node: NodeExecution
    attempt: NodeAttempt | None
    tables: tuple[str, ...]
    held: tuple[PayloadRows, ...] = ()
    given: bool = False
    """Whether the run was given the value for this node, from outside."""

    @property
    def at(self) -> datetime | None:
        """When the value was there."""
        return self.node.started_at if self.given else self.node.finished_at


class Lineage:
    """Walks through what is recorded, many nodes at a time, each of them once."""

    def __init__(self, conn: SyncConnection) -> None:
        self._conn = conn
        self._runs: dict[str, DagRun] = {}

    # -- against the flow

    def written_by(self, nodes: Sequence[NodeExecution]) -> list[Source]:
        """The rows that nodes wrote, those inside of them and those that they reuse included."""
        found: list[Source] = []
        seen: set[int] = set()
        while nodes := [node for node in nodes if node.node_execution_id not in seen]:
            seen.update(node.node_execution_id for node in nodes)
            nodes = [origin or node for node, origin in self._made_by(nodes)]
            wrote = self._wrote(nodes)
            found += wrote.values()
            inside = self._inside(nodes)
            nodes = self._nodes(run.run_id for runs in inside.values() for run in runs.values())
        return found

    def feeding(self, nodes: Iterable[NodeExecution]) -> list[Source]:
        """What fed these nodes, each source once."""
        found: dict[Any, Source] = {}
        fed, carrying = list(nodes), list[NodeExecution]()
        seen_fed: set[int] = set()
        seen_carrying: set[int] = set()
        while fed or carrying:
            fed = _new(fed, seen_fed)
            sources, upstreams, around = self._before(fed)
            carrying = _new([*carrying, *upstreams], seen_carrying)
            more, through, last = self._carried(carrying)
            for source in (*sources, *more):
                key = (source.node.node_execution_id, source.given)
                found.setdefault(key, source)
            fed, carrying = [*around, *through], last
        return list(found.values())

    def _carried(
        self, nodes: Sequence[NodeExecution]
    ) -> tuple[list[Source], list[NodeExecution], list[NodeExecution]]:
        """The rows in what nodes gave; the nodes that may only have passed on what fed them; and
        the last nodes of the runs inside, which carry for the node around them."""
        pairs = self._made_by(nodes)
        wrote = self._wrote([origin or node for node, origin in pairs])
        held = self._held(node.output_payload for node in nodes)
        found: list[Source] = []
        passing: list[NodeExecution] = []
        streams: list[PayloadRows] = []
        for node, origin in pairs:
            made_by = origin or node
            source = wrote.get(made_by.node_execution_id)
            if source is not None:
                found.append(source)
                continue
            rows = held.get(node.output_payload or "", ())
            if mine := _with_keys(rows):
                found.append(Source(made_by, None, _tables(mine), mine))
            streams += rows
            # an override, or an output whose run is gone, came from nowhere that is known
            if made_by.status == "completed" and not _only_rows(rows):
                passing.append(made_by)
        inside = self._inside(passing)
        through = [node for node in passing if not inside.get(node.node_execution_id)]
        runs = [run.run_id for each in inside.values() for run in each.values()]
        return found, through, [*self._nodes(runs, is_sink=True), *self._streaming(streams)]

    def _before(
        self, nodes: Sequence[NodeExecution]
    ) -> tuple[list[Source], list[NodeExecution], list[NodeExecution]]:
        """What runs were given for nodes; the upstreams of these; and the nodes around them that
        handed something in."""
        runs = self._runs_of(nodes)
        nodes = [node for node in nodes if node.run_id in runs]
        upstreams = [each for ups in self._upstreams(nodes).values() for each in ups]
        given = self._given(nodes)
        sources = [
            Source(node, None, _tables(rows), rows, given=True)
            for node in nodes
            if (rows := _with_keys(given.get(node.node_execution_id, ())))
        ]
        upstreams += self._streaming(each for rows in given.values() for each in rows)
        handed = [runs[node.run_id] for node in self._needing_around(nodes, given)]
        aligned = self._aligned(handed)
        around = self._around(run for run in handed if run.run_id not in aligned)
        return sources, [*upstreams, *aligned.values()], list(around.values())

    def values(self, places: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
        """The payloads of what nodes gave, by run and label, but for nodes that wrote rows."""
        nodes = self._by_label(places)
        pairs = self._made_by(list(nodes.values()))
        made = {node.node_execution_id: origin or node for node, origin in pairs}
        wrote = self._wrote(list(made.values()))
        return {
            place: node.output_payload
            for place, node in nodes.items()
            if node.output_payload is not None
            and made[node.node_execution_id].node_execution_id not in wrote
        }

    # -- with the flow

    def fed_by(self, table: str, key: StoredKey) -> list[Source]:
        """The rows that were written by nodes which a row fed."""
        found: dict[int, Source] = {}
        carrying, fed = self._first_carriers(table, key)
        seen_carrying: set[tuple[int, _Part]] = set()
        seen_fed: set[tuple[int, _Part]] = set()
        while carrying or fed:
            carrying = _new_tagged(carrying, seen_carrying)
            fed = _new_tagged([*fed, *self._after(carrying)], seen_fed)
            streamed, given = self._holding_streams(carrying)
            fed += _new_tagged(given, seen_fed)
            carrying = [*self._reusing(carrying), *self._handing_out(carrying), *streamed]
            through, inner = self._reached(fed, found)
            carrying += through
            fed = inner
        return list(found.values())

    def _first_carriers(self, table: str, key: StoredKey) -> tuple[list[_Tagged], list[_Tagged]]:
        """The nodes that gave a row, and those that were given it from outside."""
        attempts = attempts_that_wrote(self._conn, table, key)
        node_ids = {
            attempt.node_execution_id
            for attempt in NodeAttempt.select(self._conn, node_attempt_id=attempts)
        }
        last = newest_attempts(self._conn, node_ids)
        writers = [
            node_id for node_id, attempt in last.items() if attempt.node_attempt_id in attempts
        ]
        nodes = NodeExecution.select(self._conn, node_execution_id=writers)
        held = payloads_with(self._conn, table, key)
        holding, given = self._holders(held)
        return [*((node, _WHOLE) for node in nodes), *holding], given

    def _holding_streams(self, carrying: Sequence[_Tagged]) -> tuple[list[_Tagged], list[_Tagged]]:
        """Who gave, and who was given, the stream of rows of one of these nodes."""
        wanted = {(node.run_id, node.node_label) for node, part in carrying if part.openly}
        runs, labels = _runs_and_labels(node for node, _ in carrying)
        found = PayloadRows.select(self._conn, of_run=runs, of_node=labels)
        return self._holders(each for each in found if (each.of_run, each.of_node) in wanted)

    def _holders(self, held: Iterable[PayloadRows]) -> tuple[list[_Tagged], list[_Tagged]]:
        """The nodes that gave kept values, and those that were given them from outside."""
        held = list(held)
        outputs = [each.payload_hash for each in held if not each.place]
        holding = NodeExecution.select(self._conn, output_payload=outputs, status=list(DONE))
        made = [(node, origin or node) for node, origin in self._made_by(holding)]
        wrote = self._wrote([origin for _, origin in made])
        nodes = [node for node, origin in made if origin.node_execution_id not in wrote]
        places = {(each.payload_hash, _label(each.place)) for each in held if each.place}
        runs = DagRun.select(self._conn, source_inputs=[name for name, _ in places])
        hashes = {run.run_id: run.source_inputs for run in runs}
        given = [
            node
            for node in NodeExecution.select(
                self._conn, run_id=list(hashes), node_label=[label for _, label in places]
            )
            if (hashes[node.run_id], node.node_label) in places
        ]
        return [(node, _WHOLE) for node in nodes], [(node, _WHOLE) for node in given]

    def _after(self, carrying: Sequence[_Tagged]) -> list[_Tagged]:
        """The nodes to which the output of these went."""
        tags: dict[tuple[str, str], list[_Part]] = {}
        for node, tag in carrying:
            tags.setdefault((node.run_id, node.node_label), []).append(tag)
        runs, labels = _runs_and_labels(node for node, _ in carrying)
        edges = EdgeTraversal.select(self._conn, run_id=runs, upstream_label=labels, ne__param=None)
        pairs = [
            ((edge.run_id, edge.downstream_label), (edge.run_id, edge.upstream_label))
            for edge in edges
        ]
        nodes = self._by_label(down for down, _ in pairs)
        return [
            (nodes[down], tag) for down, up in pairs if down in nodes for tag in tags.get(up, ())
        ]

    def _reusing(self, carrying: Sequence[_Tagged]) -> list[_Tagged]:
        """The nodes of other runs that gave these outputs once more."""
        tags: dict[tuple[str | None, str], list[_Part]] = {}
        for node, tag in carrying:
            tags.setdefault((node.run_id, node.node_label), []).append(tag)
        found = NodeExecution.select(
            self._conn,
            output_payload=[node.output_payload for node, _ in carrying if node.output_payload],
            reused_from=[node.run_id for node, _ in carrying],
            status="skipped",
        )
        return [
            (node, tag)
            for node in found
            for tag in tags.get((node.reused_from, node.node_label), ())
        ]

    def _handing_out(self, carrying: Sequence[_Tagged]) -> list[_Tagged]:
        """The nodes around, of those that are the last ones inside."""
        last = [node for node, _ in carrying if node.is_sink]
        runs = self._runs_of(last)
        inner = {run.run_id: run for run in runs.values() if run.parent_label is not None}
        around = self._around(inner.values())
        parents = list({node.node_execution_id: node for node in around.values()}.values())
        newest = self._inside(parents)
        wrote = self._wrote(parents)
        held = self._held(node.output_payload for node in parents)
        found: list[_Tagged] = []
        for run_id, node in around.items():
            run = inner[run_id]
            current = newest.get(node.node_execution_id, {}).get(run.map_key)
            if node.status != "completed" or current is None or current.run_id != run_id:
                continue
            rows = held.get(node.output_payload or "", ())
            openly = node.node_execution_id not in wrote and not _only_rows(rows)
            found.append((node, _Part(run.map_key, openly)))
        return found

    def _reached(
        self, fed: Sequence[_Tagged], found: dict[int, Source]
    ) -> tuple[list[_Tagged], list[_Tagged]]:
        """Notes the rows that fed nodes wrote; gives those that may only have passed it on, and
        the first nodes of the runs inside of them."""
        nodes = [node for node, _ in fed]
        wrote = self._wrote(nodes)
        held = self._held(node.output_payload for node in nodes)
        inside = self._inside([each for each in nodes if each.node_execution_id not in wrote])
        through: list[_Tagged] = []
        parts: dict[str, list[_Part]] = {}
        for node, part in fed:
            source = wrote.get(node.node_execution_id)
            if source is None and (runs := inside.get(node.node_execution_id)):
                for run in runs.values():
                    parts.setdefault(run.run_id, []).append(part)
            elif not part.openly:
                continue
            elif source is not None:
                found[node.node_execution_id] = source
            elif node.status == "completed":
                if not _only_rows(held.get(node.output_payload or "", ())):
                    through.append((node, _WHOLE))
        return through, self._handed_in(parts)

    def _handed_in(self, parts: Mapping[str, Sequence[_Part]]) -> list[_Tagged]:
        """The first nodes of runs inside, where what was handed in may carry a row unseen."""
        first = self._nodes(parts, is_source=True)
        runs = self._runs_of(first)
        need = self._needing_around(first, self._given(first))
        aligned = self._aligned([runs[node.run_id] for node in need])
        return [
            (node, _WHOLE)
            for node in need
            for part in parts[node.run_id]
            if (part.key == runs[node.run_id].map_key if node.run_id in aligned else part.openly)
        ]

    # -- what is recorded, many at a time

    def _runs_of(self, nodes: Iterable[NodeExecution]) -> dict[str, DagRun]:
        wanted = {node.run_id for node in nodes}
        missing = [run_id for run_id in wanted if run_id not in self._runs]
        if missing:
            for run in DagRun.select(self._conn, run_id=missing):
                self._runs[run.run_id] = run
        return {run_id: self._runs[run_id] for run_id in wanted if run_id in self._runs}

    def _nodes(self, run_ids: Iterable[str], **filters: Any) -> list[NodeExecution]:
        ids = list(run_ids)
        if not ids:
            return []
        return NodeExecution.select(self._conn, run_id=ids, order_by="node_execution_id", **filters)

    def _by_label(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], NodeExecution]:
        wanted = set(pairs)
        if not wanted:
            return {}
        found = NodeExecution.select(
            self._conn,
            run_id=list({run_id for run_id, _ in wanted}),
            node_label=list({label for _, label in wanted}),
        )
        return {
            (node.run_id, node.node_label): node
            for node in found
            if (node.run_id, node.node_label) in wanted
        }

    def _upstreams(self, nodes: Sequence[NodeExecution]) -> dict[int, list[NodeExecution]]:
        """By node, those whose outputs went to parameters of it."""
        wanted = {(node.run_id, node.node_label): node.node_execution_id for node in nodes}
        if not wanted:
            return {}
        runs, labels = _runs_and_labels(nodes)
        edges = EdgeTraversal.select(
            self._conn, run_id=runs, downstream_label=labels, ne__param=None
        )
        pairs = {
            ((edge.run_id, edge.upstream_label), wanted[edge.run_id, edge.downstream_label])
            for edge in edges
            if (edge.run_id, edge.downstream_label) in wanted
        }
        known = self._by_label(up for up, _ in pairs)
        found: dict[int, list[NodeExecution]] = {}
        for up, node_id in sorted(pairs):
            if up in known:
                found.setdefault(node_id, []).append(known[up])
        return found

    def _streaming(self, rows: Iterable[PayloadRows]) -> list[NodeExecution]:
        """The nodes whose streams of rows values hold."""
        places = [(each.of_run, each.of_node or "") for each in rows if each.of_run is not None]
        return list(self._by_label((run_id, label) for run_id, label in places).values())

    def _made_by(
        self, nodes: Sequence[NodeExecution]
    ) -> list[tuple[NodeExecution, NodeExecution | None]]:
        """Nodes, each with the one that made its output, where that was in an earlier run."""
        made: dict[int, NodeExecution] = {}
        reusing = {node.node_execution_id: node for node in nodes if node.reused_from is not None}
        while reusing:
            known = self._by_label(
                (node.reused_from or "", node.node_label) for node in reusing.values()
            )
            going_on: dict[int, NodeExecution] = {}
            for node_id, node in reusing.items():
                before = known.get((node.reused_from or "", node.node_label))
                if before is not None:
                    made[node_id] = before
                    if before.reused_from is not None:
                        going_on[node_id] = before
            reusing = going_on
        return [(node, made.get(node.node_execution_id)) for node in nodes]

    def _wrote(self, nodes: Sequence[NodeExecution]) -> dict[int, Source]:
        """Of those nodes that wrote rows, what they wrote."""
        by_id = {node.node_execution_id: node for node in nodes}
        if not by_id:
            return {}
        attempts = newest_attempts(self._conn, by_id)
        ids = {each.node_attempt_id: each for each in attempts.values()}
        found: dict[int, Source] = {}
        for attempt_id, tables in tables_of(self._conn, ids).items():
            attempt = ids[attempt_id]
            node = by_id[attempt.node_execution_id]
            found[node.node_execution_id] = Source(node, attempt, tuple(tables))
        return found

    def _held(self, hashes: Iterable[str | None]) -> dict[str, tuple[PayloadRows, ...]]:
        """The rows in kept values."""
        wanted = list({each for each in hashes if each is not None})
        found: dict[str, tuple[PayloadRows, ...]] = {}
        if wanted:
            for rows in PayloadRows.select(self._conn, payload_hash=wanted, place=""):
                found[rows.payload_hash] = (*found.get(rows.payload_hash, ()), rows)
        return found

    def _given(self, nodes: Sequence[NodeExecution]) -> dict[int, tuple[PayloadRows, ...]]:
        """The rows in what runs were given for nodes."""
        runs = self._runs_of(nodes)
        hashes = {run.source_inputs for run in runs.values() if run.source_inputs is not None}
        held: dict[tuple[str, str], list[PayloadRows]] = {}
        if hashes:
            for rows in PayloadRows.select(self._conn, payload_hash=list(hashes), ne__place=""):
                held.setdefault((rows.payload_hash, _label(rows.place)), []).append(rows)
        return {
            node.node_execution_id: tuple(
                held.get((runs[node.run_id].source_inputs or "", node.node_label), ())
            )
            for node in nodes
        }

    def _inside(self, nodes: Sequence[NodeExecution]) -> dict[int, dict[str, DagRun]]:
        """The runs inside of nodes, by the key of their element; the newest of each."""
        by_place = {(node.run_id, node.node_label): node.node_execution_id for node in nodes}
        if not by_place:
            return {}
        runs, labels = _runs_and_labels(nodes)
        found: dict[int, dict[str, DagRun]] = {}
        for run in DagRun.select(
            self._conn,
            parent_run_id=runs,
            parent_label=labels,
            order_by=["started_at", "run_id"],
        ):
            node_id = by_place.get((run.parent_run_id or "", run.parent_label or ""))
            if node_id is not None:
                found.setdefault(node_id, {})[run.map_key] = run
                self._runs[run.run_id] = run
        return found

    def _around(self, runs: Iterable[DagRun]) -> dict[str, NodeExecution]:
        """The nodes in which runs stand, by the run's id."""
        places = {
            run.run_id: (run.parent_run_id or "", run.parent_label or "")
            for run in runs
            if run.parent_label is not None
        }
        nodes = self._by_label(places.values())
        return {run_id: nodes[place] for run_id, place in places.items() if place in nodes}

    # -- what was handed in

    def _needing_around(
        self, nodes: Sequence[NodeExecution], given: Mapping[int, tuple[PayloadRows, ...]]
    ) -> list[NodeExecution]:
        """The first nodes of runs inside that were handed more than rows: it may be made of what
        fed the node around them."""
        runs = self._runs_of(nodes)
        first = [
            node
            for node in nodes
            if node.is_source and node.run_id in runs and runs[node.run_id].parent_label
        ]
        whole = {
            node.node_execution_id: {
                _param(each.place)
                for each in given.get(node.node_execution_id, ())
                if each.only_rows
            }
            for node in first
        }
        doubtful = [runs[node.run_id] for node in first if whole[node.node_execution_id]]
        texts = self.texts(run.source_inputs for run in doubtful)
        outer = self._given_by_path(doubtful)
        found: list[NodeExecution] = []
        for node in first:
            run = runs[node.run_id]
            params = set(_arguments(texts, run.source_inputs, node.node_label))
            branch = "" if run.branch is None else f"{run.branch}/"
            path = f"{run.parent_label}/{branch}{node.node_label}"
            # what was given to it by its path, from outside, was not handed in
            handed = params - set(outer.get(run.parent_run_id or "", {}).get(path, ())) or params
            if not params or not handed <= whole[node.node_execution_id]:
                found.append(node)
        return found

    def _given_by_path(self, inner: Iterable[DagRun]) -> dict[str, dict[str, list[str]]]:
        """The parameters that the runs around were given for nodes inside of them, by path."""
        ids = list({run.parent_run_id for run in inner if run.parent_run_id is not None})
        runs = DagRun.select(self._conn, run_id=ids) if ids else []
        texts = self.texts(run.source_inputs for run in runs)
        return {
            run.run_id: {
                path: list(members(given))
                for path, given in members(texts[run.source_inputs]).items()
                if "/" in path
            }
            for run in runs
            if run.source_inputs in texts
        }

    def _aligned(self, runs: Sequence[DagRun]) -> dict[str, NodeExecution]:
        """Of elements of a map over another map, the last node of the element of that map which
        gave exactly the value that this one was handed."""
        elements = [run for run in runs if run.map_key]
        around = self._around(elements)
        maps = list({node.node_execution_id: node for node in around.values()}.values())
        before: dict[int, dict[str, DagRun]] = {}
        only = {node_id: ups[0] for node_id, ups in self._upstreams(maps).items() if len(ups) == 1}
        made = {
            node.node_execution_id: origin or node
            for node, origin in self._made_by(list(only.values()))
        }
        inside = self._inside(list(made.values()))
        for node_id, upstream in only.items():
            origin = made[upstream.node_execution_id]
            before[node_id] = inside.get(origin.node_execution_id, {})
        partners: dict[str, DagRun] = {}
        for run in elements:
            node = around.get(run.run_id)
            if node is not None:
                partner = before.get(node.node_execution_id, {}).get(run.map_key)
                if partner is not None:
                    partners[run.run_id] = partner
        return self._that_gave(elements, partners)

    def _that_gave(
        self, elements: Sequence[DagRun], partners: Mapping[str, DagRun]
    ) -> dict[str, NodeExecution]:
        """Where a partner's output is the very text that an element was handed."""
        last = {
            node.run_id: node
            for node in self._nodes({run.run_id for run in partners.values()}, is_sink=True)
        }
        first = {node.run_id: node.node_label for node in self._nodes(partners, is_source=True)}
        hashes = [node.output_payload for node in last.values()]
        texts = self.texts(
            [*hashes, *(run.source_inputs for run in elements if run.run_id in partners)]
        )
        found: dict[str, NodeExecution] = {}
        for run in elements:
            partner = partners.get(run.run_id)
            node = None if partner is None else last.get(partner.run_id)
            if node is not None and node.output_payload is not None:
                handed = _arguments(texts, run.source_inputs, first.get(run.run_id, ""))
                if texts[node.output_payload] in handed.values():
                    found[run.run_id] = node
        return found

    def texts(self, hashes: Iterable[str | None]) -> dict[str, str]:
        """Kept values as they are stored, by their hash."""
        wanted = list({each for each in hashes if each is not None})
        if not wanted:
            return {}
        return {
            each.payload_hash: each.text for each in Payload.select(self._conn, payload_hash=wanted)
        }


class _Part(NamedTuple):
    """What of a node's output is meant: all of it, or what an element of a map gave."""

    key: str
    openly: bool
    """Whether it is to be seen in the whole; else only who got that very element got it."""


_WHOLE = _Part("", True)
_Tagged: TypeAlias = "tuple[NodeExecution, _Part]"


def _new(nodes: Iterable[NodeExecution], seen: set[int]) -> list[NodeExecution]:
    found: list[NodeExecution] = []
    for node in nodes:
        if node.node_execution_id not in seen:
            seen.add(node.node_execution_id)
            found.append(node)
    return found


def _new_tagged(nodes: Iterable[_Tagged], seen: set[tuple[int, _Part]]) -> list[_Tagged]:
    found: list[_Tagged] = []
    for node, tag in nodes:
        if (node.node_execution_id, tag) not in seen:
            seen.add((node.node_execution_id, tag))
            found.append((node, tag))
    return found


def _runs_and_labels(nodes: Iterable[NodeExecution]) -> tuple[list[str], list[str]]:
    found = [(node.run_id, node.node_label) for node in nodes]
    return list({run_id for run_id, _ in found}), list({label for _, label in found})


def _with_keys(rows: Iterable[PayloadRows]) -> tuple[PayloadRows, ...]:
    return tuple(each for each in rows if each.of_run is None)


def _tables(rows: Iterable[PayloadRows]) -> tuple[str, ...]:
    return tuple(sorted({each.table_name for each in rows}))


def _only_rows(rows: Collection[PayloadRows]) -> bool:
    return any(each.only_rows for each in rows)


def _label(place: str) -> str:
    return place.rpartition(".")[0]


def _param(place: str) -> str:
    return place.rpartition(".")[2]


def _arguments(texts: Mapping[str, str], source_inputs: str | None, label: str) -> dict[str, str]:
    """What a run was given for a node, by parameter, as text."""
    if source_inputs is None or source_inputs not in texts:
        return {}
    given = members(texts[source_inputs]).get(label)
    return {} if given is None else members(given)
