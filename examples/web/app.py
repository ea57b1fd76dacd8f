"""Which requests are there, and how does each reach the rows of its tenant, and no others?"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from examples.web.models import SCHEMA, Booking, Token
from lythonic_state import FilterError, InvalidValue, Page, User, UserContext, open_pool


async def refused(_: Request, error: Exception) -> JSONResponse:
    what = error.errors(include_context=False) if isinstance(error, ValidationError) else str(error)
    return JSONResponse({"detail": jsonable_encoder(what)}, status_code=422)


def create_app(url: str) -> FastAPI:
    pool = open_pool(url)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with pool:
            async with pool.connection() as conn:
                await SCHEMA.create_schema(conn)
            yield

    app = FastAPI(title="Bookings", lifespan=lifespan)
    for kind in (ValidationError, InvalidValue, FilterError):
        app.add_exception_handler(kind, refused)

    async def caller(x_token: Annotated[str, Header()]) -> UserContext:
        async with pool.connection(readonly=True) as conn:
            token = await Token.load_by_id(conn, x_token)
            user = await token.parent(conn, User) if token else None
        if user is None:
            raise HTTPException(401, "unknown token")
        return UserContext(user=user)

    @app.post("/bookings", status_code=201)
    async def create(body: Booking, ctx: Annotated[UserContext, Depends(caller)]) -> Booking:
        async with pool.connection(commit=True) as conn:
            return await Booking.create(conn, body, user_ctx=ctx)

    @app.patch("/bookings/{booking_id}")
    async def patch(
        booking_id: int, changes: dict[str, Any], ctx: Annotated[UserContext, Depends(caller)]
    ) -> Booking:
        async with pool.connection(commit=True) as conn:
            booking = await Booking.load_by_id(conn, booking_id, user_ctx=ctx)
            if booking is None:
                raise HTTPException(404, "there is no such booking")
            return await booking.patch(conn, changes, user_ctx=ctx)

    @app.get("/bookings")
    async def page(
        ctx: Annotated[UserContext, Depends(caller)], size: int = 20, after: str | None = None
    ) -> Page[Booking]:
        async with pool.connection(readonly=True) as conn:
            return await Booking.page(conn, order_by="begins", size=size, after=after, user_ctx=ctx)

    return app
