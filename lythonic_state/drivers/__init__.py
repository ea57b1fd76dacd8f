"""The drivers: how one statement is executed on a connection, and what its errors mean.

Each module knows one driver package and nothing of models. Driver exceptions are caught here and
nowhere else.
"""
