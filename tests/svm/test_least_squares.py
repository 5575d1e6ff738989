"""LSSVMClassifier: equations, mirror images, probabilities and errors."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge

from fer_sklearn.features import HOGExtractor, MirroredFeatures
from fer_sklearn.svm import HOGSVMClassifier, LSSVMClassifier


def _clusters(n=90, n_features=6, n_classes=3, seed=0):
    """Overlapping clusters, one per class."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, n_classes, n)
    X = rng.normal(size=(n, n_features))
    X[np.arange(n), y] += 1.5
    return X, y


def test_solves_kernel_ridge_regression_on_centred_labels():
    X, y = _clusters()
    classifier = LSSVMClassifier(C=4.0, gamma=0.3).fit(X, y)
    targets = np.eye(3)[y] - np.eye(3)[y].mean(0)
    expected = KernelRidge(alpha=1 / 4, kernel="rbf", gamma=0.3).fit(X, targets)
    assert_allclose(classifier.dual_coef_, expected.dual_coef_, atol=1e-9)
    assert_allclose(
        classifier.decision_function(X), expected.predict(X) + np.eye(3)[y].mean(0), atol=1e-9
    )


def test_features_far_from_zero_lose_no_precision():
    X, y = (array.astype(np.float32) for array in _clusters())
    values = LSSVMClassifier().fit(X, y).decision_function(X)
    shifted = np.round(X * 1024) / 1024 + 4096
    assert_allclose(LSSVMClassifier().fit(shifted, y).decision_function(shifted), values, atol=0.01)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_features_that_cannot_be_squared_are_refused():
    X, y = _clusters()
    with pytest.raises(ValueError, match=r"too large to be squared in float32, up to \d\.\d+e\+20"):
        LSSVMClassifier(gamma=1.0).fit((X * 1e20).astype(np.float32), y)


def _votes(y, n_classes=3, seed=0):
    """Probabilities of the labels, most of the time highest for y."""
    soft = np.random.default_rng(seed).dirichlet(np.ones(n_classes), len(y)) / 2
    soft[np.arange(len(y)), y] += 0.5
    return soft


def test_soft_targets_are_regressed_on():
    X, y = _clusters()
    soft, weight = _votes(y), np.random.default_rng(1).uniform(0.5, 2, len(y))
    classifier = LSSVMClassifier(C=4.0, gamma=0.3).fit(X, y, weight, soft_targets=soft)
    centre = np.average(soft, axis=0, weights=weight)
    expected = KernelRidge(alpha=1 / 4, kernel="rbf", gamma=0.3)
    expected.fit(X, soft - centre, sample_weight=weight)
    # check_soft_targets returns float32.
    assert_allclose(classifier.decision_function(X), expected.predict(X) + centre, atol=1e-6)


def test_soft_targets_that_are_certain_are_labels():
    X, y = _clusters()
    names = np.array(["happy", "angry", "sad"])[y]
    order = np.argsort(["happy", "angry", "sad"])
    classifier = LSSVMClassifier(probability=True, class_weight={"sad": 2.0})
    plain = clone(classifier).fit(X, names)
    soft = clone(classifier).fit(X, names, soft_targets=np.eye(3)[y][:, order])
    assert_allclose(soft.predict_proba(X), plain.predict_proba(X), atol=1e-12)


def test_soft_targets_of_samples_without_weight_are_left_out():
    X, y = _clusters()
    soft, counted = _votes(y), np.arange(len(y)) % 3 > 0
    weighted = LSSVMClassifier().fit(X, y, sample_weight=counted, soft_targets=soft)
    dropped = LSSVMClassifier().fit(X[counted], y[counted], soft_targets=soft[counted])
    assert_allclose(weighted.decision_function(X), dropped.decision_function(X), atol=1e-9)


def test_probabilities_learned_from_votes_are_those_of_the_votes():
    X, y = _clusters(n=400)
    # People see the second class in a third of what is labelled as the first.
    soft = np.eye(3)[y]
    soft[y == 0] = [2 / 3, 1 / 3, 0]
    classifier = LSSVMClassifier(probability=True).fit(X, y, soft_targets=soft)
    new, _ = _clusters(n=600, seed=1)
    assert_allclose(classifier.predict_proba(new).mean(0), soft.mean(0), atol=0.04)


@pytest.mark.parametrize("classifier", [LSSVMClassifier(), HOGSVMClassifier()])
@pytest.mark.parametrize(
    ("soft", "message"),
    [
        (np.full((90, 4), 0.25), r"soft_targets has shape \(90, 4\); expected \(90, 3\)"),
        (np.full((89, 3), 1 / 3), r"soft_targets has shape \(89, 3\); expected \(90, 3\)"),
        (np.full((90, 3), 0.5), "90 row.s., the first 0, that are not probabilities"),
    ],
)
def test_wrong_soft_targets_are_refused(classifier, soft, message):
    with pytest.raises(ValueError, match=message):
        classifier.fit(*_clusters(), soft_targets=soft)


def test_mirrored_training_is_training_on_mirrored_copies():
    X, y = _clusters()
    turned = X[:, ::-1]  # exactly symmetric: flipping twice restores the original
    mirrored = LSSVMClassifier(C=4.0, gamma=0.3, flip_invariant=True).fit(np.hstack([X, turned]), y)
    # The averaged kernel is half as strong on each copy, so C is halved for the same fit.
    copied = LSSVMClassifier(C=2.0, gamma=0.3).fit(np.vstack([X, turned]), np.tile(y, 2))
    new = _clusters(seed=1)[0]
    assert_allclose(
        mirrored.decision_function(np.hstack([new, new[:, ::-1]])),
        (copied.decision_function(new) + copied.decision_function(new[:, ::-1])) / 2,
        atol=1e-9,
    )


def test_descriptors_of_both_sides_can_be_swapped(faces):
    X, y = faces
    both = MirroredFeatures(HOGExtractor()).fit_transform(X)
    classifier = LSSVMClassifier(flip_invariant=True, n_components=20).fit(both, y)
    exchanged = np.roll(both, both.shape[1] // 2, axis=1)
    assert_allclose(
        classifier.decision_function(both), classifier.decision_function(exchanged), atol=1e-5
    )


def test_parts_larger_than_a_chunk_are_the_same(monkeypatch):
    from fer_sklearn.svm import _least_squares

    X, y = _clusters()
    whole = LSSVMClassifier(probability=True).fit(X, y).predict_proba(X)
    monkeypatch.setattr(_least_squares, "_CHUNK", 7)
    monkeypatch.setattr(_least_squares, "_BLOCK", 11)
    parts = LSSVMClassifier(probability=True).fit(X, y).predict_proba(X)
    assert_allclose(whole, parts, atol=1e-9)


@pytest.mark.parametrize("block", [1, 4, 7, 30])
def test_the_blockwise_factor_solves_and_inverts(monkeypatch, block):
    from fer_sklearn.svm import _least_squares

    monkeypatch.setattr(_least_squares, "_BLOCK", block)
    rng = np.random.default_rng(0)
    half, right = rng.normal(size=(28, 40)), rng.normal(size=(28, 3))
    matrix = half @ half.T
    # Values above the diagonal must not matter.
    factor = _least_squares.Cholesky(np.where(np.tri(28, dtype=bool), matrix, np.nan))
    assert_allclose(factor.solve(right), np.linalg.solve(matrix, right), atol=1e-8)
    assert_allclose(factor.inverse_diagonal(), np.diag(np.linalg.inv(matrix)), atol=1e-8)


def test_probabilities_come_from_samples_left_out(monkeypatch):
    from fer_sklearn.svm import _least_squares

    seen = []
    real = _least_squares.best_temperature
    monkeypatch.setattr(
        _least_squares,
        "best_temperature",
        lambda scores, *rest, **options: seen.append(scores) or real(scores, *rest, **options),
    )
    X, y = _clusters(n=40)
    classifier = LSSVMClassifier(gamma=0.3, probability=True).fit(X, y)
    # The centre is that of all samples, so it is added to the labels and subtracted again.
    targets = np.eye(3)[y] - classifier.intercept_
    for i in range(5):
        others = np.arange(40) != i
        ridge = KernelRidge(alpha=1 / 10, kernel="rbf", gamma=0.3).fit(X[others], targets[others])
        assert_allclose(seen[0][i], ridge.predict(X[[i]])[0] + classifier.intercept_, atol=1e-8)


def test_probabilities_are_calibrated_and_follow_predict():
    X, y = _clusters(n=300)
    classifier = LSSVMClassifier(probability=True).fit(X, y)
    new, labels = _clusters(n=600, seed=1)
    probabilities = classifier.predict_proba(new)
    assert_array_equal(classifier.classes_[probabilities.argmax(1)], classifier.predict(new))
    assert_allclose(probabilities.sum(1), 1)
    confidence, correct = probabilities.max(1).mean(), (probabilities.argmax(1) == labels).mean()
    assert abs(confidence - correct) < 0.06


def test_weights_of_one_change_no_probability():
    # Replaces scikit-learn's check: all copies of a weighted sample are left out together.
    X, y = _clusters()
    plain = LSSVMClassifier(probability=True).fit(X, y)
    weighted = clone(plain).fit(X, y, sample_weight=np.ones(len(y)))
    assert_array_equal(weighted.predict_proba(X), plain.predict_proba(X))


def test_balanced_weights_help_a_rare_class():
    X, y = _clusters(n=400, n_classes=2)
    kept = (y == 0) | (np.arange(400) % 15 == 0)
    plain, balanced = (
        LSSVMClassifier(C=0.1, class_weight=weight).fit(X[kept], y[kept])
        for weight in (None, "balanced")
    )
    assert (balanced.predict(X) == 1).sum() > (plain.predict(X) == 1).sum()


def test_float32_is_solved_in_float32_to_the_same_labels():
    X, y = _clusters()
    single = LSSVMClassifier().fit(X.astype(np.float32), y)
    assert single.dual_coef_.dtype == np.float32
    double = LSSVMClassifier().fit(X, y)
    assert_allclose(single.decision_function(X), double.decision_function(X), atol=1e-4)


def test_probabilities_are_off_by_default():
    classifier = LSSVMClassifier().fit(*_clusters())
    assert not hasattr(classifier, "predict_proba")
    classifier.set_params(probability=True)
    with pytest.raises(AttributeError, match="probability was set to True after fit"):
        classifier.predict_proba(_clusters()[0])


def test_an_odd_number_of_columns_is_refused():
    X, y = _clusters(n_features=5)
    with pytest.raises(
        ValueError, match="X has 5 features, an odd number, but flip_invariant=True"
    ):
        LSSVMClassifier(flip_invariant=True).fit(X, y)


def test_too_little_regularisation_is_reported():
    X, y = _clusters()
    X = np.repeat(X, 2, axis=0).astype(np.float32)
    with pytest.raises(ValueError, match=r"C=1e\+12 regularises too little .* Choose a smaller C"):
        LSSVMClassifier(C=1e12).fit(X, np.repeat(y, 2))


def test_one_class_is_rejected():
    with pytest.raises(ValueError, match="y has one class, 1; expected two classes or more"):
        LSSVMClassifier().fit(np.eye(3), [1, 1, 1])


def test_pickles_to_the_same_predictions():
    X, y = _clusters()
    classifier = LSSVMClassifier(n_components=4).fit(X, y)
    again = pickle.loads(pickle.dumps(classifier))
    assert_array_equal(again.decision_function(X), classifier.decision_function(X))
