"""Expressions of tags: what they choose, and what is wrong with them."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lythonic_compose.errors import NamespaceError
from lythonic_compose.tags import parse_tags

TAGS = ["slow", "market", "a-b", "größe"]

Tree: TypeAlias = "str | tuple[str, list[Tree]]"

TREES = st.recursive(
    st.sampled_from(TAGS),
    lambda inner: (
        st.tuples(st.just("~"), st.lists(inner, min_size=1, max_size=1))
        | st.tuples(st.sampled_from("&|"), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=12,
)
STRENGTH = {"|": 0, "&": 1, "~": 2}


def chosen(tree: Tree, tags: set[str]) -> bool:
    if isinstance(tree, str):
        return tree in tags
    sign, members = tree
    found = [chosen(member, tags) for member in members]
    return not found[0] if sign == "~" else all(found) if sign == "&" else any(found)


def written(tree: Tree, blank: str, around: int = 0) -> str:
    """A tree as text, with parentheses only where the strengths of binding need them."""
    if isinstance(tree, str):
        return tree
    sign, members = tree
    strength = STRENGTH[sign]
    texts = [written(member, blank, strength) for member in members]
    text = f"~{blank}{texts[0]}" if sign == "~" else f"{blank}{sign}{blank}".join(texts)
    return f"({blank}{text}{blank})" if strength < around else text


@given(tree=TREES, tags=st.sets(st.sampled_from(TAGS)), blank=st.sampled_from(["", " ", "\n\t "]))
def test_an_expression_chooses_what_its_tree_does(tree: Tree, tags: set[str], blank: str) -> None:
    assert parse_tags(written(tree, blank))(tags) == chosen(tree, tags)


@given(text=st.text(alphabet="ab~&|() ", max_size=12))
def test_a_text_is_an_expression_or_a_clear_error(text: str) -> None:
    chooses, problem = None, ""
    try:
        chooses = parse_tags(text)
    except NamespaceError as error:
        problem = str(error)
    if chooses is None:
        assert "at character" in problem
        return

    python = text.replace("~", " not ").replace("&", " and ").replace("|", " or ").strip()
    code = compile(python, "tags", "eval")
    for tags in [set[str](), {"a"}, {"b"}, {"a", "b"}, {"ab"}]:
        assert chooses(tags) == eval(code, {name: name in tags for name in code.co_names})


@pytest.mark.parametrize(
    ("text", "problem", "place"),
    [
        ("", "empty", 1),
        ("   ", "empty", 1),
        ("slow market", "no & or | before this", 6),
        ("slow &", "a tag is missing", 7),
        ("& slow", "a tag is missing", 1),
        ("slow & | market", "a tag is missing", 8),
        ("~", "a tag is missing", 2),
        ("(slow", "this ( is not closed", 1),
        ("slow)", "this ) closes nothing", 5),
        ("()", "a tag is missing", 2),
        ("(slow market)", "no & or | before this", 7),
        ("slow ~market", "no & or | before this", 6),
    ],
)
def test_a_malformed_expression_shows_the_place(text: str, problem: str, place: int) -> None:
    with pytest.raises(ValueError, match="cannot read the tags") as caught:
        parse_tags(text)

    assert problem in str(caught.value)
    if text.strip():
        assert f"at character {place}" in str(caught.value)
        assert str(caught.value).splitlines()[-1] == "  " + " " * (place - 1) + "^"


@pytest.mark.parametrize("thing", [None, 3, ["slow"]])
def test_an_expression_is_text(thing: Any) -> None:
    with pytest.raises(TypeError, match="asked for by a text"):
        parse_tags(thing)


def test_parentheses_without_end_are_an_error_and_no_crash() -> None:
    with pytest.raises(NamespaceError, match="too many parentheses"):
        parse_tags("(" * 100_000 + "slow")
