"""redun on SQLite, as its documentation shows it."""

from __future__ import annotations

import logging
import sqlite3
import sys
import time
from typing import Any

from redun import Scheduler, task
from redun.backends.db import Execution, Job
from redun.config import Config

from .. import peer as text
from ..peer import Kind, Peer, Timed

redun_namespace = "bench"


@task()
def step(x: int) -> int:
    return x + 1


@task()
def slow(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x + 1


@task()
def total(parts: list[int]) -> int:
    return sum(parts)


@task()
def fan(x: int, width: int) -> int:
    first = step(x)
    # an expression that stands there twice is evaluated once, so each branch has another number
    return total([plus(first, at) for at in range(width)])


@task()
def plus(x: int, at: int) -> int:
    return x + 1


@task()
def branching(x: int, seconds: float) -> int:
    first = step(x)
    return total([slow(first, seconds + at / 1e6) for at in range(4)])


@task()
def element(x: int) -> int:
    return step(step(x))


@task()
def over(x: int, count: int) -> int:
    return total([element(value) for value in range(x, x + count)])


@task()
def first_grown(seed: int) -> str:
    return text.first_grown(seed)


@task()
def grown(megabyte: str) -> str:
    return text.grown(megabyte)


class Redun(Peer):
    title = "redun"
    packages = ("redun", "sqlalchemy")
    note = (
        "tasks run in threads; a call that was made before is answered from its history, "
        "so "
        "seeds of a map are far apart"
    )
    kinds = ("thread",)

    def open(self, folder: str) -> None:
        sys.setrecursionlimit(20_000)  # expressions that are as deep as a chain is long
        logging.getLogger("redun").setLevel(logging.ERROR)
        self.file = f"{folder}/redun.db"
        self.scheduler = Scheduler(config=Config({"backend": {"db_uri": f"sqlite:///{self.file}"}}))
        self.scheduler.load()

    def recorded(self) -> tuple[int, int]:
        conn = sqlite3.connect(self.file)
        found = conn.execute("SELECT (SELECT count(*) FROM execution), (SELECT count(*) FROM job)")
        runs, nodes = found.fetchone()
        conn.close()
        return runs, nodes

    def chain(self, length: int, kind: Kind) -> Timed:
        def run(seed: int) -> int:
            made: Any = seed
            for _ in range(length):
                made = step(made)
            found: int = self.scheduler.run(made)
            return found

        return run

    def fan_out(self, width: int) -> Timed:
        return lambda seed: self.scheduler.run(fan(seed, width))

    def map_over(self, count: int) -> Timed:
        return lambda seed: self.scheduler.run(over(seed, count))

    def branches(self, seconds: float, kind: Kind) -> Timed:
        return lambda seed: self.scheduler.run(branching(seed, seconds))

    def megabytes(self, length: int) -> Timed:
        def run(seed: int) -> str:
            made: Any = first_grown(seed)
            for _ in range(length - 1):
                made = grown(made)
            found: str = self.scheduler.run(made)
            return found

        return run

    def listing(self, limit: int) -> Timed:
        def run(seed: int) -> list[tuple[Any, list[Any]]]:
            session = self.scheduler.backend.session
            session.expire_all()
            query = session.query(Execution).join(Job, Job.id == Execution.job_id)
            newest = query.order_by(Job.start_time.desc()).limit(limit)
            return [(each, list(each.jobs)) for each in newest]

        return run

    def lengths(self, found: list[tuple[Any, list[Any]]]) -> list[int]:
        return [sum(job.task.name == "step" for job in jobs) for _, jobs in found]

    def fetching(self) -> Timed:
        session = self.scheduler.backend.session
        query = session.query(Execution.id).join(Job, Job.id == Execution.job_id)
        ids = [row[0] for row in query.order_by(Job.start_time)]

        def run(seed: int) -> list[Any]:
            session.expire_all()
            found = session.query(Execution).filter(Execution.id == ids[seed // 10_000]).one()
            jobs = [job for job in found.jobs if job.task.name == "step"]
            return sorted(job.call_node.value.value_parsed for job in jobs)

        return run

    def outputs(self, found: list[Any]) -> list[int]:
        return found


PEER = Redun
