"""Every Python block of the README and of docs/ runs, each document in a directory of its own."""

import textwrap
from pathlib import Path

import pytest

from tests.documents import Block, python_blocks, run_document

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("document", [str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_what_a_document_shows_runs(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)

    run_document(ROOT / document, lambda: str(request.getfixturevalue("pg_url")))


SAMPLE = textwrap.dedent(
    """\
    ```python
    import asyncio
    from dataclasses import dataclass
    seen = []

    @dataclass
    class Point:
        x: "int"

    asyncio.run(asyncio.sleep(0))
    ```

    ```text
    this is not Python
    ```

    1. In a list:

       ```python
       await asyncio.sleep(0)
       seen.append(Point(1).x)
       ```

    ````python
    seen.append("```")
    ````

    ```python no-run
    raise SystemExit("never")
    ```

    ```python postgres
    assert PG_URL == "the url"
    with open("seen.txt", "w") as file:
        file.write(repr(seen))
    ```
    """
)


def test_blocks_of_a_document_run_in_order_and_share_their_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sample.md").write_text(SAMPLE)

    run_document(Path("sample.md"), lambda: "the url")

    assert Path("seen.txt").read_text() == "[1, '```']"


def test_an_error_in_a_block_names_the_line_of_the_document(tmp_path: Path) -> None:
    document = tmp_path / "wrong.md"
    document.write_text("# Title\n\n```python\nx = 1\nx.nothing\n```\n")

    with pytest.raises(AttributeError) as caught:
        run_document(document, lambda: "")

    last = caught.traceback[-1]
    assert (str(last.path), last.lineno + 1) == (str(document), 5)


def test_a_block_with_an_unknown_word_is_refused() -> None:
    with pytest.raises(ValueError, match="line 1: 'norun'"):
        list(python_blocks("```python norun\n```\n"))


def test_a_block_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2: this block has no end"):
        list(python_blocks("\n```python\nx = 1\n"))


def test_a_block_knows_where_its_code_begins() -> None:
    assert list(python_blocks("a\n```python\nx = 1\n```\n")) == [Block(3, "", "x = 1\n")]
