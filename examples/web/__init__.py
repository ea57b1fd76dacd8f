"""Bookings of rooms as a web API for two tenants: a model and about forty lines of FastAPI.

python -m examples.web sqlite:///bookings.db    # or a URL of PostgreSQL
curl -H "X-Token: alice-secret" localhost:8000/bookings
"""
