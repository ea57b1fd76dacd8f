"""The example with pandas and scikit-learn: it is killed on its way, and the next run goes on."""

from pathlib import Path

from tests.processes import Python

PROGRAM = """
import os, sys, warnings
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # a process with threads should not be forked
warnings.simplefilter("default")
from examples.diabetes.__main__ import pipeline
from lythonic_compose import failpoints

child = os.fork()
if child == 0:
    failpoints.arm("cache.kept:5")
    pipeline(20, sys.argv[1]).run()
    os._exit(0)
_, status = os.waitpid(child, 0)
print("killed by", os.WTERMSIG(status))
print(pipeline(20, sys.argv[1]).plan())
result = pipeline(20, sys.argv[1]).run()
print("ran:", *result.ran)
print("reused:", *result.reused)
with pipeline(20, sys.argv[1]).get_obj_registry() as registry:
    print("r2 is good:", 0.3 < registry.get("scores")["r2"] < 0.7)
    print(len(registry.get("train")), "and", len(registry.get("test")), "patients")
"""


def test_the_example_is_killed_behind_its_model_and_reuses_it(tmp_path: Path) -> None:
    out, complaints = Python(PROGRAM, str(tmp_path / "cache.db")).communicate()

    assert "Traceback" not in complaints
    lines = out.splitlines()
    assert lines[0] == "killed by 9"
    assert [line.split()[1] for line in lines[3:10]] == [*["reuse"] * 5, "run", "run"]
    assert "r2: 0." in out
    assert lines[-4:] == [
        "ran: evaluate report",
        "reused: load clean features split fit",
        "r2 is good: True",
        "332 and 110 patients",
    ]
