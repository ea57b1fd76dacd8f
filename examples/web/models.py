"""What does the API keep? Users with their tokens, and bookings that belong to a user."""

from typing import Self

from pydantic import AwareDatetime, Field, model_validator

from lythonic_state import DbModel, Schema, User, UserOwned


class Token(DbModel["Token"]):
    """What a client shows to say who it is."""

    secret: str = Field(description="(PK)")
    user_id: int = Field(description="(FK:User.user_id)")


class Booking(UserOwned["Booking"]):
    """A room for a time; scoped, so that no verb runs without a user."""

    booking_id: int = Field(default=-1, description="(PK) given out by the database")
    room: str = Field(min_length=1, max_length=40, description="(IX) as on the door")
    begins: AwareDatetime
    ends: AwareDatetime

    @model_validator(mode="after")
    def _ends_after_it_begins(self) -> Self:
        if self.ends <= self.begins:
            raise ValueError("a booking ends after it begins")
        return self


SCHEMA = Schema([User, Token, Booking])
