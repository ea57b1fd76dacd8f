"""Which nodes and edges were described?

Describing only: nothing is checked beyond one call, planned or run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal, TypeAlias, overload

from lythonic_state.fields import frozen

from ._inline import is_inline
from .errors import DagError, UnknownName, WrongKind, nearest
from .marks import is_dag_factory
from .outputs.declared import WAYS, Writing
from .registered import NamespaceNode
from .retry import Retry
from .signature import Method

OnError: TypeAlias = Literal["fail", "skip", "collect"]

# --- what a node does -----------------------------------------------------------------------


@frozen
class Function:
    """Calls a function."""

    method: Method
    """What it takes and returns."""
    target: Callable[..., Any]
    """What is called, which may be a wrapper around it."""
    inline: bool

    @property
    def traveller(self) -> Callable[..., Any]:
        """What is called in another process: of something registered, what its calls go to."""
        target = self.target
        return target.callable if isinstance(target, NamespaceNode) else target


@frozen
class Once:
    """Runs a graph of its own once."""

    graph: Graph


@frozen
class Switch:
    """Runs one graph of several, whichever the value names."""

    branches: Mapping[str, Once]


@frozen
class Map:
    """Runs a graph, or one that each element names, for every element of a list or dict."""

    over: Once | Switch
    concurrency: int | None = None
    on_error: OnError = "fail"
    flatten: bool = False


Body: TypeAlias = Function | Once | Switch | Map


@frozen
class NodeSpec:
    """What a node does, under its label."""

    label: str
    body: Body
    retry: Retry | None = None
    timeout: float | None = None
    """Seconds that one attempt may take."""
    write: Writing | None = None
    """What becomes of the models that it returns."""

    @property
    def name(self) -> str:
        """What is called, for people."""
        return self.body.method.name if isinstance(self.body, Function) else self.label


@frozen
class Edge:
    """The way from one node to another; to a named parameter, or merely to its start."""

    upstream: str
    downstream: str
    param: str | None = None
    order_only: bool = False


class DagNode:
    """A node of a graph, to be wired: `a >> b`, `a >> [b, c]`, `[b, c] >> d`."""

    def __init__(self, graph: Graph, label: str) -> None:
        self.graph = graph
        self.label = label

    def __repr__(self) -> str:
        return f"<node {self.label}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DagNode) and (self.graph, self.label) == (other.graph, other.label)

    def __hash__(self) -> int:
        return hash((id(self.graph), self.label))

    @property
    def spec(self) -> NodeSpec:
        return self.graph.specs[self.label]

    @overload
    def __rshift__(self, downstream: DagNode) -> DagNode: ...
    @overload
    def __rshift__(self, downstream: Sequence[DagNode]) -> Nodes: ...
    def __rshift__(self, downstream: DagNode | Sequence[DagNode]) -> DagNode | Nodes:
        return _wire([self], downstream)

    def __rrshift__(self, upstream: Iterable[DagNode]) -> DagNode:
        _wire(_nodes(upstream), self)
        return self


class Nodes(Sequence[DagNode]):
    """Several nodes at once, as the end of `a >> [b, c]`."""

    def __init__(self, nodes: Iterable[DagNode]) -> None:
        self._nodes = tuple(nodes)

    def __getitem__(self, index: Any) -> Any:
        return self._nodes[index]

    def __len__(self) -> int:
        return len(self._nodes)

    def __repr__(self) -> str:
        return f"<nodes {', '.join(node.label for node in self._nodes)}>"

    @overload
    def __rshift__(self, downstream: DagNode) -> DagNode: ...
    @overload
    def __rshift__(self, downstream: Sequence[DagNode]) -> Nodes: ...
    def __rshift__(self, downstream: DagNode | Sequence[DagNode]) -> DagNode | Nodes:
        return _wire(self._nodes, downstream)

    def __rrshift__(self, upstream: Iterable[DagNode]) -> Nodes:
        _wire(_nodes(upstream), self)
        return self


class Graph:
    """Nodes by label and edges in the order of their description."""

    def __init__(self) -> None:
        self.specs: dict[str, NodeSpec] = {}
        self._edges: dict[Edge, None] = {}
        self._changes = 0
        """How often something was added or taken out."""
        self._inside: list[Graph] = []

    @property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(self._edges)

    def node(
        self,
        what: Callable[..., Any] | NamespaceNode[..., Any] | Graph,
        label: str | None = None,
        *,
        retry: Retry | None = None,
        timeout: float | timedelta | None = None,
        write: Writing | None = None,
    ) -> DagNode:
        """Adds a function as a node, under its own name if no label is given.

        A Dag, or a function marked with `@dag_factory`, becomes one node that runs it once.
        `timeout` is what one attempt may take, in seconds. With `write` the models that it returns
        are saved in their tables together with its completion: "insert", "upsert" by primary or
        alternative key, or "replace" all rows of the table.

        Example:
            >>> dag.node(fetch, retry=Retry(3)) >> dag.node(transform, "clean", timeout=30)
            >>> dag.node(parse, write="upsert")

        Raises:
            WrongKind: it is not callable.
            DagError: the label is taken, or is none; `write` is none of these, or what is to write
                is no function.
        """
        name, body = self._body(what, "dag.node")
        label = name if label is None else label
        if write is not None:
            _check_write(label, body, write)
        return self._add(label, body, retry, timeout, write)

    def map(
        self,
        what: Callable[..., Any] | NamespaceNode[..., Any] | Graph | DagNode,
        label: str | None = None,
        *,
        concurrency: int | None = None,
        on_error: OnError = "fail",
        flatten: bool = False,
    ) -> DagNode:
        """Adds a node that runs a function or a Dag for each element of a list or dict.

        The results come in the order of the elements, those of a dict under its keys. At most
        `concurrency` elements are worked on at once. An element that fails fails the node; with
        `on_error="skip"` it is left out, with "collect" there is a `Failed` in its place.
        `flatten` joins results that are lists into one. `dag.map(dag.switch(…))` decides for each
        element which way it goes.

        Example:
            >>> dag.node(pages) >> dag.map(parse, concurrency=8) >> dag.node(report)

        Raises:
            WrongKind: it is not callable.
            DagError: the label is taken, or is none.
        """
        check_limit("concurrency", concurrency)
        if on_error not in ("fail", "skip", "collect"):
            raise DagError(f'on_error={on_error!r}: it is one of "fail", "skip" and "collect"')
        name: str | None
        over: Once | Switch
        if isinstance(what, DagNode):
            name, over = self._switch_taken_out(what)
        else:
            name, body = self._body(what, "dag.map")
            if isinstance(body, Function):
                body = Once(_alone(body))
            over = body
        return self._add(
            name if label is None else label, Map(over, concurrency, on_error, flatten), None, None
        )

    def switch(
        self,
        branches: Mapping[str, Callable[..., Any] | NamespaceNode[..., Any] | Graph],
        label: str | None = None,
    ) -> DagNode:
        """Adds a node that goes one of several ways, whichever its value names.

        The value is a pair `("name", data)`, of which the branch gets the data, or a dict
        `{"__switch__": "name", …}`, which the branch gets as it is.

        Example:
            >>> dag.node(classify) >> dag.switch({"text": read_text, "pdf": read_pdf}, "read")

        Raises:
            WrongKind: a branch is not callable.
            DagError: there are no branches, or the label is taken, or is none.
        """
        if not isinstance(branches, Mapping) or not branches:
            raise DagError("a switch takes a dict with at least one branch: {'name': function, …}")
        ways: dict[str, Once] = {}
        for name, what in branches.items():
            _check_label(name, "the name of a branch")
            _, body = self._body(what, "dag.switch")
            ways[name] = Once(_alone(body)) if isinstance(body, Function) else body
        return self._add("switch" if label is None else label, Switch(ways), None, None)

    def _body(self, what: Any, how: str) -> tuple[str | None, Function | Once]:
        """What a node does that is given so, and what it would be called."""
        if isinstance(what, DagNode):
            raise WrongKind(f"{what!r} is a node already; wire it with >>")
        name = None
        method = None
        target = what
        if isinstance(what, NamespaceNode):
            name, method, what = what.nsref.name, what.method, what.target
        if is_dag_factory(what):
            name = name or Method(what).name
            made = what()
            if not isinstance(made, Graph):
                raise WrongKind(f"the @dag_factory {name} returned {made!r}, which is no Dag")
            what = made
        if isinstance(what, Graph):
            if what is self:
                raise DagError("a Dag cannot be a node of itself")
            return name, Once(what)
        if isinstance(what, (str, bytes)):
            raise WrongKind(f"expected a function, got the text {what!r}; {how}(function, label)")
        method = method or Method(target)
        return name or method.name, Function(method, target, is_inline(what))

    def _add(
        self,
        label: str | None,
        body: Body,
        retry: Retry | None,
        timeout: float | timedelta | None,
        write: Writing | None = None,
    ) -> DagNode:
        if label is None:
            raise DagError(
                'a Dag has no name of its own; give the node one: dag.node(sub, "label")'
            )
        _check_label(label)
        if label in self.specs:
            raise DagError(
                f"there is a node {label!r} already; give this one a label of its own: "
                f"label={label + '_2'!r}"
            )
        if retry is not None and not isinstance(retry, Retry):
            raise WrongKind(f"{label}: retry={retry!r}: write retry=Retry({retry!r})")
        self.specs[label] = NodeSpec(label, body, retry, _seconds(label, timeout), write)
        self._inside += [inner for _, inner in inside_of_body(body)]
        self._changes += 1
        return DagNode(self, label)

    def _switch_taken_out(self, node: DagNode) -> tuple[str, Switch]:
        label = self.label_of(node)
        spec = self.specs[label]
        wired = any(label in (edge.upstream, edge.downstream) for edge in self.edges)
        if not isinstance(spec.body, Switch) or wired:
            raise WrongKind(
                f"{node!r} is {'wired' if wired else 'no switch'}; map a function, a Dag, or a "
                "switch that is made for it: dag.map(dag.switch({…}, label))"
            )
        del self.specs[label]
        self._changes += 1
        return label, spec.body

    def edge(
        self,
        upstream: DagNode | Callable[..., Any] | str,
        downstream: DagNode | Callable[..., Any] | str,
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
        self._changes += 1

    def label_of(self, node: DagNode | Callable[..., Any] | str) -> str:
        """The label of a node, of the only node with this function, or the label itself.

        Raises:
            DagError: the node is of another graph, or several have this function.
            UnknownName: no node has this function.
        """
        if isinstance(node, str):
            return node
        if isinstance(node, DagNode):
            if node.graph is not self:
                raise DagError(
                    f"the node {node.label!r} belongs to another Dag; add its function to this one"
                )
            return node.label
        return self.label_of_function(node)

    def label_of_function(self, function: Callable[..., Any]) -> str:
        labels = [spec.label for spec in self.specs.values() if _runs(spec, function)]
        if len(labels) == 1:
            return labels[0]
        if labels:
            raise DagError(f"several nodes run this function: {', '.join(labels)}; give the label")
        name = getattr(function, "__name__", repr(function))
        around = [
            spec.label
            for spec in self.specs.values()
            for _, inner in inside_of_body(spec.body)
            if any(_runs(each, function) for each in inner.specs.values())
        ]
        if around:
            raise UnknownName(f"{name} runs inside of {', '.join(around)}; give the label")
        raise UnknownName(f"no node runs {name}{nearest(name, self.specs)}")

    def nodes(self) -> dict[str, DagNode]:
        """The nodes by label, in the order of their description."""
        return {label: DagNode(self, label) for label in self.specs}


def _runs(spec: NodeSpec, function: Any) -> bool:
    return isinstance(spec.body, Function) and (
        spec.body.target == function or spec.body.method.target == function
    )


def inside_of_body(body: Body) -> list[tuple[str, Graph]]:
    """The graphs inside a node, each with the name of its branch, if it is one."""
    inside = body.over if isinstance(body, Map) else body
    if isinstance(inside, Once):
        return [("", inside.graph)]
    if isinstance(inside, Switch):
        return [(name, branch.graph) for name, branch in inside.branches.items()]
    return []


def contained_in_itself(graph: Graph, around: tuple[Graph, ...] = ()) -> str | None:
    """The path of a node that contains the graph that it is in; None if there is none."""
    for label, spec in graph.specs.items():
        for branch, inner in inside_of_body(spec.body):
            here = f"{label}/{branch}" if branch else label
            if inner is graph or any(inner is other for other in around):
                return here
            below = contained_in_itself(inner, (*around, graph))
            if below is not None:
                return f"{here}/{below}"
    return None


def described_in(graph: Graph, around: tuple[Graph, ...] = ()) -> tuple[Any, ...]:
    """Equal as long as nothing is described further, in the graphs inside it, too."""
    inside = tuple(
        described_in(inner, (*around, graph))
        for inner in graph._inside
        if inner is not graph and all(inner is not other for other in around)
    )
    return graph._changes, inside


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


def _alone(function: Function) -> Graph:
    """A graph of one function."""
    graph = Graph()
    name = function.method.name
    label = name if name.isidentifier() else "function"
    graph.specs[label] = NodeSpec(label, function)
    return graph


def check_limit(name: str, limit: Any) -> None:
    """
    Raises:
        WrongKind: it is neither a whole number nor None.
        DagError: it is less than one.
    """
    if limit is None:
        return
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise WrongKind(f"{name}={limit!r}: a limit is a whole number, or None for none")
    if limit < 1:
        raise DagError(f"{name}={limit}: at least one has to be worked on")


def _seconds(label: str, timeout: Any) -> float | None:
    if timeout is None:
        return None
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise WrongKind(f"{label}: timeout={timeout!r}: a timeout is seconds or a timedelta")
    if not seconds > 0:
        raise DagError(f"{label}: timeout={timeout!r}: a timeout is more than no time")
    return float(seconds)


def _check_write(label: str | None, body: Body, write: Any) -> None:
    if write not in WAYS:
        raise DagError(f'{label}: write={write!r}: it is one of "insert", "upsert" and "replace"')
    if not isinstance(body, Function):
        raise DagError(
            f"{label}: write={write!r} belongs to the function that returns the models; give it to "
            "a node inside this Dag"
        )


def _check_label(label: Any, what: str = "a label") -> None:
    if not isinstance(label, str) or not label or "/" in label or "\0" in label:
        raise DagError(f"{label!r} cannot be {what}: that is text without '/', and not empty")


def _nodes(given: Any) -> Iterator[DagNode]:
    if isinstance(given, DagNode):
        yield given
        return
    if not isinstance(given, Iterable) or isinstance(given, str):
        name = getattr(given, "__name__", repr(given))
        raise WrongKind(
            f"nodes are wired with nodes, and {name} is none; write dag.node({name}) first"
        )
    for item in given:
        yield from _nodes(item)


def _wire(upstream: Iterable[DagNode], downstream: Any) -> DagNode | Nodes:
    targets = tuple(_nodes(downstream))
    for source in upstream:
        for target in targets:
            source.graph.edge(source, target)
    return downstream if isinstance(downstream, DagNode) else Nodes(targets)
