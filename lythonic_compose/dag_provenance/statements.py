"""Which statements keep the record of a run? Each is written once, and carried out many times."""

from __future__ import annotations

from lythonic_state import PreparedDelete, PreparedInsert, PreparedSelect, PreparedUpdate
from lythonic_state.prepared import PreparedRow

from .held import HeldRows
from .tables import (
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    Payload,
    PayloadRows,
    RowOrigin,
)

PAYLOAD = PreparedInsert(
    Payload, "payload_hash", "type_name", "restorable", "text", on_conflict="ignore"
)
PAYLOAD_ROWS = PreparedInsert(PayloadRows, "payload_hash", *HeldRows._fields)
GRAPH = PreparedInsert(
    GraphSnapshot,
    *("graph_hash", "nodes", "edges", "code_hashes", "composites"),
    on_conflict="ignore",
)
RUN = PreparedInsert(
    DagRun,
    *("run_id", "dag_nsref", "path", "parent_run_id", "parent_label", "map_key", "branch"),
    *("status", "started_at", "source_inputs", "withheld", "graph_hash", "tenant", "initiated_by"),
    "scheduled_at",
    *("targets", "writes", "rows_to", "owner", "heartbeat_at"),
)
RUN_BY_ID = PreparedSelect(DagRun, "run_id")
BELOW = PreparedSelect(DagRun, "parent_run_id", "status")
SET_STATUS = PreparedUpdate(DagRun, ["status"], ["run_id"])
HOLD = PreparedUpdate(DagRun, ["status"], ["run_id", "fence"])
PIN = PreparedUpdate(DagRun, ["pinned"], ["run_id"])
_ENDING = ["status", "finished_at", "failed_node", "error", "sink_outputs"]
FINISH = PreparedUpdate(DagRun, _ENDING, ["run_id"])
FINISH_OWN = PreparedUpdate(DagRun, _ENDING, ["run_id", "fence"], only={"status": "running"})
TAKE_OVER = PreparedUpdate(
    DagRun,
    [*_ENDING, "graph_hash", "writes", "rows_to", "owner", "fence", "heartbeat_at"],
    ["run_id", "fence"],
)
ABANDON = PreparedUpdate(DagRun, ["owner", "heartbeat_at"], ["owner", "status"])
LEAVE = PreparedUpdate(DagRun, ["owner", "heartbeat_at"], ["run_id", "owner", "status"])
BEAT = PreparedUpdate(DagRun, ["heartbeat_at"], ["owner", "status"])
NODE = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "status", "is_source", "is_sink", "started_at", "finished_at"),
    *("error", "input_payload", "output_payload", "reused_from"),
    on_conflict="ignore",
)
START = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "is_source", "is_sink", "started_at", "input_payload"),
    always={"status": "running"},
    on_conflict="ignore",
)
WHOLE_NODE = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "is_source", "is_sink", "started_at", "finished_at"),
    *("input_payload", "output_payload"),
    always={"status": "completed"},
    on_conflict="ignore",
)
NODE_BY_LABEL = PreparedSelect(NodeExecution, "run_id", "node_label")
NODES_OF = PreparedSelect(NodeExecution, "run_id", "status")
_OUTCOME = ["status", "finished_at", "error", "output_payload", "reused_from"]
END_NODE = PreparedUpdate(NodeExecution, _OUTCOME, ["node_execution_id"])
STOP_NODE = PreparedUpdate(NodeExecution, _OUTCOME, ["node_execution_id", "status"])
COMPLETE = PreparedUpdate(
    NodeExecution,
    ["finished_at", "output_payload"],
    ["node_execution_id"],
    always={"status": "completed"},
)
START_AGAIN = PreparedUpdate(
    NodeExecution, [*_OUTCOME, "started_at", "input_payload"], ["node_execution_id"]
)
ATTEMPT = PreparedInsert(
    NodeAttempt,
    *("node_execution_id", "number", "fence", "owner", "started_at"),
    always={"status": "running"},
)
WHOLE_ATTEMPT = PreparedInsert(
    NodeAttempt,
    *("node_execution_id", "number", "fence", "owner", "started_at", "finished_at"),
    always={"status": "completed"},
)
ATTEMPTS_OF = PreparedSelect(NodeAttempt, "node_execution_id")
COMPLETE_ATTEMPT = PreparedUpdate(
    NodeAttempt,
    ["finished_at"],
    ["node_attempt_id"],
    always={"status": "completed"},
    only={"status": "running"},
)
REVIVE = PreparedUpdate(NodeAttempt, ["status"], ["node_execution_id", "number"])
KEEP_OUTPUT = PreparedUpdate(NodeExecution, ["output_payload"], ["node_execution_id"])
FAIL_ATTEMPT = PreparedUpdate(
    NodeAttempt, ["status", "finished_at", "error", "again_at"], ["node_attempt_id", "status"]
)
END_ATTEMPTS = PreparedUpdate(
    NodeAttempt, ["status", "finished_at", "error"], ["node_execution_id", "status"]
)
EDGE = PreparedInsert(
    EdgeTraversal,
    *("run_id", "upstream_label", "downstream_label", "param", "rule", "traversed_at"),
)
ORIGIN = PreparedInsert(
    RowOrigin, "node_attempt_id", "table_name", "first_key", "last_key", "span", "key_text"
)
ORIGIN_OF_TEXT = PreparedSelect(RowOrigin, "node_attempt_id", "table_name", "key_text")
COMPOSITES_OF = PreparedRow(GraphSnapshot, ["composites"], ["graph_hash"])
EDGES_OF = PreparedRow(GraphSnapshot, ["edges"], ["graph_hash"])
FORGET_EDGES = PreparedDelete(EdgeTraversal, "run_id", "upstream_label")
