"""Soft targets."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from fer_sklearn import FERCNNClassifier, LSSVMClassifier, make_cnn_pipeline

LEARNER = {"epochs": 16, "batch_size": 32, "learning_rate": 2e-3, "dropout": 0.0, "random_state": 0}


def one_hot(y):
    return (y[:, np.newaxis] == np.unique(y)).astype(float)


def test_the_labels_as_probabilities_are_the_labels(small_faces):
    X, y = small_faces
    hard = FERCNNClassifier(epochs=2, random_state=0).fit(X, y)
    soft = FERCNNClassifier(epochs=2, random_state=0).fit(X, y, soft_targets=one_hot(y))
    assert soft.history_ == hard.history_


def test_soft_targets_are_learned(small_faces):
    X, y = small_faces
    others = np.roll(one_hot(y), 1, axis=1)  # each emotion labelled with the next one's name
    classifier = FERCNNClassifier(**LEARNER).fit(X, y, soft_targets=others)
    named = classifier.classes_[others.argmax(axis=1)]
    assert classifier.score(X, named) > 0.7
    assert classifier.score(X, y) < 0.2


@pytest.mark.parametrize("make", [LSSVMClassifier, partial(FERCNNClassifier, epochs=1)])
def test_columns_belong_to_the_classes_that_they_are_named_after(small_faces, make):
    X, y = small_faces
    X = X.reshape(len(X), -1) / 255
    in_order = make(random_state=0).fit(X, y, soft_targets=one_hot(y))
    table = pd.DataFrame(one_hot(y), columns=np.unique(y)).iloc[:, ::-1]
    turned = make(random_state=0).fit(X, y, soft_targets=table)
    np.testing.assert_array_equal(turned.predict(X), in_order.predict(X))
    with pytest.raises(ValueError, match=r"soft_targets has the columns \['surprise', .*'angr'\]"):
        make().fit(X, y, soft_targets=table.rename(columns={"angry": "angr"}))


@pytest.mark.slow
def test_soft_targets_are_split_with_their_images(small_faces):
    X, y = small_faces
    parameters = LEARNER | {"validation_fraction": 0.25, "epochs": 3}
    hard = FERCNNClassifier(**parameters).fit(X, y)
    soft = FERCNNClassifier(**parameters).fit(X, y, soft_targets=one_hot(y))
    assert soft.history_ == hard.history_
    assert "val_accuracy" in soft.history_


def test_through_a_pipeline(faces):
    X, y = faces
    pipeline = make_cnn_pipeline(FERCNNClassifier(epochs=1, random_state=0), size=16)
    pipeline.fit(X, y, classifier__soft_targets=np.full((70, 7), 1 / 7))
    assert pipeline.predict_proba(X).max() < 0.5


@pytest.mark.parametrize("shape", [(280,), (280, 6), (279, 7)])
def test_another_shape(small_faces, shape):
    X, y = small_faces
    with pytest.raises(ValueError, match=r"soft_targets has shape .*expected \(280, 7\)"):
        FERCNNClassifier().fit(X, y, soft_targets=np.full(shape, 1 / 7))


@pytest.mark.parametrize("value", [0.5, np.nan, -1.0])
def test_no_probabilities(small_faces, value):
    X, y = small_faces
    targets = one_hot(y)
    targets[3, 1:3] = value
    with pytest.raises(ValueError, match=r"soft_targets has 1 row\(s\), the first 3, that are not"):
        FERCNNClassifier().fit(X, y, soft_targets=targets)
