"""Which nodes and edges were described?

Describing only: nothing is checked beyond one call, planned or run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, overload

from ._inline import is_inline
from .errors import DagError, UnknownName, WrongKind, nearest
from .signature import Method


@dataclass(frozen=True, slots=True)
class NodeSpec:
    """A function under a label."""

    label: str
    method: Method
    inline: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """The way from one node to another; to a named parameter, or merely to its start."""

    upstream: str
    downstream: str
    param: str | None = None
    order_only: bool = False


class Node:
    """A node of a graph, to be wired: `a >> b`, `a >> [b, c]`, `[b, c] >> d`."""

    def __init__(self, graph: Graph, label: str) -> None:
        self.graph = graph
        self.label = label

    def __repr__(self) -> str:
        return f"<node {self.label}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and (self.graph, self.label) == (other.graph, other.label)

    def __hash__(self) -> int:
        return hash((id(self.graph), self.label))

    @property
    def spec(self) -> NodeSpec:
        return self.graph.specs[self.label]

    @overload
    def __rshift__(self, downstream: Node) -> Node: ...
    @overload
    def __rshift__(self, downstream: Sequence[Node]) -> Nodes: ...
    def __rshift__(self, downstream: Node | Sequence[Node]) -> Node | Nodes:
        return _wire([self], downstream)

    def __rrshift__(self, upstream: Iterable[Node]) -> Node:
        _wire(_nodes(upstream), self)
        return self


class Nodes(Sequence[Node]):
    """Several nodes at once, as the end of `a >> [b, c]`."""

    def __init__(self, nodes: Iterable[Node]) -> None:
        self._nodes = tuple(nodes)

    def __getitem__(self, index: Any) -> Any:
        return self._nodes[index]

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<nodes {', '.join(node.label for node in self._nodes)}>"

    @overload
    def __rshift__(self, downstream: Node) -> Node: ...
    @overload
    def __rshift__(self, downstream: Sequence[Node]) -> Nodes: ...
    def __rshift__(self, downstream: Node | Sequence[Node]) -> Node | Nodes:
        return _wire(self._nodes, downstream)

    def __rrshift__(self, upstream: Iterable[Node]) -> Nodes:
        _wire(_nodes(upstream), self)
        return self


class Graph:
    """Nodes by label and edges in the order of their description."""

    def __init__(self) -> None:
        self.specs: dict[str, NodeSpec] = {}
        self._edges: dict[Edge, None] = {}

    @property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(self._edges)

    def node(self, function: Callable[..., Any], label: str | None = None) -> Node:
        """Adds a function as a node, under its own name if no label is given.

        Example:
            >>> dag.node(fetch) >> dag.node(transform, "clean")

        Raises:
            WrongKind: it is not callable.
            DagError: the label is taken, or is none.
        """
        if isinstance(function, Node):
            raise WrongKind(f"{function!r} is a node already; wire it with >>")
        method = Method(function)
        name = method.name if label is None else label
        _check_label(name)
        if name in self.specs:
            raise DagError(
                f"there is a node {name!r} already; give this one a label of its own: "
                f"dag.node({method.name}, label={name + '_2'!r})"
            )
        self.specs[name] = NodeSpec(name, method, is_inline(function))
        return Node(self, name)

    def edge(
        self,
        upstream: Node | Callable[..., Any] | str,
        downstream: Node | Callable[..., Any] | str,
        *,
        param: str | None = None,
        order_only: bool = False,
    ) -> None:
        """Adds an edge to a parameter that is named, or one that only says what comes first.

        Nodes are given as such, by label, or by the function. Labels are looked up by `validate`.

        Example:
            >>> dag.edge(old, compare, param="before")
            >>> dag.edge(make_tables, load, order_only=True)

        Raises:
            DagError: both a parameter and `order_only` are given.
        """
        if param is not None and order_only:
            raise DagError("an order-only edge carries no value; drop param= or order_only=")
        edge = Edge(self.label_of(upstream), self.label_of(downstream), param, order_only)
        self._edges[edge] = None

    def label_of(self, node: Node | Callable[..., Any] | str) -> str:
        """The label of a node, of the only node with this function, or the label itself.

        Raises:
            DagError: the node is of another graph, or several have this function.
            UnknownName: no node has this function.
        """
        if isinstance(node, str):
            return node
        if isinstance(node, Node):
            if node.graph is not self:
                raise DagError(
                    f"the node {node.label!r} belongs to another Dag; add its function to this one"
                )
            return node.label
        return self.label_of_function(node)

    def label_of_function(self, function: Callable[..., Any]) -> str:
        labels = [spec.label for spec in self.specs.values() if spec.method.target == function]
        if len(labels) == 1:
            return labels[0]
        if labels:
            raise DagError(f"several nodes run this function: {', '.join(labels)}; give the label")
        name = getattr(function, "__name__", repr(function))
        raise UnknownName(f"no node runs {name}{nearest(name, self.specs)}")

    def nodes(self) -> dict[str, Node]:
        """The nodes by label, in the order of their description."""
        return {label: Node(self, label) for label in self.specs}


def upstreams_of(edges: Iterable[Edge], labels: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """For each label the nodes that its edges come from, in the order of the edges."""
    found: dict[str, dict[str, None]] = {label: {} for label in labels}
    for edge in edges:
        if edge.downstream in found and edge.upstream in found:
            found[edge.downstream][edge.upstream] = None
    return {label: tuple(ups) for label, ups in found.items()}


def downstreams_of(upstreams: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The same read the other way round, in the order of the nodes."""
    found: dict[str, list[str]] = {label: [] for label in upstreams}
    for label, ups in upstreams.items():
        for up in ups:
            found[up].append(label)
    return {label: tuple(downs) for label, downs in found.items()}


def _check_label(label: Any) -> None:
    if not isinstance(label, str) or not label or "/" in label or "\0" in label:
        raise DagError(f"{label!r} cannot be a label: a label is text without '/', and not empty")


def _nodes(given: Any) -> Iterator[Node]:
    if isinstance(given, Node):
        yield given
        return
    if not isinstance(given, Iterable) or isinstance(given, str):
        name = getattr(given, "__name__", repr(given))
        raise WrongKind(
            f"nodes are wired with nodes, and {name} is none; write dag.node({name}) first"
        )
    for item in given:
        yield from _nodes(item)


def _wire(upstream: Iterable[Node], downstream: Any) -> Node | Nodes:
    targets = tuple(_nodes(downstream))
    for source in upstream:
        for target in targets:
            source.graph.edge(source, target)
    return downstream if isinstance(downstream, Node) else Nodes(targets)
