"""Predicts how a disease goes on: `python -m examples.diabetes [--trees 100] [--cache FILE]`.

Press Ctrl-C while it runs, and call it again: what was done is not done again.
"""

from __future__ import annotations

import argparse

from examples.diabetes import steps
from lythonic_compose.linear import Node, Pipeline
from lythonic_compose.viz import draw_ascii_pipeline


def pipeline(trees: int, cache: str) -> Pipeline:
    """The functions of the script, in its order."""
    return Pipeline(
        [
            Node(steps.load, inputs=[], outputs=["table"]),
            Node(steps.clean, inputs=["table", "config.cleaning"], outputs=["clean_table"]),
            Node(steps.features, inputs=["clean_table"], outputs=["feature_table"]),
            Node(
                steps.split,
                inputs=["feature_table", "config.test_share", "seed"],
                outputs=["train", "test"],
            ),
            Node(steps.fit, inputs=["train", "config.trees", "seed"], outputs=["model"]),
            Node(steps.evaluate, inputs=["model", "test"], outputs=["scores"]),
            Node(steps.report, inputs=["scores"], outputs=[]),
        ],
        config={"cleaning": {"least_spread": 0.05}, "test_share": 0.25, "trees": trees},
        use_persistent_cache=True,
        cache_storage_path=cache,
        seed=7,
    )


def main() -> None:
    options = argparse.ArgumentParser(prog="examples.diabetes")
    options.add_argument("--trees", type=int, default=100)
    options.add_argument("--cache", default=".cache/diabetes.db")
    given = options.parse_args()
    made = pipeline(given.trees, given.cache)
    print(draw_ascii_pipeline(made, width=100), end="\n\n")
    print(made.plan(), end="\n\n")
    made.run()


if __name__ == "__main__":
    main()
