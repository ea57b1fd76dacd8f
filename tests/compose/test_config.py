"""The entries of a namespace's configuration."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from lythonic_compose.config import (
    NsCacheConfig,
    NsEntry,
    NsFragmentConfig,
    NsNodeConfig,
    TriggerConfig,
    entries_of,
)
from lythonic_compose.errors import ConfigError
from lythonic_compose.refs import GlobalRef, NsRef


def test_entries_are_read_as_their_type_says() -> None:
    node, cache, guessed, fragment = entries_of(
        [
            {
                "nsref": "reports:daily",
                "gref": "myapp.pipelines:daily__",
                "tags": ["slow"],
                "triggers": ["0 6 * * *", {"name": "often", "schedule": "*/30 * * * * *"}],
            },
            {"type": "cache", "gref": "myapp.api:price", "min_ttl": 0.5, "max_ttl": 2},
            {"gref": "myapp.api:price", "min_ttl": "0.25", "max_ttl": 1, "ignore": ["client"]},
            {
                "type": "fragment",
                "nsref": "downloads:",
                "gref": "myapp.downloads:Downloads",
                "init": {"key": "k"},
                "configs": {"fetch": {"min_ttl": 0.5, "max_ttl": 2}, "list": {"tags": ["quick"]}},
            },
        ]
    )

    assert isinstance(node, NsNodeConfig)
    assert (node.nsref, node.gref) == (NsRef("reports:daily"), GlobalRef("myapp.pipelines:daily__"))
    assert node.tags == {"slow"}
    assert node.triggers == (
        TriggerConfig(schedule="0 6 * * *"),
        TriggerConfig(name="often", schedule="*/30 * * * * *"),
    )
    assert isinstance(cache, NsCacheConfig)
    assert (cache.min_ttl, cache.max_ttl) == (timedelta(hours=12), timedelta(days=2))
    assert isinstance(guessed, NsCacheConfig)
    assert (guessed.min_ttl, guessed.ignore) == (timedelta(hours=6), ("client",))
    assert isinstance(fragment, NsFragmentConfig)
    assert isinstance(fragment.configs["fetch"], NsCacheConfig)
    assert isinstance(fragment.configs["list"], NsNodeConfig)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"tagz": []}, "namespace[0].tagz: there is no such key; did you mean 'tags'?"),
        ({"type": "cach"}, "namespace[0]: there is no type 'cach'; did you mean 'cache'?"),
        ({"type": "cache", "min_ttl": 1}, "namespace[0].max_ttl: Field required"),
        ({"nsref": "a b"}, "namespace[0].nsref: 'a b' cannot be a path"),
        ({"nsref": 3}, "namespace[0].nsref: a path is a text"),
        ({"gref": "json:1"}, "namespace[0].gref: 'json:1' cannot name a Python object"),
        ({"tags": "slow"}, "namespace[0].tags: tags are a list of texts"),
        ({"tags": ["a b"]}, "namespace[0].tags: 'a b' cannot be a tag"),
        ({"min_ttl": 2, "max_ttl": 1}, "min_ttl 2 days, 0:00:00 is longer than max_ttl 1 day"),
        ({"min_ttl": -1, "max_ttl": 1}, "namespace[0].min_ttl: "),
        ({"min_ttl": 1e300, "max_ttl": 1}, "1e+300 days are no length of time"),
        ({"min_ttl": float("nan"), "max_ttl": 1}, "nan days are no length of time"),
        ({"min_ttl": True, "max_ttl": 1}, "namespace[0].min_ttl: "),
        (
            {"type": "fragment", "configs": {"fetch": {"min_ttl": 1, "max_tl": 2}}},
            "namespace[0].configs.fetch.max_tl: there is no such key; did you mean 'max_ttl'?",
        ),
        ("json:dumps", "namespace[0]: "),
        (
            {"triggers": ["@daily", {"name": "a", "schedul": "@daily"}]},
            "namespace[0].triggers[1].schedul: there is no such key; did you mean 'schedule'?",
        ),
        (
            {"type": "fragment", "configs": {"fetch": {"triggers": [{"jiter": 1}]}}},
            "configs.fetch.triggers[0].jiter: there is no such key; did you mean 'jitter'?",
        ),
        (
            {"triggers": ["@daily", "@hourly"]},
            "namespace[0].triggers: 2 triggers have no name; give each its own",
        ),
        (
            {"triggers": [{"name": "a"}, {"name": "a"}]},
            "namespace[0].triggers: 2 triggers are called 'a'; give each its own",
        ),
        ({"triggers": [{"name": ""}]}, "namespace[0].triggers[0].name: "),
        (
            {"triggers": [{"overlap": "skp"}]},
            "namespace[0].triggers[0].overlap: "
            "Input should be 'skip', 'queue' or 'parallel', got 'skp'",
        ),
        ({"triggers": [{"jitter": True}]}, "a length of time is a number of seconds"),
        ({"triggers": [{"jitter": -1}]}, "namespace[0].triggers[0].jitter: "),
        ({"triggers": [{"poll_fn": "json:1"}]}, "namespace[0].triggers[0].poll_fn: "),
        ({"triggers": [5]}, "namespace[0].triggers[0]: "),
    ],
)
def test_what_makes_no_sense_is_an_error_with_its_place(entry: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        entries_of([entry])

    assert isinstance(caught.value, ValueError)
    assert problem in str(caught.value)


def test_every_place_is_told_and_no_secret() -> None:
    with pytest.raises(ConfigError) as caught:
        entries_of(
            [{"tagz": 1}, {}, {"type": "fragment", "init": {"key": "hush"}, "configs": {"f": 3}}]
        )

    assert "namespace[0]" in str(caught.value)
    assert "namespace[2].configs.f" in str(caught.value)
    assert "hush" not in str(caught.value)


def test_what_is_no_list_of_entries_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"^namespace: Input should be a valid list"):
        entries_of({"nsref": "a:b"})


LENGTHS = st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=36_500))


@given(a=LENGTHS, b=LENGTHS)
def test_a_length_of_time_is_written_as_days_and_comes_back(a: timedelta, b: timedelta) -> None:
    config = NsCacheConfig(min_ttl=min(a, b), max_ttl=max(a, b))

    written = config.model_dump(mode="json")
    assert written["min_ttl"] == min(a, b) / timedelta(days=1)
    assert TypeAdapter[NsEntry](NsEntry).validate_python(written) == config


def test_a_length_of_time_may_be_written_out() -> None:
    written = [{"min_ttl": "PT6H", "max_ttl": timedelta(hours=12)}]
    (cache,) = entries_of(written)

    assert isinstance(cache, NsCacheConfig)
    assert (cache.min_ttl, cache.max_ttl) == (timedelta(hours=6), timedelta(hours=12))


def test_a_configuration_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        NsNodeConfig().tags = frozenset()  # type: ignore[misc]


def test_a_trigger_is_written_with_its_lengths_in_seconds_and_comes_back() -> None:
    trigger = TriggerConfig(
        name="often",
        schedule="*/5 * * * *",
        timezone="Europe/Berlin",
        poll_fn="json:dumps",
        payload={"fetch": {"url": "…"}},
        catch_up_window=timedelta(hours=2),
        jitter=1.5,
    )
    written = NsNodeConfig(triggers=(trigger,)).model_dump(mode="json", exclude_defaults=True)

    assert written["triggers"][0]["catch_up_window"] == 7200.0
    assert written["triggers"][0]["jitter"] == 1.5
    (node,) = entries_of([written])
    assert isinstance(node, NsNodeConfig)
    assert node.triggers == (trigger,)
