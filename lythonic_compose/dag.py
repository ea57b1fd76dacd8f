"""What does the user write? The face of graph, plan, runner and drawing.

Every method hands on to one of them; nothing is decided here.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lythonic_state.later import Later

from .dag_runner import DagRunner, DagRunResult
from .errors import NamespaceError
from .graph import DagNode, Function, Graph, described_in
from .plan import Input, Plan
from .planning import plan_of
from .wiring import inputs_by_node

if TYPE_CHECKING:
    from . import drawing
    from .registry import Namespace
else:  # what runs is seldom drawn
    drawing = Later(__package__, "drawing")


class Dag(Graph):
    """Functions as nodes, wired with `>>` into a graph that can be called.

    What a function returns goes to the parameter that its type fits. As a context manager it is
    validated at the end of the block. `namespace` is what nodes reach by `ctx.ns_call`; without
    one, the Dag has its own, of its functions by module and name.

    Example:
        >>> dag = Dag()
        >>> dag.node(fetch) >> dag.node(transform) >> dag.node(validate)
        >>> result = await dag(url="https://example.com")
        >>> result.outputs["validate"]
    """

    def __init__(self, namespace: Namespace | None = None) -> None:
        super().__init__()
        self._namespace = namespace
        self._plans: dict[tuple[frozenset[str], bool], tuple[Any, Plan]] = {}

    def __repr__(self) -> str:
        return f"<Dag of {len(self.specs)} nodes>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.validate()

    # what it is

    def plan(self, resources: frozenset[str] = frozenset(), write_models: bool = False) -> Plan:
        """The order of the nodes and the source of each argument.

        `resources` are the names of the parameters that a runner fills; with `write_models` every
        function writes the models that it returns.

        Raises:
            DagError: with everything that is wrong.
        """
        described = described_in(self)
        asked = (resources, write_models)
        known = self._plans.get(asked)
        if known is None or known[0] != described:
            known = self._plans[asked] = (described, plan_of(self, resources, write_models))
        return known[1]

    def validate(self) -> None:
        """Finds everything that is wrong before anything runs.

        Example:
            >>> dag.validate()

        Raises:
            DagError: `problems` lists what is wrong, each with its mend.
        """
        self.plan()

    @property
    def namespace(self) -> Namespace:
        """What nodes reach by `ctx.ns_call`: the one given, or that of the Dag's own functions.

        Example:
            >>> dag.namespace.get("shop.steps:fetch")
        """
        if self._namespace is not None:
            return self._namespace
        from .registry import Namespace  # its models of configuration are not every program's

        own = Namespace()
        for spec in self.specs.values():
            if isinstance(spec.body, Function):
                with suppress(NamespaceError):  # a lambda, or a function that is there already
                    own.register(spec.body.target)
        return own

    def topological_order(self) -> list[DagNode]:
        """The nodes so that each comes after its upstreams, and otherwise as described."""
        return [DagNode(self, label) for label in self.plan().nodes]

    def sources(self) -> list[DagNode]:
        """The nodes without upstream, in the order of their description."""
        reached = {edge.downstream for edge in self.edges}
        return [node for label, node in self.nodes().items() if label not in reached]

    def sinks(self) -> list[DagNode]:
        """The nodes without downstream, in the order of their description."""
        left = {edge.upstream for edge in self.edges}
        return [node for label, node in self.nodes().items() if label not in left]

    def inputs(self) -> dict[str, Input]:
        """What has to be given to run it, by the name of the parameter.

        Example:
            >>> list(dag.inputs())
            ['url']

        Raises:
            DagError: the graph is wrong.
        """
        return self.plan().inputs()

    # how it looks

    def explain(self) -> str:
        """A table of where each argument comes from and by which rule.

        Example:
            >>> print(dag.explain())
            node       parameter   source               rule
            ---------  ----------  -------------------  -----
            fetch      url: str    given by the caller  input
            transform  data: dict  fetch                type

        Raises:
            DagError: the graph is wrong.
        """
        return drawing.explanation(self.plan())

    def draw(self, width: int | None = 80) -> str:
        """The graph as lines of text, upstreams above downstreams.

        What is inside a composite node stands in brackets behind its label, or is drawn below. A
        graph with too many nodes beside one another for `width` columns is a list of its nodes.

        Example:
            >>> print(dag.draw())
            pages
              │
              ▼
            parse [map]

        Raises:
            DagError: the graph is wrong.
        """
        return drawing.ascii_drawing(self.plan(), width)

    def to_mermaid(self) -> str:
        """The graph in the language of mermaid, with a box around what is inside a composite.

        Example:
            >>> print(dag.to_mermaid())
            flowchart TD
                n0["pages"]
                subgraph n1["parse (map)"]
                    n2["parse"]
                end
                n0 -->|"page"| n1

        Raises:
            DagError: the graph is wrong.
        """
        return drawing.mermaid(self.plan())

    def to_dot(self) -> str:
        """The graph in the language of Graphviz, with a box around what is inside a composite.

        Example:
            >>> Path("dag.dot").write_text(dag.to_dot())

        Raises:
            DagError: the graph is wrong.
        """
        return drawing.dot(self.plan())

    def _repr_html_(self) -> str:
        return drawing.views(self.plan)["text/html"]

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return drawing.views(self.plan)

    # running it

    async def __call__(self, /, **inputs: Any) -> DagRunResult:
        """Runs the graph without keeping a record.

        Inputs are given by the name of a parameter, or by node as `label={…}`; a node inside
        others goes by its path, `**{"pages/fetch": {…}}`.

        Raises:
            DagError: the graph is wrong, or an input is missing; nothing has started.
            UnknownName: nothing takes an input of that name.
        """
        return await DagRunner(self).run(inputs_by_node(self.plan(), inputs))

    def run_sync(self, /, **inputs: Any) -> DagRunResult:
        """The same for code that does not await; also below a running event loop.

        Example:
            >>> dag.run_sync(url="https://example.com").outputs
        """
        return DagRunner(self).run_sync(inputs_by_node(self.plan(), inputs))
