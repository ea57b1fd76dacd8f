"""Rows are found and named by what people call them, through foreign keys to any depth."""

from collections.abc import Awaitable, Callable
from enum import Enum
from pathlib import PurePosixPath
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import Field

from lythonic_state import (
    AccessViolation,
    AllTenants,
    AltKey,
    ConstraintViolation,
    DbModel,
    FilterError,
    ForeignKey,
    InvalidValue,
    MultipleFound,
    NotFound,
    Schema,
    SchemaError,
    ScopeContext,
    Scoped,
    count_statements,
    open_db,
)
from tests.databases import Database


class Region(DbModel["Region"]):
    region_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK)")


class Team(DbModel["Team"]):
    team_id: int = Field(default=-1, description="(PK)")
    region_id: int = Field(description="(AK)(FK:Region.region_id)")
    name: str = Field(description="(AK)")
    wins: int = 0


class Match(DbModel["Match"]):
    """Two foreign keys of its key lead to one table, so every leaf has a twin."""

    match_id: int = Field(default=-1, description="(PK)")
    home_id: int = Field(description="(AK)(FK:Team.team_id)")
    away_id: int = Field(description="(AK)(FK:Team.team_id)")
    round: int = Field(description="(AK)")


class Ticket(DbModel["Ticket"]):
    """Its only part is a foreign key, whose key has several parts."""

    ticket_id: int = Field(default=-1, description="(PK)")
    match_id: int = Field(description="(AK)(FK:Match.match_id)")


class Plain(DbModel["Plain"]):
    plain_id: int = Field(default=-1, description="(PK)")
    name: str


async def teams(db: Database) -> tuple[Team, Team, Team]:
    await db.create(Region, Team, Match, Ticket)
    west = await db(Region(code="us-west").save(db.conn))
    east = await db(Region(code="us-east").save(db.conn))
    return (
        await db(Team(region_id=west.region_id, name="Eagles").save(db.conn)),
        await db(Team(region_id=east.region_id, name="Eagles").save(db.conn)),
        await db(Team(region_id=east.region_id, name="Bears").save(db.conn)),
    )


@pytest.mark.parametrize(
    "key",
    [
        {"code": "us-east", "name": "Eagles"},
        {"region_id": "us-east", "name": "Eagles"},
        {"region_id": {"code": "us-east"}, "name": "Eagles"},
        {"region_id__code": "us-east", "name": "Eagles"},
    ],
    ids=["by the leaf", "by the field", "by a dict", "by the path"],
)
async def test_a_row_is_found_by_every_spelling_of_its_key(
    db: Database, key: dict[str, Any]
) -> None:
    _, eagles, _ = await teams(db)
    with count_statements(db.conn) as counted:
        assert await db(Team.resolve_ak(db.conn, **key)) == eagles.team_id
    assert counted.count == 1
    with count_statements(db.conn) as counted:
        assert await db(Team.load_by_ak(db.conn, **key)) == eagles
    assert counted.count == 1
    assert await db(Team.resolve_ak(db.conn, **{**key, "name": "Nobody"})) is None
    assert await db(Team.load_by_ak(db.conn, **{**key, "name": "Nobody"})) is None


async def test_a_row_is_named_by_the_keys_behind_its_foreign_keys(db: Database) -> None:
    eagles, _, bears = await teams(db)
    with count_statements(db.conn) as counted:
        assert await db(eagles.to_ak_dict(db.conn)) == {"region_id": "us-west", "name": "Eagles"}
    assert counted.count == 1
    match = await db(Match(home_id=eagles.team_id, away_id=bears.team_id, round=3).save(db.conn))
    ticket = await db(Ticket(match_id=match.match_id).save(db.conn))
    with count_statements(db.conn) as counted:
        named = await db(ticket.to_ak_dict(db.conn))
    assert counted.count == 1
    assert named == {
        "match_id": {
            "home_id": {"region_id": "us-west", "name": "Eagles"},
            "away_id": {"region_id": "us-east", "name": "Bears"},
            "round": 3,
        }
    }
    assert await db(Ticket.resolve_ak(db.conn, **named)) == ticket.ticket_id
    assert await db(Ticket.resolve_ak(db.conn, **named["match_id"])) == ticket.ticket_id


async def test_two_cascaded_columns_of_one_name_are_told_apart(db: Database) -> None:
    eagles, _, bears = await teams(db)
    match = await db(Match(home_id=eagles.team_id, away_id=bears.team_id, round=3).save(db.conn))
    found = await db(
        Match.resolve_ak(
            db.conn,
            home_id__region_id="us-west",
            home_id__name="Eagles",
            away_id={"code": "us-east", "name": "Bears"},
            round=3,
        )
    )
    assert found == match.match_id
    with pytest.raises(FilterError, match="'name' could be home_id__name and away_id__name"):
        await db(Match.resolve_ak(db.conn, name="Eagles", round=3))
    with pytest.raises(FilterError, match="'code' could be home_id__region_id__code and"):
        await db(Match.resolve_ak(db.conn, code="us-east", round=3))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"code": "us-east"}, "needs name too"),
        ({"name": "Eagles"}, "needs region_id__code too"),
        ({}, "needs region_id__code, name too"),
        ({"code": "us-east", "nme": "Eagles"}, "did you mean 'name'"),
        ({"code": "us-east", "name": "Eagles", "wins": 1}, "'wins' is no part of"),
        ({"code": "a", "region_id": "b", "name": "Eagles"}, "region_id__code is given twice"),
        ({"region_id": {"code": "a", "nme": 1}, "name": "Eagles"}, "'nme' is no part"),
        ({"region_id": 7, "name": "Eagles"}, "compares with str, not with 7"),
        ({"code": ["a", "b"], "name": "Eagles"}, "takes one value"),
        ({"code": None, "name": "Eagles"}, "takes one value, not None"),
        ({"code": {"x": 1}, "name": "Eagles"}, "takes one value"),
    ],
)
async def test_a_wrong_key_says_what_is_wrong(
    db: Database, key: dict[str, Any], message: str
) -> None:
    await teams(db)
    with count_statements(db.conn) as counted:
        with pytest.raises(FilterError, match=message):
            await db(Team.resolve_ak(db.conn, **key))
        with pytest.raises(FilterError, match=message):
            await db(Team.load_by_ak(db.conn, **key))
    assert counted.count == 0


async def test_a_key_of_several_parts_wants_a_dict(db: Database) -> None:
    await teams(db)
    with pytest.raises(FilterError, match="match_id has several parts; give a dict of home_id, aw"):
        await db(Ticket.resolve_ak(db.conn, match_id=3))


async def test_many_rows_are_named_in_one_statement_and_in_order(db: Database) -> None:
    eagles, others, bears = await teams(db)
    rows = [bears, eagles, others, eagles] * 100
    with count_statements(db.conn) as counted:
        named = await db(Team.to_ak_dicts(db.conn, iter(rows)))
    assert counted.count == 1
    assert (
        named
        == [
            {"region_id": "us-east", "name": "Bears"},
            {"region_id": "us-west", "name": "Eagles"},
            {"region_id": "us-east", "name": "Eagles"},
            {"region_id": "us-west", "name": "Eagles"},
        ]
        * 100
    )
    assert await db(Team.to_ak_dicts(db.conn, [])) == []


async def test_very_many_rows_are_named_in_batches(db: Database) -> None:
    await db.create(Region, Team)
    regions = [Region(code=f"r{i}") for i in range(12_000)]
    await db(Region.insert_many(db.conn, regions))
    rows = [Team(region_id=region.region_id, name="x") for region in regions]
    with count_statements(db.conn) as counted:
        named = await db(Team.to_ak_dicts(db.conn, rows))
    assert counted.count == 2
    assert [key["region_id"] for key in named] == [region.code for region in regions]


async def test_a_key_without_foreign_keys_needs_no_statement_to_be_named(db: Database) -> None:
    await db.create(Region)
    with count_statements(db.conn) as counted:
        assert await db(Region(code="x").to_ak_dict(db.conn)) == {"code": "x"}
    assert counted.count == 0


async def test_a_row_whose_foreign_key_leads_nowhere_has_no_name(db: Database) -> None:
    eagles, _, _ = await teams(db)
    with pytest.raises(NotFound, match="what region_id=999 leads to is not in the database"):
        await db(Team.to_ak_dicts(db.conn, [eagles, Team(region_id=999, name="x")]))


async def test_rows_of_another_model_are_refused(db: Database) -> None:
    await teams(db)
    with pytest.raises(InvalidValue, match=r"Team\.to_ak_dicts takes Team objects"):
        await db(Team.to_ak_dicts(db.conn, [Region(code="x")]))


async def test_the_database_refuses_a_second_row_of_the_same_name(db: Database) -> None:
    eagles, _, _ = await teams(db)
    with pytest.raises(ConstraintViolation) as caught:
        await db(Team(region_id=eagles.region_id, name="Eagles").save(db.conn))
    assert caught.value.kind == "unique"
    assert caught.value.columns == ("region_id", "name")


async def test_a_model_without_alternative_key_says_so(db: Database) -> None:
    await db.create(Plain)
    row = await db(Plain(name="x").save(db.conn))
    for use in (
        lambda: Plain.resolve_ak(db.conn, name="x"),
        lambda: Plain.load_by_ak(db.conn, name="x"),
        lambda: row.to_ak_dict(db.conn),
        lambda: Plain.to_ak_dicts(db.conn, [row]),
    ):
        with pytest.raises(SchemaError, match="Plain has no alternative key; mark the fields"):
            await db(use())


# --- keys of all kinds ----------------------------------------------------------------------


class Colour(Enum):
    RED = "it's red"
    BLUE = "blue"


class Paint(DbModel["Paint"]):
    code: UUID = Field(description="(PK)")
    colour: Colour = Field(description="(AK)")
    place: PurePosixPath = Field(description="(AK)")


class Place(DbModel["Place"], table="the place"):
    """A composite key, which its children refer to as one."""

    country: Annotated[str, "ISO"] = Field(description="(PK)")
    number: int = Field(description="(PK)")
    name: str = Field(description="(AK)")


class House(DbModel["House"]):
    street: str = Field(description="(PK)(AK)")
    nr: int = Field(description="(PK)(AK)")
    country: str = Field(description="(AK)(FK:Place.country)")
    place_nr: int = Field(description="(AK)(FK:Place.number)")
    paint: Annotated[UUID, ForeignKey(Paint), AltKey()]


async def test_composite_keys_and_all_types_go_there_and_back(db: Database) -> None:
    await db.create(Paint, Place, House)
    paint = await db(
        Paint(code=UUID(int=5), colour=Colour.RED, place=PurePosixPath("a/b")).save(db.conn)
    )
    await db(Paint(code=UUID(int=6), colour=Colour.BLUE, place=PurePosixPath("a/b")).save(db.conn))
    for number, name in enumerate(("Bonn", "Ulm")):
        await db(Place(country="DE", number=number, name=name).save(db.conn))
    house = await db(
        House(street="Hof", nr=1, country="DE", place_nr=1, paint=paint.code).save(db.conn)
    )
    assert await db(Paint.resolve_ak(db.conn, colour="it's red", place=paint.place)) == paint.code
    named = await db(house.to_ak_dict(db.conn))
    assert named == {
        "street": "Hof",
        "nr": 1,
        "country": "Ulm",
        "paint": {"colour": Colour.RED, "place": PurePosixPath("a/b")},
    }
    assert await db(House.resolve_ak(db.conn, **named)) == ("Hof", 1)
    assert await db(House.load_by_ak(db.conn, **named)) == house


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    names=st.lists(
        st.tuples(st.sampled_from("ab"), st.text(alphabet="xy'%_\"é", max_size=3)),
        unique=True,
        min_size=1,
        max_size=6,
    )
)
def test_every_row_is_found_by_the_name_it_is_given(names: list[tuple[str, str]]) -> None:
    with open_db("sqlite://") as conn:
        Schema([Region, Team, Match, Ticket]).create_tables(conn)
        regions = {code: Region(code=code).save(conn) for code in "ab"}
        rows = [Team(region_id=regions[r].region_id, name=name).save(conn) for r, name in names]
        for row, named in zip(rows, Team.to_ak_dicts(conn, rows), strict=True):
            assert Team.resolve_ak(conn, **named) == row.team_id
            assert row.to_ak_dict(conn) == named
        first = rows[0].team_id
        for row in rows:
            match = Match(home_id=first, away_id=row.team_id, round=1).save(conn)
            ticket = Ticket(match_id=match.match_id).save(conn)
            assert Ticket.load_by_ak(conn, **ticket.to_ak_dict(conn)) == ticket
        conn.rollback()


# --- keys without an end ----------------------------------------------------------------------


class Node(DbModel["Node"]):
    node_id: int = Field(default=-1, description="(PK)")
    parent_id: int = Field(description="(AK)(FK:Node.node_id)")


class Egg(DbModel["Egg"]):
    egg_id: int = Field(default=-1, description="(PK)")
    hen_id: int = Field(description="(AK)(FK:Hen.hen_id)")


class Hen(DbModel["Hen"]):
    hen_id: int = Field(default=-1, description="(PK)")
    egg_id: int = Field(description="(AK)(FK:Egg.egg_id)")


class Nest(DbModel["Nest"]):
    nest_id: int = Field(default=-1, description="(PK)")
    plain_id: int = Field(description="(AK)(FK:Plain.plain_id)")


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([Node], r"Node\.parent_id: .* leads back to itself \(Node -> Node\)"),
        ([Egg, Hen], r"Hen\.egg_id: .* leads back to itself \(Egg -> Hen -> Egg\)"),
        ([Nest, Plain], r"Nest\.plain_id .* leads to Plain, which has no alternative key"),
    ],
)
def test_a_key_without_an_end_is_no_schema(models: list[Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        Schema(models)


async def test_a_key_without_an_end_is_no_key_either(db: Database) -> None:
    with pytest.raises(SchemaError, match="leads back to itself"):
        await db(Node.resolve_ak(db.conn, parent_id=1))
    with pytest.raises(SchemaError, match="has no alternative key"):
        await db(Nest(plain_id=1).to_ak_dict(db.conn))


# --- tenants --------------------------------------------------------------------------------


class OrgContext(ScopeContext):
    org_id: int


class Customer(Scoped["Customer"], scope="org_id", scope_context=OrgContext):
    customer_id: int = Field(default=-1, description="(PK)")
    org_id: int = -1
    number: str = Field(description="(AK)")


class Invoice(Scoped["Invoice"], scope="org_id", scope_context=OrgContext):
    invoice_id: int = Field(default=-1, description="(PK)")
    org_id: int = -1
    customer_id: int = Field(description="(AK)(FK:Customer.customer_id)")
    year: int = Field(description="(AK)")


class Receipt(DbModel["Receipt"]):
    """Not scoped itself, but called by what is."""

    receipt_id: int = Field(default=-1, description="(PK)")
    invoice_id: int = Field(description="(AK)(FK:Invoice.invoice_id)")


ONE, TWO, ALL = OrgContext(org_id=1), OrgContext(org_id=2), AllTenants("test of names")


async def test_two_tenants_may_use_one_name_and_find_their_own_row_by_it(db: Database) -> None:
    await db.create(Customer, Invoice, Receipt)
    found: list[int] = []
    for ctx in (ONE, TWO):
        customer = await db(Customer(number="C-1").save(db.conn, user_ctx=ctx))
        invoice = Invoice(customer_id=customer.customer_id, year=2026)
        await db(invoice.save(db.conn, user_ctx=ctx))
        receipt = await db(Receipt(invoice_id=invoice.invoice_id).save(db.conn))
        named = await db(invoice.to_ak_dict(db.conn, user_ctx=ctx))
        assert named == {"customer_id": "C-1", "year": 2026}
        key = await db(Invoice.resolve_ak(db.conn, **named, user_ctx=ctx))
        assert key == invoice.invoice_id
        loaded = await db(Invoice.load_by_ak(db.conn, number="C-1", year=2026, user_ctx=ctx))
        assert loaded == invoice
        named = await db(receipt.to_ak_dict(db.conn, user_ctx=ctx))
        assert named == {"invoice_id": {"customer_id": "C-1", "year": 2026}}
        key = await db(Receipt.resolve_ak(db.conn, **named, user_ctx=ctx))
        assert key == receipt.receipt_id
        found.append(invoice.invoice_id)
    assert found[0] != found[1]


async def test_the_key_of_another_tenant_is_not_found_nor_named(db: Database) -> None:
    await db.create(Customer, Invoice, Receipt)
    customer = await db(Customer(number="C-9").save(db.conn, user_ctx=ONE))
    invoice = await db(
        Invoice(customer_id=customer.customer_id, year=1).save(db.conn, user_ctx=ONE)
    )
    receipt = await db(Receipt(invoice_id=invoice.invoice_id).save(db.conn))
    assert await db(Customer.resolve_ak(db.conn, number="C-9", user_ctx=TWO)) is None
    assert await db(Invoice.load_by_ak(db.conn, number="C-9", year=1, user_ctx=TWO)) is None
    assert await db(Receipt.resolve_ak(db.conn, number="C-9", year=1, user_ctx=TWO)) is None
    with pytest.raises(AccessViolation, match="belongs to org_id=1"):
        await db(invoice.to_ak_dict(db.conn, user_ctx=TWO))
    with pytest.raises(NotFound):
        await db(receipt.to_ak_dict(db.conn, user_ctx=TWO))
    stray = Invoice(customer_id=customer.customer_id, year=1)
    with pytest.raises(NotFound):
        await db(stray.to_ak_dict(db.conn, user_ctx=TWO))


async def test_across_all_tenants_one_name_may_mean_several_rows(db: Database) -> None:
    await db.create(Customer)
    one = await db(Customer(number="C-1").save(db.conn, user_ctx=ONE))
    two = await db(Customer(number="C-1").save(db.conn, user_ctx=TWO))
    with pytest.raises(MultipleFound, match="give its org_id too"):
        await db(Customer.resolve_ak(db.conn, number="C-1", user_ctx=ALL))
    found = await db(Customer.resolve_ak(db.conn, number="C-1", org_id=2, user_ctx=ALL))
    assert found == two.customer_id
    named = await db(Customer.to_ak_dicts(db.conn, [one, two], user_ctx=ALL))
    assert named == [{"number": "C-1"}] * 2


Use = Callable[[Any, Receipt], "Awaitable[Any] | Any"]


@pytest.mark.parametrize(
    "use",
    [
        lambda conn, row: Customer.resolve_ak(conn, number="C-1"),
        lambda conn, row: Customer.load_by_ak(conn, number="C-1"),
        lambda conn, row: Customer(number="C-1").to_ak_dict(conn),
        lambda conn, row: Customer.to_ak_dicts(conn, []),
        lambda conn, row: Receipt.resolve_ak(conn, number="C-1", year=1),
        lambda conn, row: row.to_ak_dict(conn),
    ],
)
async def test_a_key_that_leads_through_tenants_needs_a_context(db: Database, use: Use) -> None:
    await db.create(Customer, Invoice, Receipt)
    with count_statements(db.conn) as counted, pytest.raises(AccessViolation, match="user_ctx="):
        await db(use(db.conn, Receipt(invoice_id=1)))
    assert counted.count == 0
