"""Who may call? Two users with their tokens, and a server for them."""

import sys

import uvicorn

from examples.web.app import create_app
from examples.web.models import SCHEMA, Token
from lythonic_state import SyncConnection, User, UserInfo, open_db

USERS = {"alice-secret": "Alice", "bob-secret": "Bob"}


def add_users(conn: SyncConnection) -> None:
    for secret, name in USERS.items():
        if not Token.exists(conn, secret=secret):
            user = User(info=UserInfo(name=name)).save(conn)
            Token(secret=secret, user_id=user.user_id).save(conn)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "sqlite:///bookings.db"
    with open_db(url, commit=True) as conn:
        SCHEMA.create_tables(conn)
        add_users(conn)
    uvicorn.run(create_app(url), port=8000)
