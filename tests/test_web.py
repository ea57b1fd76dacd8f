"""The web example over HTTP: two tenants, on SQLite and on PostgreSQL."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import uvicorn

from examples.web.__main__ import USERS, add_users
from examples.web.app import create_app
from examples.web.models import SCHEMA, Booking
from lythonic_state import AllTenants, open_db
from tests.databases import Colour

ALICE = {"X-Token": "alice-secret"}
BOB = {"X-Token": "bob-secret"}

databases = pytest.mark.parametrize("colour", ["aiosqlite", "postgres-async"])


def booking(room: str = "12", day: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "room": room,
        "begins": f"2026-03-{day:02}T09:00:00Z",
        "ends": f"2026-03-{day:02}T10:00:00+00:00",
        **more,
    }


@pytest.fixture
def app_url(colour: Colour, db_url: str) -> str:
    """A database in which two users have tokens."""
    with open_db(db_url, commit=True) as conn:
        SCHEMA.create_tables(conn)
        add_users(conn)
    return db_url


@pytest.fixture
async def http(app_url: str) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(app_url)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


def stored(url: str) -> list[Booking]:
    with open_db(url) as conn:
        return Booking.select(conn, order_by="booking_id", user_ctx=AllTenants("a test looks"))


@databases
async def test_what_is_created_is_given_a_key_and_an_owner(
    http: httpx.AsyncClient, app_url: str
) -> None:
    answer = await http.post("/bookings", json=booking(booking_id=77, user_id=2), headers=ALICE)

    assert answer.status_code == 201
    assert answer.json() == {
        "booking_id": 1,
        "user_id": 1,
        "room": "12",
        "begins": "2026-03-01T09:00:00Z",
        "ends": "2026-03-01T10:00:00Z",
    }
    assert [(row.booking_id, row.user_id) for row in stored(app_url)] == [(1, 1)]


@databases
async def test_tenants_do_not_see_each_other(http: httpx.AsyncClient, app_url: str) -> None:
    hers = (await http.post("/bookings", json=booking("hers"), headers=ALICE)).json()
    his = (await http.post("/bookings", json=booking("his"), headers=BOB)).json()

    for who, rooms in ((ALICE, ["hers"]), (BOB, ["his"])):
        page = (await http.get("/bookings", headers=who)).json()
        assert [item["room"] for item in page["items"]] == rooms

    stolen = await http.patch(f"/bookings/{hers['booking_id']}", json={"room": "x"}, headers=BOB)
    assert stolen.status_code == 404
    given = await http.patch(f"/bookings/{his['booking_id']}", json={"user_id": 1}, headers=BOB)
    assert (given.status_code, given.json()["user_id"]) == (200, 2)
    assert [(row.room, row.user_id) for row in stored(app_url)] == [("hers", 1), ("his", 2)]


@databases
@pytest.mark.parametrize(("headers", "status"), [({}, 422), ({"X-Token": "guessed"}, 401)])
async def test_nobody_comes_in_without_a_token(
    http: httpx.AsyncClient, headers: dict[str, str], status: int
) -> None:
    answers = [
        await http.get("/bookings", headers=headers),
        await http.post("/bookings", json=booking(), headers=headers),
        await http.patch("/bookings/1", json={}, headers=headers),
    ]

    assert [answer.status_code for answer in answers] == [status] * 3


@databases
async def test_changes_are_validated_together(http: httpx.AsyncClient, app_url: str) -> None:
    await http.post("/bookings", json=booking(day=1), headers=ALICE)
    [before] = stored(app_url)

    # each of them alone would end before it begins
    later = booking(day=9)
    moved = await http.patch(
        "/bookings/1", json={"begins": later["begins"], "ends": later["ends"]}, headers=ALICE
    )
    assert (moved.status_code, moved.json()["begins"]) == (200, "2026-03-09T09:00:00Z")
    [after] = stored(app_url)
    assert (after.room, after.ends) == (before.room, before.ends.replace(day=9))

    refused = {
        "ends before it begins": {"room": "other", "ends": "2026-03-01T00:00:00Z"},
        "no room": {"room": ""},
        "no time": {"begins": "soon"},
        "no such field": {"rooom": "other"},
    }
    for reason, changes in refused.items():
        answer = await http.patch("/bookings/1", json=changes, headers=ALICE)
        assert (answer.status_code, bool(answer.json()["detail"])) == (422, True), reason
    assert stored(app_url) == [after]


@databases
async def test_a_booking_that_is_not_valid_is_not_created(
    http: httpx.AsyncClient, app_url: str
) -> None:
    for body in (booking(""), booking(ends="2026-02-01T00:00:00Z"), {"room": "12"}):
        answer = await http.post("/bookings", json=body, headers=ALICE)
        assert answer.status_code == 422

    assert stored(app_url) == []


@databases
async def test_pages_are_walked_by_their_cursor(http: httpx.AsyncClient) -> None:
    for day in (3, 1, 5, 2, 4):
        await http.post("/bookings", json=booking(str(day), day), headers=ALICE)
        await http.post("/bookings", json=booking("not hers", day), headers=BOB)

    pages: list[list[str]] = []
    after: str | None = None
    while True:
        query = {"size": "2"} | ({} if after is None else {"after": after})
        answer = await http.get("/bookings", params=query, headers=ALICE)
        pages.append([item["room"] for item in answer.json()["items"]])
        after = answer.json()["next"]
        if after is None:
            break

    assert pages == [["1", "2"], ["3", "4"], ["5"]]
    for wrong in ({"after": "nonsense"}, {"size": "0"}):
        answer = await http.get("/bookings", params=wrong, headers=ALICE)
        assert answer.status_code == 422


def test_openapi_shows_no_marker_and_no_scope_to_write(tmp_path: Any) -> None:
    document = create_app(f"sqlite:///{tmp_path / 'never.db'}").openapi()
    written = document["components"]["schemas"]["Booking-Input"]
    read = document["components"]["schemas"]["Booking-Output"]

    assert not [marker for marker in ("(PK)", "(IX)", "(FK", "(AK)") if marker in str(document)]
    assert "user_id" not in written["properties"]
    assert written["properties"]["booking_id"]["readOnly"] is True
    assert written["required"] == ["room", "begins", "ends"]
    assert read["properties"]["booking_id"] == {
        "type": "integer",
        "title": "Booking Id",
        "description": "given out by the database",
        "readOnly": True,
    }
    assert set(read["required"]) == {"booking_id", "user_id", "room", "begins", "ends"}
    page = document["components"]["schemas"]["Page_Booking_"]
    assert page["required"] == ["items", "next"]
    body = document["paths"]["/bookings"]["post"]["requestBody"]["content"]["application/json"]
    assert body["schema"] == {"$ref": "#/components/schemas/Booking-Input"}


@contextmanager
def serving(url: str) -> Iterator[str]:
    """A server on a free port of this machine, until the end of the block."""
    server = uvicorn.Server(uvicorn.Config(create_app(url), port=0, log_level="warning"))
    listening = threading.Event()

    async def serve() -> None:
        config = server.config
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        listening.set()
        await server.main_loop()
        await server.shutdown()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert listening.wait(timeout=30)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)
    assert not thread.is_alive()


@databases
def test_a_real_server_takes_requests_at_the_same_time(app_url: str) -> None:
    async def book(base: str) -> list[int]:
        async with httpx.AsyncClient(base_url=base, timeout=30) as client:
            answers = await asyncio.gather(
                *(
                    client.post("/bookings", json=booking(secret, day), headers={"X-Token": secret})
                    for day in range(1, 11)
                    for secret in USERS
                )
            )
            return [answer.status_code for answer in answers]

    with serving(app_url) as base:
        assert asyncio.run(book(base)) == [201] * 20
        hers = httpx.get(f"{base}/bookings", headers=ALICE).json()["items"]

    assert [item["room"] for item in hers] == ["alice-secret"] * 10
    rows = stored(app_url)
    assert len({row.booking_id for row in rows}) == 20
    assert {(row.room, row.user_id) for row in rows} == {("alice-secret", 1), ("bob-secret", 2)}
