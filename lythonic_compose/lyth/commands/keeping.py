"""Which commands say what is kept? `prune`, and `cache` with what is below it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

from ...cached import CacheStats
from ...config import NsCacheConfig
from ...dag_runner import utc_now
from ...engine import Engine
from ...errors import CacheError, DagError, nearest
from ...registered import NamespaceNode
from ..app import (
    CACHE,
    DONE,
    AllEntries,
    Asked,
    DryRun,
    Json,
    KeepLast,
    Keys,
    Length,
    Misuse,
    Place,
    by_itself,
    command,
)
from ..inputs import value_of_text
from ..screen import Screen
from ..tables import Cells, Column, table


@command("prune")
def prune(
    asked: Asked,
    older_than: Length = None,
    keep_last: KeepLast = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> int:
    """Removes old runs, and makes the file smaller.

    A run that is running or pinned stays. At least one of --older-than and --keep-last is needed;
    with both, a run goes that is older and not among the newest. With --older-than, what triggers
    fired and left out before goes, too.
    """
    if older_than is None and keep_last is None:
        raise Misuse("say which runs go: --older-than, --keep-last, or both")
    screen = Screen()
    with asked.engine() as engine:
        pruned = engine.provenance.prune(
            older_than=older_than, keep_last=keep_last, dry_run=dry_run
        )
        fires = 0
        if older_than is not None:
            fires = engine.triggers.prune(utc_now() - older_than, dry_run=dry_run)
    if as_json:
        screen.show_json(
            {
                "runs": list(pruned.runs),
                "nested": pruned.nested,
                "nodes": pruned.nodes,
                "payloads": pruned.payloads,
                "fires": fires,
                "dry_run": pruned.dry_run,
            }
        )
    else:
        screen.say(
            f"{'would remove' if dry_run else 'removed'} {len(pruned.runs)} runs with "
            f"{pruned.nested} inside of them, {pruned.nodes} nodes, {pruned.payloads} values "
            f"and {fires} fires"
        )
    return DONE


@by_itself(CACHE)
def cache(asked: Asked, as_json: Json = False) -> int:
    """Lists the cached functions with their hits."""
    return listed(asked, as_json)


@command("list", CACHE)
def listed(asked: Asked, as_json: Json = False) -> int:
    """Lists the cached functions with their hits.

    A hit is a call that was answered without calling the function, a miss one that was not. A
    process writes its hits when it keeps a new result, when many have gathered, and at its end.
    """
    screen = Screen()
    with asked.engine() as engine:
        found = [(node, cast(CacheStats, node.stats())) for node in _cached_nodes(engine)]
    if as_json:
        screen.show_json([_as_json(node, stats) for node, stats in found])
    elif found:
        titles = [
            Column("function", least=16),
            *(Column(each, to_right=True) for each in ("hits", "misses", "entries")),
        ]
        rows: list[Cells] = [[str(node.nsref), *map(str, stats)] for node, stats in found]
        screen.show(table(titles, rows, screen.width))
    else:
        screen.say("no cached functions")
    return DONE


@command("invalidate", CACHE)
def invalidate(
    asked: Asked,
    nsref: Place,
    keys: Keys = None,
    everything: AllEntries = False,
    as_json: Json = False,
) -> int:
    """Forgets what a cached function returned.

    That is what it returned for these values of its parameters; those of others may be any.
    """
    with asked.engine() as engine:
        node = engine.namespace.get(nsref)
        if not isinstance(node.config, NsCacheConfig):
            known = [str(each.nsref) for each in _cached_nodes(engine)]
            raise CacheError(f"{node.nsref} is not cached{nearest(nsref, known)}")
        if bool(keys) == everything:
            raise Misuse("say which entries go, as PARAM=VALUE, or --all")
        number = node.purge() if everything else node.invalidate(**_values(node, keys or []))
    if as_json:
        Screen().show_json({"forgotten": number})
    else:
        Screen().say(f"forgot {number} results of {node.nsref}")
    return DONE


def _cached_nodes(engine: Engine) -> list[NamespaceNode]:
    return [node for node in engine.namespace if isinstance(node.config, NsCacheConfig)]


def _as_json(node: NamespaceNode, stats: CacheStats) -> dict[str, Any]:
    config = cast(NsCacheConfig, node.config)
    return {
        "nsref": str(node.nsref),
        **stats._asdict(),
        "min_ttl_seconds": cast(timedelta, config.min_ttl).total_seconds(),
        "max_ttl_seconds": cast(timedelta, config.max_ttl).total_seconds(),
    }


def _values(node: NamespaceNode, keys: list[str]) -> dict[str, Any]:
    """What was typed as name=value, as values of the parameters; an unknown one stays a text."""
    types = {arg.name: arg.annotation for arg in node.method.args}
    found: dict[str, Any] = {}
    for key in keys:
        name, sign, text = key.partition("=")
        if not sign:
            raise CacheError(f"{key!r}: write it as parameter=value")
        try:
            found[name] = value_of_text(types[name], text) if name in types else text
        except DagError as error:
            raise CacheError(f"{name}: {error}") from error
    return found
