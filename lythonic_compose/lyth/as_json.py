"""What does a program read? Values that become JSON, under keys that stay.

The keys are those of the stores' models. What people read stands in `run_text.py` and with each
command.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from ..dag_provenance import DagRun, NodeAttempt, NodeExecution, Recovery
from ..dag_runner import DagRunResult
from ..fit import shown
from ..plan import NodePlan, Plan
from ..values import safe_json_dumps

Attempts = Mapping[int, Sequence[NodeAttempt]]
"""By the execution of a node, in their order."""


def run_as_json(run: DagRun, *, abandoned: bool = False) -> dict[str, Any]:
    """A run by itself."""
    return {
        "run_id": run.run_id,
        "dag_nsref": run.dag_nsref,
        "path": run.path,
        "status": run.status,
        "abandoned": abandoned,
        "started_at": _moment(run.started_at),
        "finished_at": _moment(run.finished_at),
        "seconds": run.duration,
        "failed_node": run.failed_node,
        "error": run.error,
        "parent_run_id": run.parent_run_id,
        "initiated_by": run.initiated_by,
        "scheduled_at": _moment(run.scheduled_at),
        "pinned": run.pinned,
    }


def whole_run_as_json(
    run: DagRun, attempts: Attempts, *, abandoned: bool = False
) -> dict[str, Any]:
    """A run with its nodes and the runs inside of them; with what went in and out where it is
    loaded."""
    found = run_as_json(run, abandoned=abandoned)
    if run.io is not None:
        found["source_inputs"] = _value(run.io.source_inputs_json)
        found["sink_outputs"] = _value(run.io.sink_outputs_json)
    found["nodes"] = [_node(node, attempts) for node in run.nodes.values()]
    return found


def result_as_json(result: DagRunResult) -> dict[str, Any]:
    """How a run ended that was carried out here."""
    return {
        "run_id": result.run_id,
        "status": result.status,
        "failed_node": result.failed_path or result.failed_node,
        "error": result.error,
        "outputs": {
            label: _value(safe_json_dumps(value)) for label, value in result.outputs.items()
        },
        "run_again": list(result.run_again),
    }


def recovery_as_json(recovery: Recovery) -> dict[str, Any]:
    """What came of a recovery."""
    return {
        "continued": [result_as_json(result) for result in recovery.continued],
        "left": [
            {
                "run_id": run.run_id,
                "dag_nsref": run.dag_nsref,
                "reason": run.reason,
                "why": run.why,
            }
            for run in recovery.left
        ],
    }


def graph_as_json(nsref: str, plan: Plan) -> dict[str, Any]:
    """The nodes, edges and inputs of a graph."""
    return {
        "nsref": nsref,
        "nodes": [_planned(node) for node in plan.nodes.values()],
        "edges": [
            {
                "upstream": edge.upstream,
                "downstream": edge.downstream,
                "param": edge.param,
                "rule": edge.rule,
            }
            for edge in plan.edges
        ],
        "inputs": [
            {
                "node": path,
                "param": binding.param,
                "type": shown(binding.arg.annotation),
                "required": binding.rule == "input",
            }
            for path, node in plan.paths.items()
            for binding in node.bindings
            if binding.is_given
        ],
    }


def _planned(node: NodePlan) -> dict[str, Any]:
    inside = {prefix.removesuffix("/"): sub for prefix, sub in node.inside()}
    return {
        "label": node.label,
        "returns": shown(node.returns),
        "is_source": node.is_source,
        "is_sink": node.is_sink,
        "inside": {
            path: [_planned(each) for each in sub.plan.nodes.values()]
            for path, sub in inside.items()
        },
    }


def _node(node: NodeExecution, attempts: Attempts) -> dict[str, Any]:
    found: dict[str, Any] = {
        "label": node.node_label,
        "status": node.status,
        "started_at": _moment(node.started_at),
        "finished_at": _moment(node.finished_at),
        "seconds": node.duration,
        "error": node.error,
        "reused_from": node.reused_from,
        "attempts": [_attempt(each) for each in attempts.get(node.node_execution_id, ())],
        "edges": [
            {"downstream": edge.downstream_label, "param": edge.param, "rule": edge.rule}
            for edge in node.edges
        ],
        "sub_dags": None
        if node.sub_dags is None
        else {key: whole_run_as_json(run, attempts) for key, run in node.sub_dags.items()},
    }
    if node.io is not None:
        found["input"] = _value(node.io.input_json)
        found["output"] = _value(node.io.output_json)
    return found


def _attempt(attempt: NodeAttempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "status": attempt.status,
        "error": attempt.error,
        "started_at": _moment(attempt.started_at),
        "finished_at": _moment(attempt.finished_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _value(text: str | None) -> Any:
    return None if text is None else json.loads(text)
