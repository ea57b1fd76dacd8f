"""What is kept of triggers, what people ask of it, and who of several managers gets a tick."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lythonic_compose import TriggerConfig, TriggerError, TriggerStore, UnknownTrigger
from lythonic_compose.trigger.claims import Claims, Decided
from lythonic_compose.trigger.policy import MISSED
from lythonic_state import DatabaseError
from tests.compose.trigger.world import BEGIN, Clock, everywhere, told
from tests.processes import Python


def decided(claims: Claims, name: str) -> Decided:
    return claims.decide({name: False})[name]


EACH_MINUTE = TriggerConfig(schedule="* * * * *", timezone="Europe/Berlin", payload={"a": {"b": 1}})


@pytest.fixture
def store(target: Any, clock: Clock) -> Iterator[TriggerStore]:
    with TriggerStore(target, clock=clock) as made:
        yield made


def test_a_trigger_is_kept_with_its_configuration(store: TriggerStore) -> None:
    put = store.put("often", "a:dag", EACH_MINUTE)

    assert store.states() == [put]
    assert store.state("often") == put
    assert (put.config, put.nsref, put.since) == (EACH_MINUTE, "a:dag", BEGIN)
    assert put.fires
    assert store.put("often", "a:dag", EACH_MINUTE) == put


def test_an_unknown_trigger_is_an_error_with_the_nearest(store: TriggerStore) -> None:
    store.put("often", "a:dag", EACH_MINUTE)

    for ask in (store.state, store.enable, store.disable, store.request):
        with pytest.raises(UnknownTrigger, match=r"no trigger 'oftn'; did you mean 'often'\?"):
            ask("oftn")
    assert issubclass(UnknownTrigger, KeyError)
    assert store.fires() == []


def test_a_name_is_not_taken_from_what_has_it(store: TriggerStore) -> None:
    store.put("often", "a:dag", EACH_MINUTE)

    with pytest.raises(TriggerError, match=r"'often' runs a:dag already; give the one of b:dag"):
        store.put("often", "b:dag", EACH_MINUTE)


def test_what_is_disabled_stays_so_whatever_is_configured(store: TriggerStore) -> None:
    store.put_configured({"often": ("a:dag", EACH_MINUTE)})
    store.disable("often")
    store.put_configured({"often": ("a:dag", TriggerConfig(schedule="@daily"))})
    store.put_configured({})
    (again,) = store.put_configured({"often": ("b:dag", EACH_MINUTE)})

    assert not again.enabled
    assert not again.fires
    assert store.enable("often").fires


def test_what_a_configuration_has_no_more_does_not_fire(store: TriggerStore, clock: Clock) -> None:
    store.put("in code", "a:dag", EACH_MINUTE)
    store.put_configured({"often": ("a:dag", EACH_MINUTE), "daily": ("a:dag", EACH_MINUTE)})
    store.put_configured({"daily": ("a:dag", EACH_MINUTE)})

    assert {state.name: state.fires for state in store.states()} == {
        "daily": True,
        "in code": True,
        "often": False,
    }
    clock.passes(hours=1)
    store.put_configured({"often": ("a:dag", EACH_MINUTE)})
    assert store.state("often").since == clock.now, "what lay between was not missed"


def test_with_another_schedule_a_trigger_begins_anew(store: TriggerStore, clock: Clock) -> None:
    store.put("often", "a:dag", EACH_MINUTE)
    clock.passes(hours=1)
    changed = EACH_MINUTE.model_copy(update={"payload": {}, "overlap": "queue"})
    assert store.put("often", "a:dag", changed).since == BEGIN
    assert store.state("often").config == changed

    later = changed.model_copy(update={"timezone": "UTC"})
    assert store.put("often", "a:dag", later).since == clock.now


def test_enabling_lets_go_of_what_was_not_fired_meanwhile(
    store: TriggerStore, clock: Clock
) -> None:
    store.put("often", "a:dag", EACH_MINUTE)
    store.disable("often")
    clock.passes(hours=1)

    assert decided(Claims(store, "me"), "often").fires == ()
    assert store.enable("often").since == clock.now
    assert store.enable("often").since == clock.now
    clock.passes(minutes=1)
    (fire,) = decided(Claims(store, "me"), "often").fires
    assert fire.tick == clock.now


def test_disabling_empties_the_queue(store: TriggerStore) -> None:
    store.put("often", "a:dag", EACH_MINUTE)
    store.request("often", {"work": {"what": "now"}})
    store.disable("often")
    store.disable("often")

    (fire,) = store.fires()
    assert (fire.status, fire.reason, fire.ended_at) == (
        "skipped",
        "the trigger was disabled",
        BEGIN,
    )


def test_changes_are_counted_for_those_who_look(store: TriggerStore) -> None:
    claims = Claims(store, "me")
    seen = [claims.changes()]
    for change in (
        lambda: store.put("often", "a:dag", EACH_MINUTE),
        lambda: store.disable("often"),
        lambda: store.enable("often"),
        lambda: store.request("often"),
        lambda: store.put_configured({"other": ("a:dag", EACH_MINUTE)}),
        lambda: store.put_configured({}),
    ):
        change()
        seen.append(claims.changes())
    assert len(set(seen)) == len(seen)

    store.put("often", "a:dag", EACH_MINUTE)
    store.enable("often")
    assert claims.changes() == seen[-1]


def test_fires_are_listed_newest_first_by_trigger_time_and_status(
    store: TriggerStore, clock: Clock
) -> None:
    claims = Claims(store, "me")
    for name in ("often", "other"):
        store.put(name, "a:dag", EACH_MINUTE)
        clock.passes(minutes=1)
        decided(claims, name)
    decided(claims, "often")  # whose run has not ended

    assert told(store.fires(), "trigger", "status") == [
        ("often", "skipped"),
        ("other", "claimed"),
        ("often", "claimed"),
    ]
    assert told(store.fires("often", limit=1), "status") == ["skipped"]
    assert told(store.fires(since=clock.now), "trigger") == ["often", "other"]
    assert told(store.fires(status="claimed"), "trigger") == ["other", "often"]
    assert told(store.fires(status=["skipped", "failed"]), "trigger") == ["often"]
    (oldest,) = store.fires("often", status="claimed")
    assert oldest.run_id is not None
    assert store.fire_of(oldest.run_id) == oldest
    assert store.fire_of("nothing") is None


def test_what_is_left_out_in_a_row_for_one_reason_is_one_row(
    store: TriggerStore, clock: Clock
) -> None:
    store.put("often", "a:dag", EACH_MINUTE)
    claims = Claims(store, "me")
    new: list[int] = []
    for _ in range(5):
        clock.passes(minutes=1)
        new.append(len(decided(claims, "often").left_out))

    (fire, left) = store.fires()[::-1]
    assert left.reason == f"run {fire.run_id} had not ended"
    assert (left.first_tick, left.last_tick) == (BEGIN + timedelta(minutes=2), clock.now)
    assert (left.ticks, left.tick, left.run_id) == (4, None, None)
    assert new == [0, 1, 0, 0, 0], "and is said once"


def test_only_what_has_ended_is_pruned(store: TriggerStore, clock: Clock) -> None:
    store.put("often", "a:dag", EACH_MINUTE)
    claims = Claims(store, "me")
    clock.passes(minutes=3)
    decided(claims, "often")
    assert told(store.fires(), "status", "reason") == [("claimed", None), ("skipped", MISSED)]

    assert store.prune(older_than=clock.now) == 0
    assert store.prune(older_than=clock.now + timedelta(seconds=1)) == 1
    assert told(store.fires(), "status") == ["claimed"]


def test_an_owner_changes_only_what_is_its_own(store: TriggerStore, clock: Clock) -> None:
    store.put("often", "a:dag", EACH_MINUTE)
    mine, other = Claims(store, "mine"), Claims(store, "other")
    clock.passes(minutes=1)
    (fire,) = decided(mine, "often").fires

    assert not other.note(fire, status="running")
    assert mine.note(fire, status="running")
    assert other.take_over(fire) is None, "it was seen in another state"
    (seen,) = other.open_fires()
    assert other.take_over(seen) is not None
    assert mine.take_over(seen) is None
    assert not mine.note(fire, status="completed")


@everywhere
def test_a_tick_has_one_fire_however_many_look(places: tuple[Any, Any], clock: Clock) -> None:
    with TriggerStore(places[1], clock=clock) as first:
        first.put("often", "a:dag", EACH_MINUTE)
        stores = [TriggerStore(places[1], clock=clock) for _ in range(4)]
        clock.passes(minutes=1)
        won: list[Any] = []
        ready = threading.Barrier(len(stores))

        def look(store: TriggerStore) -> None:
            ready.wait()
            won.extend(decided(Claims(store, "me"), "often").fires)

        threads = [threading.Thread(target=look, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for store in stores:
            store.close()

        assert told(first.fires(), "status", "tick") == [("claimed", clock.now)]
        assert told(won, "tick") == [clock.now]


@everywhere
def test_two_engines_that_begin_at_once_keep_the_same_triggers(places: tuple[Any, Any]) -> None:
    stores = [TriggerStore(places[1]) for _ in range(4)]
    ready = threading.Barrier(len(stores))
    kept: list[Any] = []

    def begin(store: TriggerStore) -> None:
        ready.wait()
        triggers = {f"t{number}": ("a:dag", EACH_MINUTE) for number in range(5)}
        kept.append(store.put_configured(triggers))

    threads = [threading.Thread(target=begin, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept == [stores[0].states()] * 4
    for store in stores:
        store.close()


def test_a_store_goes_on_when_the_server_has_ended_its_connection(
    pg_url: str, clock: Clock
) -> None:
    with TriggerStore(pg_url, clock=clock) as store, psycopg.connect(pg_url) as other:
        store.put("often", "a:dag", EACH_MINUTE)
        conn: Any = store._connection._conn
        other.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
        with pytest.raises(DatabaseError):
            store.states()
        assert [state.name for state in store.states()] == ["often"]


def test_a_closed_store_says_so_and_closing_twice_is_no_error(tmp_path: Path) -> None:
    store = TriggerStore(tmp_path / "triggers.db")
    store.close()
    store.close()

    with pytest.raises(TriggerError, match="is closed; make another one"):
        store.states()


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "triggers.db").write_text("by no means a database, but a text of some length")

    with pytest.raises(DatabaseError):
        TriggerStore(tmp_path / "triggers.db")


def test_a_store_of_an_older_version_is_brought_to_this_ones_shape(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "triggers.db"
    with TriggerStore(path, clock=clock) as store:
        before = store.put("often", "a:dag", EACH_MINUTE)
    with sqlite3.connect(path) as conn:
        conn.execute("ALTER TABLE trigger_states DROP COLUMN last_tick")
    conn.close()

    with TriggerStore(path, clock=clock) as store:
        assert store.states() == [before]


def test_what_only_another_version_understands_of_a_trigger_is_left_aside(
    tmp_path: Path, clock: Clock
) -> None:
    path = tmp_path / "triggers.db"
    with TriggerStore(path, clock=clock) as store:
        before = store.put("often", "a:dag", EACH_MINUTE)
    with sqlite3.connect(path) as conn:
        conn.execute(
            "UPDATE trigger_states SET config = json_set(config, '$.weather', 'dry', "
            "'$.overlap', 'newest')"
        )
    conn.close()

    with TriggerStore(path, clock=clock) as store:
        assert store.states() == [before]
        assert store.put("often", "a:dag", EACH_MINUTE) == before
        assert store.disable("often").config == EACH_MINUTE


def test_the_child_of_a_fork_has_a_connection_of_its_own(tmp_path: Path) -> None:
    """In a process of its own, for one that forks must have no threads."""
    code = """
import os, sys
from lythonic_compose import TriggerConfig, TriggerError, TriggerStore

store, memory = TriggerStore(sys.argv[1]), TriggerStore("sqlite://")
store.put("parent", "a:dag", TriggerConfig())
child = os.fork()
if child == 0:
    store.put("child", "a:dag", TriggerConfig())
    try:
        memory.states()
    except TriggerError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print([state.name for state in store.states()], memory.states())
"""
    out, complaints = Python(code, str(tmp_path / "triggers.db")).communicate()

    assert complaints == ""
    assert "the store 'sqlite://' is closed" in out
    assert "['child', 'parent'] []" in out
