"""Does the tutorial's first half work as it is written: a namespace, and a Dag of what is in it?"""

from __future__ import annotations

from typing import Any

import pytest

from lythonic_compose import DagError, NsRef

REGISTERED = '''
from lythonic_compose.namespace import Namespace

def fetch(url: str) -> dict:
    """Simulate fetching data from a URL."""
    return {"source": url, "raw": [1, 2, 3]}

def transform(data: dict) -> dict:
    """Double every value in the raw data."""
    return {"source": data["source"], "values": [v * 2 for v in data["raw"]]}

ns = Namespace()
ns.register(fetch, nsref="pipeline.data:fetch")
ns.register(transform, nsref="pipeline.data:transform")
'''

VALIDATE = '''
def validate(data: dict) -> dict:
    """Check that values are positive."""
    assert all(v > 0 for v in data["values"]), "Negative value found"
    return data
'''

URL = "https://example.com/data"
FETCHED = {"source": URL, "raw": [1, 2, 3]}
TRANSFORMED = {"source": URL, "values": [2, 4, 6]}


def ran(*programs: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "program"}
    for number, program in enumerate(programs):
        exec(compile(program, f"program{number}", "exec"), names)
    return names


def test_what_is_registered_is_called_by_path_and_by_dots(
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ran(
        REGISTERED,
        """
node = ns.get("pipeline.data:fetch")
result = node(url="https://example.com/data")
print(result)
first = result

# Dot-access walks the branches automatically
result = ns.pipeline.data.fetch(url="https://example.com/data")
""",
    )

    assert names["first"] == names["result"] == FETCHED
    assert capsys.readouterr().out == f"{FETCHED}\n"


def test_a_node_carries_its_signature_path_and_decorator() -> None:
    names = ran(
        REGISTERED,
        """
def loud(function):
    return lambda **kwargs: ("loud", function(**kwargs))

node = ns.register(fetch, nsref="pipeline.loud:fetch", decorate=loud)
result = node(url="https://example.com/data")
""",
    )

    node = names["node"]
    assert node.nsref == NsRef("pipeline.loud:fetch")
    assert [arg.name for arg in node.method.args] == ["url"]
    assert (node.method.return_annotation, node.method.doc) == (
        dict,
        "Simulate fetching data from a URL.",
    )
    assert names["result"] == ("loud", FETCHED)


async def test_a_dag_of_plain_functions_runs() -> None:
    names = ran(
        REGISTERED,
        """
from lythonic_compose.namespace import Dag

dag = Dag()
dag.node(fetch) >> dag.node(transform)
""",
    )

    result = await names["dag"](url=URL)
    assert (result.status, result.outputs) == ("completed", {"transform": TRANSFORMED})


async def test_a_dag_of_registered_nodes_runs_under_their_names() -> None:
    names = ran(
        REGISTERED,
        """
from lythonic_compose.namespace import Dag

dag = Dag()
fetch_node = dag.node(ns.get("pipeline.data:fetch"))
transform_node = dag.node(ns.get("pipeline.data:transform"))
fetch_node >> transform_node
""",
    )

    assert [node.label for node in names["dag"].topological_order()] == ["fetch", "transform"]
    result = await names["dag"](url=URL)
    assert result.outputs == {"transform": TRANSFORMED}
    assert result[names["transform"]] == TRANSFORMED


def test_a_block_validates_at_its_end() -> None:
    ran(
        REGISTERED,
        """
from lythonic_compose.namespace import Dag

with Dag() as dag:
    dag.node(fetch) >> dag.node(transform)
# Validation runs automatically here
""",
    )
    with pytest.raises(DagError, match="cycle"):
        ran(
            REGISTERED,
            """
from lythonic_compose.namespace import Dag

with Dag() as dag:
    f, t = dag.node(fetch), dag.node(transform)
    f >> t >> f
""",
        )


async def test_one_node_feeds_several_after_it() -> None:
    names = ran(
        REGISTERED,
        VALIDATE,
        """
from lythonic_compose.namespace import Dag

with Dag() as dag:
    f = dag.node(fetch)
    t = dag.node(transform)
    v = dag.node(validate)
    f >> t >> v

with Dag() as fan:
    f = fan.node(fetch)
    f >> [fan.node(transform), fan.node(transform, label="again")]
""",
    )

    assert (await names["dag"](url=URL)).outputs == {"validate": TRANSFORMED}
    assert (await names["fan"](url=URL)).outputs == {
        "transform": TRANSFORMED,
        "again": TRANSFORMED,
    }
