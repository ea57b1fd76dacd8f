"""Which tables hold what is kept of runs?

All of them are models of the state layer and are queried as such. Nothing is written or read here.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from lythonic_state import DbModel, ForeignKey, Index, PrimaryKey, Transient, Unique
from lythonic_state.later import Later

from ..errors import WrongRunState
from ..events import NodeStatus, RunStatus
from ..plan import EdgeRule
from ..values import Encoded, decode_named

if TYPE_CHECKING:
    from . import shown
else:  # for notebooks
    shown = Later(__package__, "shown")

STORE_VERSION = 1
PAYLOAD_FORMAT = 1


class Record(DbModel, abstract=True):
    """A row whose columns are also items: `run.status` and `run["status"]`."""

    # a table is worked out with the first row of it, and not when a program starts
    model_config = ConfigDict(defer_build=True)

    def __getitem__(self, name: str) -> Any:
        return _item(self, name)


class Payload(Record, table="payloads"):
    """A value as text, once for each content.

    `text` is JSON. Where `restorable` is False, the value does not come back from it exactly, and
    it is there to be looked at.
    """

    payload_hash: Annotated[str, PrimaryKey()]
    format_version: int = PAYLOAD_FORMAT
    type_name: str
    restorable: bool
    text: str


class GraphSnapshot(Record, table="graphs"):
    """A graph as it was run: its nodes with their code hashes, and its edges with their rules."""

    graph_hash: Annotated[str, PrimaryKey()]
    nodes: list[str]
    edges: list[tuple[str, str, str | None, str]]
    code_hashes: dict[str, str]
    """By label; "unknown" where the code of a node could not be hashed."""
    composites: list[str] = Field(default_factory=list)
    """The nodes that are maps, switches or graphs of their own."""


class RunIO(BaseModel):
    """What a run was given and what it gave, as JSON text."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    source_inputs_json: str | None = None
    """By node and parameter, without what is secret."""
    sink_outputs_json: str | None = None
    """By label."""

    def __getitem__(self, name: str) -> Any:
        return _item(self, name)


class NodeIO(BaseModel):
    """What a node was given and what it returned, as JSON text."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    input_json: str | None = None
    """By parameter, without what is secret and what was left to its default."""
    output_json: str | None = None
    output_type: str | None = None
    """The type that brings the output back, as "module:qualname"."""
    restorable: bool = False
    """Whether the output comes back exactly."""

    def __getitem__(self, name: str) -> Any:
        return _item(self, name)


class DagRun(
    Record,
    table="dag_runs",
    constraints=[
        Index("status", "started_at"),
        # of a run, one of these two: the newest outermost runs are found without looking at others
        Index("started_at", where="parent_run_id IS NULL"),
        *(
            Index(name, where=f"{name} IS NOT NULL")
            for name in ("parent_run_id", "source_inputs", "sink_outputs")
        ),
    ],
):
    """A run of a graph."""

    run_id: Annotated[str, PrimaryKey()]
    dag_nsref: str | None = None
    path: str = ""
    """Where a nested run stands: "pipeline:dag/chunks[0]"."""
    parent_run_id: Annotated[str | None, ForeignKey("DagRun.run_id", on_delete="cascade")] = None
    parent_label: str | None = None
    """The node of the parent in which this run stands; None for a run that was only begun there."""
    map_key: str = ""
    """The element of a map that it is for."""
    branch: str | None = None
    """The way that a switch went to it."""
    status: RunStatus
    started_at: Annotated[AwareDatetime, Index()]
    finished_at: AwareDatetime | None = None
    failed_node: str | None = None
    error: str | None = None
    source_inputs: Annotated[str | None, ForeignKey("Payload.payload_hash")] = None
    withheld: list[str] = Field(default_factory=list)
    """Inputs that are not kept, or not exactly, and are asked for at a restart: "fetch.token"."""
    sink_outputs: Annotated[str | None, ForeignKey("Payload.payload_hash")] = None
    """Only where they were given as text; else they are the outputs of the sinks."""
    graph_hash: Annotated[str | None, ForeignKey("GraphSnapshot.graph_hash"), Index()] = None
    targets: list[str] | None = None
    """The nodes that it is for, where that is not the whole graph."""
    writes: list[str] | None = None
    """Of an outermost run: the nodes that write rows, by path with how: "pages/fetch:insert"; None
    where none do, and empty where none do any more."""
    rows_to: str | None = None
    """The file or URL that takes these rows, without a password; None for this store itself."""
    tenant: str | None = None
    initiated_by: str | None = None
    scheduled_at: AwareDatetime | None = None
    """The tick of a schedule that it stands for; None if no schedule began it."""
    owner: str | None = None
    """The process that runs it, and the session of its store."""
    fence: int = 1
    """Counts its owners; attempts of an older one can end nothing any more."""
    heartbeat_at: AwareDatetime | None = None
    """When its owner last said that it is alive; asked only where nothing else tells."""
    pinned: bool = False

    nodes: Annotated[dict[str, NodeExecution], Transient()] = Field(
        default_factory=dict[str, "NodeExecution"]
    )
    """By label, in the order in which they started; filled by the reads that say so."""
    io: Annotated[RunIO | None, Transient()] = None
    """What it was given and what it gave; filled by `load_io`."""

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None while it is running."""
        if self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()

    def _repr_html_(self) -> str:
        return shown.run_html(self)

    def latest_update(self) -> datetime:
        """When something last happened in this run, as far as its nodes are loaded."""
        return max(_times([self, *self.nodes.values()]))

    def nodes_changed_since(self, moment: datetime) -> list[NodeExecution]:
        """The loaded nodes that started or ended after a moment."""
        return [node for node in self.nodes.values() if any(at > moment for at in _times([node]))]


class NodeExecution(
    Record,
    table="node_executions",
    constraints=[
        Unique("run_id", "path", "node_label", "map_key"),
        *(Index(name, where=f"{name} IS NOT NULL") for name in ("input_payload", "output_payload")),
    ],
):
    """One node in one run."""

    node_execution_id: Annotated[int, PrimaryKey()] = -1
    run_id: Annotated[str, ForeignKey(DagRun, on_delete="cascade")]
    path: str = ""
    node_label: str
    map_key: str = ""
    status: NodeStatus
    is_source: bool = False
    is_sink: bool = False
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    error: str | None = None
    """The traceback of what the node raised."""
    input_payload: Annotated[str | None, ForeignKey(Payload)] = None
    """Only where it was given as text; else it is what came along the edges and was given."""
    output_payload: Annotated[str | None, ForeignKey(Payload)] = None
    reused_from: str | None = None
    """The run whose output a skipped node reuses."""

    edges: Annotated[list[EdgeTraversal], Transient()] = Field(
        default_factory=list["EdgeTraversal"]
    )
    """The outgoing edges; filled by the reads that say so."""
    sub_dags: Annotated[dict[str, DagRun] | None, Transient()] = None
    """Of a map, a switch or a graph: the newest run of each part, by its key: "chunks[0]",
    "enrich[]", "router[text]"; filled by the reads that say so."""
    io: Annotated[NodeIO | None, Transient()] = None
    """What it was given and what it returned; filled by `load_io`."""

    @property
    def output(self) -> Any:
        """What the node returned, as the type that it had; None where there is nothing.

        It is made anew each time. Where the type cannot be imported (any more), or the value was
        not one that comes back exactly, it is what its JSON says: dicts, lists and text.

        Raises:
            WrongRunState: its text has not been read yet.
        """
        if self.output_payload is None:
            return None
        if self.io is None or self.io.output_json is None:
            raise WrongRunState(
                f"the output of {self.node_label!r} has not been read; call load_io of the store "
                "with its run first"
            )
        io = self.io
        return decode_named(Encoded(self.io.output_json, io.restorable, io.output_type or ""))

    def _repr_html_(self) -> str:
        return shown.nodes_html([self])

    @property
    def duration(self) -> float | None:
        """Seconds from start to end; None where one of them is not there."""
        if self.started_at is None or self.finished_at is None:
            return None
        return (self.finished_at - self.started_at).total_seconds()


class NodeAttempt(
    Record, table="node_attempts", constraints=[Unique("node_execution_id", "number")]
):
    """One call of a node's function. Only one that is still running may end the node."""

    node_attempt_id: Annotated[int, PrimaryKey()] = -1
    node_execution_id: Annotated[int, ForeignKey(NodeExecution, on_delete="cascade")]
    number: int
    fence: int
    """That of the run when the attempt began."""
    owner: str | None = None
    status: NodeStatus
    error: str | None = None
    started_at: AwareDatetime
    finished_at: AwareDatetime | None = None
    again_at: AwareDatetime | None = None
    """When the next attempt begins after this one failed."""


class EdgeTraversal(Record, table="edge_traversals"):
    """A value that went from one node to a parameter of another, and the rule that said so."""

    edge_traversal_id: Annotated[int, PrimaryKey()] = -1
    run_id: Annotated[str, ForeignKey(DagRun, on_delete="cascade"), Index()]
    path: str = ""
    map_key: str = ""
    upstream_label: str
    downstream_label: str
    param: str | None = None
    """None for an edge that only says what comes first."""
    rule: EdgeRule
    traversed_at: AwareDatetime


class RowOrigin(
    Record,
    table="row_origins",
    constraints=[
        Index("table_name", "span", "first_key"),
        Index("table_name", "key_text", where="key_text IS NOT NULL"),
    ],
):
    """Which attempt wrote which rows of a table: a range of integer keys, or one key as text.

    The newest one of a key, by `row_origin_id`, tells who wrote the row that is there now.
    """

    row_origin_id: Annotated[int, PrimaryKey()] = -1
    node_attempt_id: Annotated[int, ForeignKey(NodeAttempt, on_delete="cascade"), Index()]
    table_name: str
    first_key: int | None = None
    last_key: int | None = None
    span: int | None = None
    """`span_of` the range: who looks for a key looks near it, as far as ranges of a span reach."""
    key_text: str | None = None
    """`key_text` of `lythonic_state.identity`: JSON, a list of a composite key's parts."""


class PayloadRows(
    Record,
    table="payload_rows",
    constraints=[
        Index("table_name", "span", "first_key"),
        Index("of_run", "of_node", where="of_run IS NOT NULL"),
    ],
):
    """Which rows of a table a kept value holds, so that nothing has to be decoded to find them;
    or of which node it holds the stream of rows."""

    payload_rows_id: Annotated[int, PrimaryKey()] = -1
    payload_hash: Annotated[str, ForeignKey(Payload, on_delete="cascade"), Index()]
    place: str = ""
    """In what a run was given: the node and its parameter, "fetch.price"."""
    table_name: str
    only_rows: bool
    """Whether the value is nothing but rows, in lists, dicts and the like."""
    first_key: int | None = None
    last_key: int | None = None
    span: int | None = None
    """Of the whole stretch from the first to the last key; None where keys are text."""
    ranges: list[tuple[int, int]] = Field(default_factory=list)
    """The integer keys, in order."""
    texts: list[str] = Field(default_factory=list)
    """The keys that are text, in order."""
    of_run: str | None = None
    """Of `Rows`: the run, and below it the node, that wrote them; table and keys are not said."""
    of_node: str | None = None


def span_of(first: int, last: int) -> int:
    """How long a range of keys is, roughly: it has less than two to this power after the first."""
    return (last - first).bit_length()


class StoreMeta(Record, table="store_meta"):
    """What is known of the store itself, by name; "version" is that of its tables."""

    name: Annotated[str, PrimaryKey()]
    value: str


def _item(record: BaseModel, name: str) -> Any:
    if name not in type(record).model_fields:
        raise KeyError(name)
    return getattr(record, name)


def _times(records: Iterable[DagRun | NodeExecution]) -> list[datetime]:
    found: list[datetime] = []
    for record in records:
        found += [at for at in (record.started_at, record.finished_at) if at is not None]
        if isinstance(record, NodeExecution):
            found += [edge.traversed_at for edge in record.edges]
    return found
