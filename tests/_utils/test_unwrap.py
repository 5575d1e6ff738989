"""Unwrapping of pipelines, searches and other wrappers."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import BaggingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler

from fer_sklearn import AbstainingClassifier
from fer_sklearn._utils.estimators import split_pipeline, unwrap


@pytest.fixture(scope="module")
def data():
    X = np.random.default_rng(0).normal(size=(40, 3))
    return X, np.where(X[:, 0] > 0, "happy", "sad")


def test_wrappers_are_opened_one_level_at_a_time(data):
    fitted = LogisticRegression().fit(*data)
    frozen = FrozenEstimator(fitted)
    assert unwrap(frozen) is fitted
    assert unwrap(CalibratedClassifierCV(frozen).fit(*data)) is frozen
    assert unwrap(AbstainingClassifier(frozen, threshold=0.5).fit(*data)) is frozen
    search = GridSearchCV(LogisticRegression(), {"C": [1]}, cv=2).fit(*data)
    assert unwrap(search) is search.best_estimator_


def test_only_wrappers_of_a_single_estimator_are_unwrapped(data):
    assert unwrap(LogisticRegression()) is None
    assert unwrap(GridSearchCV(LogisticRegression(), {"C": [1]})) is None
    assert unwrap(BaggingClassifier(LogisticRegression()).fit(*data)) is None
    assert unwrap(CalibratedClassifierCV(DummyClassifier(), cv=2).fit(*data)) is None


def test_a_pipeline_is_split_into_transformers_and_classifier(data):
    inner = make_pipeline(StandardScaler(), LogisticRegression())
    nested = Pipeline([("skip", "passthrough"), ("norm", Normalizer()), ("rest", inner)])
    fitted = FrozenEstimator(nested.fit(*data))
    transformers, classifier = split_pipeline(fitted)
    assert [type(step) for step in transformers] == [Normalizer, StandardScaler]
    assert classifier is inner[-1]


def test_leading_steps_of_some_types_are_split_off(data):
    pipeline = Pipeline(
        [
            ("skip", None),
            ("norm", Normalizer()),
            ("scale", StandardScaler()),
            ("again", Normalizer()),
            ("classifier", LogisticRegression()),
        ]
    )
    search = GridSearchCV(pipeline, {"classifier__C": [1]}, cv=2).fit(*data)
    transformers, rest = split_pipeline(search, Normalizer)
    assert [type(step) for step in transformers] == [Normalizer]
    assert list(rest.named_steps) == ["scale", "again", "classifier"]
    classifier = LogisticRegression()
    assert split_pipeline(classifier, Normalizer) == ([], classifier)
    assert len(split_pipeline(make_pipeline(Normalizer()), Normalizer)[1]) == 1
