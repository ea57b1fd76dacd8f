"""What does the user write? The face of graph, plan, runner and drawing.

Every method hands on to one of them; nothing is decided here.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

from .dag_runner import DagRunner, DagRunResult
from .drawing import ascii_drawing, explanation, mermaid
from .graph import Edge, Graph, Node
from .plan import Input, Plan, plan_of
from .wiring import inputs_by_node


class Dag(Graph):
    """Functions as nodes, wired with `>>` into a graph that can be called.

    What a function returns goes to the parameter that its type fits. As a context manager it is
    validated at the end of the block.

    Example:
        >>> dag = Dag()
        >>> dag.node(fetch) >> dag.node(transform) >> dag.node(validate)
        >>> result = await dag(url="https://example.com")
        >>> result.outputs["validate"]
    """

    def __init__(self) -> None:
        super().__init__()
        self._planned: tuple[tuple[tuple[str, ...], tuple[Edge, ...]], Plan] | None = None

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

    def plan(self) -> Plan:
        """The order of the nodes and the source of each argument.

        Raises:
            DagError: with everything that is wrong.
        """
        described = (tuple(self.specs), self.edges)
        if self._planned is None or self._planned[0] != described:
            self._planned = (described, plan_of(self))
        return self._planned[1]

    def validate(self) -> None:
        """Finds everything that is wrong before anything runs.

        Example:
            >>> dag.validate()

        Raises:
            DagError: `problems` lists what is wrong, each with its mend.
        """
        self.plan()

    def topological_order(self) -> list[Node]:
        """The nodes so that each comes after its upstreams, and otherwise as described."""
        return [Node(self, label) for label in self.plan().nodes]

    def sources(self) -> list[Node]:
        """The nodes without upstream, in the order of their description."""
        reached = {edge.downstream for edge in self.edges}
        return [node for label, node in self.nodes().items() if label not in reached]

    def sinks(self) -> list[Node]:
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
        return explanation(self.plan())

    def draw(self) -> str:
        """The graph as lines of text.

        Raises:
            DagError: the graph is wrong.
        """
        return ascii_drawing(self.plan())

    def to_mermaid(self) -> str:
        """The graph in the language of mermaid.

        Raises:
            DagError: the graph is wrong.
        """
        return mermaid(self.plan())

    # running it

    async def __call__(self, **inputs: Any) -> DagRunResult:
        """Runs the graph without keeping a record.

        Inputs are given by the name of a parameter, or by node as `label={…}`.

        Raises:
            DagError: the graph is wrong, or an input is missing; nothing has started.
            UnknownName: nothing takes an input of that name.
        """
        return await DagRunner(self).run(inputs_by_node(self.plan(), inputs))

    def run_sync(self, **inputs: Any) -> DagRunResult:
        """The same for code that does not await; also below a running event loop.

        Example:
            >>> dag.run_sync(url="https://example.com").outputs
        """
        return DagRunner(self).run_sync(inputs_by_node(self.plan(), inputs))
