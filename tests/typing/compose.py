"""Types of wiring and results: right uses with `assert_type`, wrong ones with an ignore each."""

# pyright: reportUnusedExpression=false

from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from lythonic_compose import (
    Dag,
    DagContext,
    DagNode,
    DagProvenance,
    DagRun,
    DagRunner,
    DagRunResult,
    Method,
    Namespace,
    NamespaceFragment,
    NamespaceNode,
    NodeExecution,
    NsCacheConfig,
    NsNodeConfig,
    NsRef,
    NullProvenance,
    dag_factory,
    initiated_by,
    inline,
    mount_required,
    mountable,
    nsnode,
    require_cache,
)
from lythonic_compose.graph import Nodes


def fetch(url: str) -> list[int]:
    raise NotImplementedError


@inline
def total(numbers: list[int]) -> int:
    raise NotImplementedError


async def shown(number: int) -> str:
    raise NotImplementedError


async def wiring() -> None:
    dag = Dag()
    a, b, c = dag.node(fetch), dag.node(total, label="sum"), dag.node(shown)
    assert_type(a, DagNode)
    assert_type(a >> b, DagNode)
    assert_type(a >> [b, c], Nodes)
    assert_type([a, b] >> c, DagNode)
    assert_type(a >> [b, c] >> c, DagNode)
    with Dag() as inner:
        assert_type(inner, Dag)
    assert_type(total([1]), int)

    a >> fetch  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    dag.node(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dag.edge(a, b, param=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def results(dag: Dag) -> None:
    assert_type(await dag(url="x"), DagRunResult)
    result = dag.run_sync(url="x")
    assert_type(result[fetch], list[int])
    assert_type(result[total], int)
    assert_type(result[shown], str)
    assert_type(result["shown"], Any)
    assert_type(result.raise_for_status(), DagRunResult)
    if result.status == "complete":  # type: ignore[comparison-overlap]
        raise AssertionError


async def history(dag: Dag) -> None:
    async with DagProvenance(Path("runs.db")) as store:
        await DagRunner(dag, store).run(source_inputs={"fetch": {"url": "x"}})
        assert_type(store.get_run("x"), DagRun | None)
        assert_type(store.get_node_executions("x"), list[NodeExecution])
        with store.open() as conn:
            runs = DagRun.select(conn, status="failed", order_by="-started_at", limit=20)
            assert_type(runs, list[DagRun])
            assert_type(runs[0].started_at, datetime)
        async with store.open() as aconn:
            assert_type(await DagRun.select(aconn), list[DagRun])
        store.get_recent_runs(status="done")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DagRunner(dag, NullProvenance(), max_concurrency=4)
    DagRunner(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@nsnode(tags=["slow"])
@require_cache
def priced(item: str, *, day: int = 0) -> float:
    raise NotImplementedError


@dag_factory
def daily() -> Dag:
    raise NotImplementedError


@mountable
class Files(NamespaceFragment):
    def mount(self, storage: object) -> None:
        raise NotImplementedError

    @nsnode
    @mount_required
    def newest(self, folder: Path) -> Path:
        raise NotImplementedError


class ShopContext(DagContext):
    client: Path
    rate: int = 1


def namespaces(ns: Namespace) -> None:
    node = ns.register(fetch, nsref="a:fetch", tags=["slow"])
    assert_type(node(url="x"), list[int])
    assert_type(node("x"), list[int])
    assert_type(ns.register(shown, config=NsNodeConfig()).method, Method)
    assert_type(ns.register(priced)("pear", day=1), float)
    assert_type(ns.register("json:dumps")([1], indent=2), Any)
    assert_type(ns.register(Dag(), "a:b").nsref, NsRef)
    assert_type(ns.get("a:b")("anything", goes=1), Any)
    assert_type(ns.query("slow & ~market"), list[NamespaceNode])
    assert_type(priced("pear"), float)
    assert_type(daily(), Dag)
    assert_type(Files().newest(Path("x")), Path)
    ns.register_fragment(Files, "files:", configs={"newest": NsCacheConfig(min_ttl=1, max_ttl=2)})

    @ns.register
    def above(number: int) -> str:
        raise NotImplementedError

    assert_type(above(1), str)
    Dag().node(node)
    Dag().node(ns.get("a:b"))

    node(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    node(uri="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    ns.register(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    priced(item=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def contexts(ctx: ShopContext) -> None:
    assert_type(ctx.client, Path)
    assert_type(ctx.attempt, int)
    assert_type(await ctx.ns_acall("a:b", item=1), Any)
    ShopContext(client=Path("x"), run_id="r")
    ShopContext(run_id="r")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with initiated_by("usr_1") as who:
        assert_type(who, str)
