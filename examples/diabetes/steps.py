"""The functions of the script: plain pandas and scikit-learn, which know of no pipeline."""

from __future__ import annotations

from typing import Any

import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.ensemble import RandomForestRegressor
from sklearn.metrics import mean_absolute_error, r2_score


def load() -> pd.DataFrame:
    """Ten measurements of 442 patients, and how the disease went on; shipped with scikit-learn."""
    bunch: Any = load_diabetes(as_frame=True, scaled=False)
    found: pd.DataFrame = bunch.frame
    return found


def clean(table: pd.DataFrame, settings: dict[str, float]) -> pd.DataFrame:
    """Without measurements that hardly vary, and without double rows."""
    spread = table.std() / table.mean().abs()
    return table.drop_duplicates().loc[:, spread >= settings["least_spread"]]


def features(clean_table: pd.DataFrame) -> pd.DataFrame:
    """With what a doctor would look at besides: body mass times blood pressure."""
    return clean_table.assign(load=clean_table["bmi"] * clean_table["bp"])


def split(
    feature_table: pd.DataFrame, share: float, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    test = feature_table.sample(frac=share, random_state=seed)
    return feature_table.drop(test.index), test


def fit(train: pd.DataFrame, trees: int, seed: int) -> RandomForestRegressor:
    model = RandomForestRegressor(n_estimators=trees, random_state=seed)
    return model.fit(train.drop(columns="target"), train["target"])


def evaluate(model: RandomForestRegressor, test: pd.DataFrame) -> dict[str, float]:
    found = model.predict(test.drop(columns="target"))
    return {
        "mean absolute error": float(mean_absolute_error(test["target"], found)),
        "r2": float(r2_score(test["target"], found)),
    }


def report(scores: dict[str, float]) -> None:
    for name, score in scores.items():
        print(f"{name}: {score:.2f}")
