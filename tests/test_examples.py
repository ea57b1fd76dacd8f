"""The library example says the same in every colour, the first time and the second."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from examples.library.__main__ import run
from examples.library.models import Author, Book, Library, LibraryContext, Loan
from lythonic_state import AccessViolation, ConstraintViolation, open_db
from tests.databases import ASYNC_COLOURS, Colour

ROOT = Path(__file__).parent.parent

SAYS = textwrap.dedent(
    """\
    Vienna
      books, page 1
        Emma (1815), Jane Austen
        Frankenstein (1818), Mary Shelley
        Lazarillo de Tormes (no year), Anonymous
      books, page 2
        Persuasion (1817), Jane Austen
      loans
        Emma: Ada since 2026-01-05, back on 2026-01-19
        Emma: Emil since 2026-01-20, still out
        Frankenstein: never lent
        Lazarillo de Tormes: never lent
        Persuasion: never lent
      by author
        Anonymous: 1, the latest of no known year
        Jane Austen: 2, the latest of 1817
        Mary Shelley: 1, the latest of 1818
      1 of 2 loans are still out

    Graz
      books, page 1
        Emma (1815), Jane Austen
        Middlemarch (1871), George Eliot
      loans
        Emma: Ada since 2026-01-05, back on 2026-01-19
        Emma: Emil since 2026-01-20, still out
        Middlemarch: never lent
      by author
        George Eliot: 1, the latest of 1871
        Jane Austen: 1, the latest of 1815
      1 of 2 loans are still out

    """
)


def test_the_library_says_the_same_in_every_colour_and_again(
    colour: Colour, db_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        run(db_url, asynchronous=colour in ASYNC_COLOURS)
        assert capsys.readouterr().out == SAYS


def test_the_colours_of_the_library_share_one_database(
    pg_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(pg_url, asynchronous=False)
    run(pg_url, asynchronous=True)

    assert capsys.readouterr().out == SAYS + SAYS


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_no_book_of_one_library_is_lent_by_the_other(colour: Colour, db_url: str) -> None:
    run(db_url, asynchronous=False)

    with open_db(db_url) as conn:
        vienna, graz = (
            LibraryContext(library_id=Library.get(conn, city=city).library_id)
            for city in ("Vienna", "Graz")
        )
        austen = Author.get(conn, name="Jane Austen")
        assert [book.title for book in austen.children(conn, Book, user_ctx=graz)] == ["Emma"]
        theirs = Book.get(conn, title="Persuasion", user_ctx=vienna)
        assert Book.load_by_id(conn, theirs.book_id, user_ctx=graz) is None

        loan = Loan(book_id=theirs.book_id, reader="Ida", lent_on="2026-02-01")  # type: ignore[arg-type]  # text from outside
        with pytest.raises(ConstraintViolation) as refused:
            loan.save(conn, user_ctx=graz)
        assert refused.value.kind == "foreign key"
        conn.rollback()
        with pytest.raises(AccessViolation, match="user_ctx"):
            Loan.select(conn)


def test_the_library_is_a_command(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'library.db'}"

    assert [_command(url), _command(url, "--async"), _command()] == [SAYS, SAYS, SAYS]


def _command(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "examples.library", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
