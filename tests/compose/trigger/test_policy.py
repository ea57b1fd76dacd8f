"""What becomes of ticks: values in, decisions out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lythonic_compose.config import TriggerConfig
from lythonic_compose.trigger import policy
from lythonic_compose.trigger.policy import (
    Decision,
    Fire,
    Situation,
    Skipped,
    decide,
    next_step,
    next_tick,
)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-07-{text}").replace(tzinfo=UTC)


DAILY: dict[str, Any] = {"schedule": "0 6 * * *"}
EACH_MINUTE: dict[str, Any] = {"schedule": "* * * * *"}


def decided(config: dict[str, Any], since: str, now: str, **situation: Any) -> Decision:
    return decide(Situation(TriggerConfig(**config), at(since), at(now), **situation))


def left_out(first: str, last: str, ticks: int, reason: str) -> Skipped:
    return Skipped(at(first), at(last), ticks, reason)


def test_before_the_next_tick_nothing_is_due() -> None:
    assert decided(DAILY, "01T06:00", "02T05:59:59") == Decision(at("01T06:00"))


def test_without_a_schedule_nothing_ever_is() -> None:
    assert decided({}, "01T06:00", "30T06:00") == Decision(at("01T06:00"))
    assert next_tick(TriggerConfig(), at("01T06:00")) is None


def test_a_tick_that_is_due_fires_and_is_dealt_with() -> None:
    decision = decided(DAILY, "01T06:00", "02T06:00:29")

    assert decision == Decision(at("02T06:00"), (Fire(at("02T06:00"), "schedule"),))
    assert decision.last_tick == at("02T06:00")
    assert decided(DAILY, "02T06:00", "02T06:00:29") == Decision(at("02T06:00"))


# --- what was missed ------------------------------------------------------------------------


@pytest.mark.parametrize(("catch_up", "fires"), [("once", True), ("none", False), ("all", True)])
def test_one_tick_that_was_missed(catch_up: str, fires: bool) -> None:
    decision = decided({**DAILY, "catch_up": catch_up}, "01T06:00", "02T07:00", starting=True)

    assert decision.since == at("02T06:00")
    assert decision.fires == ((Fire(at("02T06:00"), "catch-up"),) if fires else ())
    missed = left_out("02T06:00", "02T06:00", 1, policy.MISSED)
    assert decision.skipped == (() if fires else (missed,))


def test_of_several_that_were_missed_once_is_the_newest() -> None:
    decision = decided(DAILY, "01T06:00", "05T07:00", starting=True)

    assert decision.fires == (Fire(at("05T06:00"), "catch-up"),)
    assert decision.skipped == (left_out("02T06:00", "04T06:00", 3, policy.MISSED),)


def test_a_tick_on_time_makes_up_for_those_before_it() -> None:
    once = decided(EACH_MINUTE, "01T06:00", "01T06:05:01")
    none = decided({**EACH_MINUTE, "catch_up": "none"}, "01T06:00", "01T06:05:01")

    missed = (left_out("01T06:01", "01T06:04", 4, policy.MISSED),)
    assert once == Decision(at("01T06:05"), (Fire(at("01T06:05"), "catch-up"),), missed)
    assert none == Decision(at("01T06:05"), (Fire(at("01T06:05"), "schedule"),), missed)


def test_once_does_not_ask_how_long_ago_it_was() -> None:
    monthly = {"schedule": "0 0 1 * *", "catch_up_window": 60}

    assert decided(monthly, "01T00:00", "31T00:00").fires == ()
    assert decide(
        Situation(TriggerConfig(**monthly), datetime(2026, 6, 15, tzinfo=UTC), at("31T00:00"))
    ).fires == (Fire(at("01T00:00"), "catch-up"),)


def test_all_makes_up_for_each_tick_within_the_window_one_after_the_other() -> None:
    config = {**DAILY, "catch_up": "all", "catch_up_window": timedelta(days=2)}
    decision = decided(config, "01T06:00", "06T06:00:10", starting=True)

    assert decision.fires == (
        Fire(at("05T06:00"), "catch-up"),
        Fire(at("06T06:00"), "schedule", queued=True),
    )
    assert decision.skipped == (left_out("02T06:00", "04T06:00", 3, policy.TOO_OLD),)
    assert decision.since == at("06T06:00")


def test_all_beside_each_other_where_they_may_be() -> None:
    config = {**DAILY, "catch_up": "all", "overlap": "parallel", "catch_up_window": 1e6}

    assert not any(fire.queued for fire in decided(config, "01T06:00", "06T06:00").fires)


def test_very_many_are_made_up_for_in_several_looks() -> None:
    config = {**EACH_MINUTE, "catch_up": "all"}
    first = decided(config, "01T00:00", "01T06:00")
    assert len(first.fires) == policy.MOST_AT_ONCE
    assert first.since == at("01T01:40")

    second = decided(config, "01T01:40", "01T06:00", running=["r"], queued=99)
    assert second.since == at("01T03:20")
    assert all(fire.queued for fire in second.fires)


def test_of_very_many_that_were_missed_only_so_many_are_counted() -> None:
    decision = decided({"schedule": "* * * * * *"}, "01T00:00", "31T00:00")

    assert decision.fires == (Fire(at("31T00:00"), "catch-up"),)
    (left,) = decision.skipped
    assert (left.first, left.last) == (at("01T00:00:01"), at("30T23:59:59"))
    assert left.ticks == policy.MOST_COUNTED


# --- while a run is under way ---------------------------------------------------------------


def test_a_run_that_overruns_the_next_tick_skips_it() -> None:
    decision = decided(EACH_MINUTE, "01T06:00", "01T06:01", running=["run-1"])

    why = "run run-1 had not ended"
    assert decision == Decision(at("01T06:01"), (), (left_out("01T06:01", "01T06:01", 1, why),))
    assert decision.last_tick == at("01T06:01")


def test_or_lets_it_wait_or_begins_another() -> None:
    wait = decided({**EACH_MINUTE, "overlap": "queue"}, "01T06:00", "01T06:01", running=["r"])
    beside = decided({**EACH_MINUTE, "overlap": "parallel"}, "01T06:00", "01T06:01", running=["r"])

    assert wait.fires == (Fire(at("01T06:01"), "schedule", queued=True),)
    assert beside.fires == (Fire(at("01T06:01"), "schedule"),)


def test_what_waits_already_comes_first() -> None:
    skip = decided(EACH_MINUTE, "01T06:00", "01T06:01", queued=2)
    wait = decided({**EACH_MINUTE, "overlap": "queue"}, "01T06:00", "01T06:01", queued=2)

    assert [left.reason for left in skip.skipped] == ["others wait for their turn"]
    assert wait.fires == (Fire(at("01T06:01"), "schedule", queued=True),)


def test_a_queue_does_not_grow_without_end() -> None:
    config = {**EACH_MINUTE, "overlap": "queue"}
    decision = decided(config, "01T06:00", "01T06:01", running=["r"], queued=policy.MOST_QUEUED)

    assert decision.fires == ()
    assert [left.reason for left in decision.skipped] == [policy.FULL]


def test_after_a_start_what_was_missed_waits_for_the_run_that_goes_on() -> None:
    started = decided(DAILY, "01T06:00", "02T07:00", running=["r"], starting=True)
    later = decided(DAILY, "01T06:00", "02T07:00", running=["r"])
    one_waits = decided(DAILY, "01T06:00", "02T07:00", running=["r"], queued=1, starting=True)

    assert started.fires == (Fire(at("02T06:00"), "catch-up", queued=True),)
    assert (later.fires, len(later.skipped)) == ((), 1)
    assert (one_waits.fires, len(one_waits.skipped)) == ((), 1)


# --- polling --------------------------------------------------------------------------------

POLL: dict[str, Any] = {"poll_fn": "myapp.inbox:new"}


def test_a_function_is_polled_each_minute_or_by_its_schedule() -> None:
    assert next_tick(TriggerConfig(**POLL), at("01T06:00:30")) == at("01T06:01")
    assert next_tick(TriggerConfig(**POLL, **DAILY), at("01T06:00:30")) == at("02T06:00")
    assert decided(POLL, "01T06:00", "01T06:01").fires == (Fire(at("01T06:01"), "poll"),)


def test_polls_that_were_missed_are_one_and_leave_no_trace() -> None:
    decision = decided(POLL, "01T06:00", "01T09:00:40", starting=True)

    assert decision == Decision(at("01T09:00"), (Fire(at("01T09:00"), "poll"),))
    none = decided({**POLL, "catch_up": "none"}, "01T06:00", "01T09:00:40")
    assert none == Decision(at("01T09:00"))


def test_while_a_run_is_under_way_nothing_is_polled() -> None:
    for overlap in ("skip", "queue"):
        config = {**POLL, "overlap": overlap}
        assert decided(config, "01T06:00", "01T06:01", running=["r"]) == Decision(at("01T06:01"))
    beside = decided({**POLL, "overlap": "parallel"}, "01T06:00", "01T06:01", running=["r"])
    assert beside.fires == (Fire(at("01T06:01"), "poll"),)


# --- clocks that are set --------------------------------------------------------------------


def test_a_clock_that_goes_back_a_little_waits_for_it() -> None:
    assert decided(EACH_MINUTE, "01T06:00", "01T05:59:10") == Decision(at("01T06:00"))


def test_a_clock_that_was_set_back_begins_anew() -> None:
    """The ticks that have a run already are known to the store, which gives them no other."""
    assert decided(EACH_MINUTE, "01T06:00", "01T03:00:20") == Decision(at("01T03:00:20"))


def test_a_clock_that_was_set_forward_has_missed_what_lies_between() -> None:
    decision = decided(EACH_MINUTE, "01T06:00", "01T08:00")

    assert decision.fires == (Fire(at("01T08:00"), "catch-up"),)
    assert decision.skipped == (left_out("01T06:01", "01T07:59", 119, policy.MISSED),)


@settings(max_examples=60)
@given(
    looks=st.lists(st.integers(-120, 600), min_size=1, max_size=12),
    catch_up=st.sampled_from(["once", "none", "all"]),
    overlap=st.sampled_from(["skip", "queue", "parallel"]),
    busy=st.lists(st.booleans(), min_size=12, max_size=12),
)
def test_whatever_the_clock_does_each_tick_that_passes_is_dealt_with_once(
    looks: list[int], catch_up: Any, overlap: Any, busy: list[bool]
) -> None:
    config = TriggerConfig(schedule="* * * * *", catch_up=catch_up, overlap=overlap)
    begin = since = now = furthest = at("01T06:00:30")
    told = 0
    fired: list[datetime] = []
    for step, is_busy in zip(looks, busy, strict=False):
        # never so far back that it begins anew
        now = max(now + timedelta(seconds=step), since - policy.SKEW)
        furthest = max(furthest, now)
        decision = decide(Situation(config, since, now, ["r"] if is_busy else []))
        assert decision.since >= since
        since = decision.since
        fired += [fire.tick for fire in decision.fires]
        told += len(decision.fires) + sum(left.ticks for left in decision.skipped)

    assert len(set(fired)) == len(fired)
    assert fired == sorted(fired)
    passed = furthest.replace(second=0) - begin.replace(second=0)
    assert told == passed // timedelta(minutes=1)


# --- what a dead process has left -----------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "step"),
    [
        ({"status": "claimed"}, "begin"),
        ({"status": "running"}, "begin"),
        ({"status": "claimed", "polls": True}, "begin"),
        ({"status": "claimed", "is_known": False}, "begin"),
        ({"status": "running", "is_known": False}, "settle"),
        ({"status": "running", "polls": True, "is_known": False}, "begin"),
        ({"status": "running", "run": "running"}, "continue"),
        ({"status": "running", "run": "running", "run_is_alive": True}, "wait"),
        ({"status": "running", "run": "paused"}, "settle"),
        ({"status": "running", "run": "paused", "goes_on": True}, "continue"),
        ({"status": "paused", "run": "paused", "goes_on": True}, "continue"),
        ({"status": "paused", "run": "completed", "goes_on": True}, "settle"),
        ({"status": "running", "run": "completed"}, "settle"),
        ({"status": "running", "run": "failed"}, "settle"),
        ({"status": "claimed", "run": "cancelled"}, "settle"),
    ],
)
def test_what_becomes_of_a_fire_whose_process_is_gone(left: dict[str, Any], step: str) -> None:
    known: dict[str, Any] = {
        "polls": False,
        "goes_on": False,
        "run": None,
        "run_is_alive": False,
        "is_known": True,
    }

    assert next_step(**{**known, **left}) == step
