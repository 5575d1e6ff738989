"""HOGSVMClassifier: input, training, and accuracy on FER2013."""

import pickle
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from sklearn.utils.class_weight import compute_sample_weight

from fer_sklearn._utils.cross_validation import count_training_rows
from fer_sklearn.features import CappedPCA, HOGExtractor
from fer_sklearn.pipelines import make_descriptor_svm_pipeline, make_hog_svm_pipeline
from fer_sklearn.preprocessing import GrayscaleResizer
from fer_sklearn.svm import HOGSVMClassifier, LSSVMClassifier


@pytest.fixture(scope="module")
def features(faces):
    X, y = faces
    return HOGExtractor().fit_transform(X), y


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_it_learns_synthetic_faces(features, kernel):
    X, y = features
    classifier = HOGSVMClassifier(kernel=kernel).fit(X[:49], y[:49])
    assert classifier.score(X[49:], y[49:]) >= 0.6
    assert is_classifier(classifier)
    assert classifier.classes_.tolist() == sorted(set(y))


def test_images_are_an_error_with_a_remedy(faces, features):
    X, y = faces
    message = "^X has more than two dimensions, as images have; LSSVM.* Put HOGExtractor"
    for images in (X, X[..., None], list(X), X.tolist()):
        with pytest.raises(ValueError, match=message):
            LSSVMClassifier().fit(images, y)
    fitted = LSSVMClassifier().fit(*features)
    for predict in (fitted.predict, fitted.decision_function):
        with pytest.raises(ValueError, match=message):
            predict(X)


@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
def test_images_are_described_by_hog_first(faces, features, output):
    X, y = faces
    described = HOGSVMClassifier(probability=True, n_components=20, random_state=0)
    expected = clone(described).fit(*features)
    with config_context(transform_output=output):
        described.fit(X, y)
        for images in (X, X[..., None], list(X), X.astype(">u2"), X.tolist()):
            assert_array_equal(described.predict(images), expected.predict(features[0]))
        for method in ("decision_function", "predict_proba"):
            found = getattr(pickle.loads(pickle.dumps(described)), method)(X)
            assert_allclose(found, getattr(expected, method)(features[0]), rtol=1e-6)
    assert described.n_features_in_ == features[0].shape[1]
    assert count_training_rows(described, X) == count_training_rows(expected, features[0]) == 70
    assert described.fit(*features).hog_ is None


def test_a_classifier_fitted_on_images_rejects_features(faces, features):
    X, y = faces
    on_images = HOGSVMClassifier().fit(X, y)
    for rows in (features[0], X.reshape(70, -1), X[0], X[0].tolist()):
        with pytest.raises(ValueError, match=r"on images of 48×48 .* X\[np.newaxis\] for one"):
            on_images.predict(rows)
    with pytest.raises(ValueError, match="images of 24×24 pixels, but HOGExtractor was fitted on"):
        on_images.predict(X[:, ::2, ::2])
    with pytest.raises(ValueError, match=r"fitted on 900 features. Put the step that extracted"):
        HOGSVMClassifier().fit(*features).predict(X)
    with pytest.raises(ValueError, match=r"3 channels; expected grey.* Put GrayscaleResizer"):
        HOGSVMClassifier().fit(X[..., None].repeat(3, axis=3), y)


def test_the_pipeline_is_features_then_components_then_the_classifier(faces):
    X, y = faces
    pipeline = make_hog_svm_pipeline(n_components=30).fit(X, y)
    features = HOGExtractor(orientations=12, pixels_per_cell=6).fit_transform(X)
    reduced = CappedPCA(n_components=30).fit_transform(features)
    expected = HOGSVMClassifier().fit(reduced, y)
    assert expected.n_features_in_ == 30
    assert_allclose(pipeline.decision_function(X), expected.decision_function(reduced), atol=1e-5)
    assert pipeline["classifier"].pca_ is None


def test_predict_follows_the_decision_function(faces, features):
    X, y = features
    classifier = HOGSVMClassifier(probability=True, random_state=0).fit(X, y)
    distances = classifier.decision_function(X)
    assert distances.shape == (70, 7)
    assert_array_equal(classifier.predict(X), classifier.classes_[distances.argmax(1)])


@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_predicts_as_scikit_learn_does(n_classes, dtype, monkeypatch):
    # Several chunks, and the last of them is incomplete.
    monkeypatch.setattr("fer_sklearn.svm._hog_svm._MAX_KERNEL", 2000)
    rng = np.random.default_rng(n_classes)
    X, y = rng.normal(size=(300, 12)).astype(dtype), rng.integers(0, n_classes, 300)
    X[np.arange(300), y] += 1
    weight = rng.uniform(0.5, 2, 200)
    fitted = HOGSVMClassifier(class_weight={0: 2.0}, gamma=0.05).fit(X[:200], y[:200], weight)
    theirs = SVC(C=5.0, gamma=0.05, class_weight={0: 2.0}, break_ties=True)
    theirs.fit(X[:200], y[:200], weight)
    expected = theirs.decision_function(X[200:])
    assert_allclose(fitted.decision_function(X[200:]), expected, rtol=0, atol=1e-10)
    assert_array_equal(fitted.predict(X[200:]), theirs.predict(X[200:]))


def test_features_far_from_zero_lose_no_precision():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 100)
    X = rng.normal(1e5, 1, (100, 6))
    X[np.arange(100), y] += 2
    fitted = HOGSVMClassifier(gamma=0.2).fit(X, y)
    expected = SVC(C=5.0, gamma=0.2).fit(X, y).decision_function(X)
    assert_allclose(fitted.decision_function(X), expected, rtol=0, atol=1e-10)


def test_probabilities_are_calibrated_on_request(features):
    X, y = features
    classifier = HOGSVMClassifier(probability=True, random_state=0).fit(X[:56], y[:56])
    probabilities = classifier.predict_proba(X[56:])
    assert probabilities.shape == (14, 7)
    assert_allclose(probabilities.sum(1), 1)
    agreement = np.mean(classifier.classes_[probabilities.argmax(1)] == classifier.predict(X[56:]))
    assert agreement >= 0.8
    plain = HOGSVMClassifier().fit(X[:56], y[:56])
    assert_array_equal(classifier.predict(X[56:]), plain.predict(X[56:]))


def test_calibration_does_not_warn(features):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        HOGSVMClassifier(probability=True).fit(*features)


def test_probabilities_are_off_by_default(features):
    classifier = HOGSVMClassifier().fit(*features)
    assert not hasattr(classifier, "predict_proba")
    with pytest.raises(AttributeError) as raised:
        _ = classifier.predict_proba
    assert "predict_proba is not available with probability=False" in str(raised.value.__cause__)


def test_probability_set_after_fit_is_reported(features):
    classifier = HOGSVMClassifier().fit(*features).set_params(probability=True)
    with pytest.raises(AttributeError, match="probability was set to True after fit"):
        classifier.predict_proba(features[0])


def test_the_same_seed_gives_the_same_probabilities(features):
    X, y = features
    first, second = (
        HOGSVMClassifier(probability=True, random_state=3).fit(X, y).predict_proba(X)
        for _ in range(2)
    )
    assert_array_equal(first, second)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_weights_are_the_same_as_copies(kernel):
    # Replaces scikit-learn's check, which is stricter than the solvers' tolerances.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    X[np.arange(60), y] += 1
    weight = rng.integers(0, 4, 60)
    weighted = HOGSVMClassifier(kernel=kernel, C=1.0, n_components=None)
    copied = clone(weighted).fit(X.repeat(weight, 0), y.repeat(weight))
    weighted.fit(X, y, sample_weight=weight)
    assert_allclose(weighted.decision_function(X), copied.decision_function(X), atol=0.02)


@pytest.mark.parametrize("classifier", [HOGSVMClassifier(), LSSVMClassifier()])
def test_a_class_without_weight_is_named_and_left_out(classifier):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), np.array(["happy", "sad", "fear"])[rng.integers(0, 3, 60)]
    classifier = clone(classifier).set_params(class_weight={"sad": 0.0, "fear": 2.0})
    with pytest.warns(UserWarning, match="All images of 'sad' have the weight 0"):
        classifier.fit(X, y)
    assert classifier.classes_.tolist() == ["fear", "happy"]
    kept = y != "sad"
    alone = clone(classifier).set_params(class_weight={"fear": 2.0}).fit(X[kept], y[kept])
    assert_allclose(classifier.decision_function(X), alone.decision_function(X))
    classifier.set_params(class_weight=dict.fromkeys(np.unique(y), 0))
    with pytest.raises(ValueError, match="All images have the weight 0"):
        classifier.fit(X, y)


def test_calibrated_weights_of_one_change_nothing():
    # Replaces scikit-learn's check, which compares folds of weights and of copies.
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 5)), rng.integers(0, 3, 60)
    plain = HOGSVMClassifier(probability=True, random_state=0).fit(X, y)
    weighted = clone(plain).fit(X, y, sample_weight=np.ones(60))
    assert_allclose(weighted.predict_proba(X), plain.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_calibration_is_not_disturbed_by_metadata_routing(kernel):
    rng = np.random.default_rng(0)
    X, y, weight = rng.normal(size=(60, 5)), rng.integers(0, 3, 60), rng.uniform(0.5, 2, 60)
    classifier = HOGSVMClassifier(kernel=kernel, probability=True, random_state=0)
    expected = clone(classifier).fit(X, y, sample_weight=weight).predict_proba(X)
    with config_context(enable_metadata_routing=True):
        assert_array_equal(classifier.fit(X, y, sample_weight=weight).predict_proba(X), expected)
        classifier.set_fit_request(sample_weight=True)
        pipeline = make_pipeline(CappedPCA(n_components=None), classifier)
        assert_array_equal(pipeline.fit(X, y, sample_weight=weight).predict_proba(X), expected)


def test_balanced_classes_are_the_same_as_their_weights():
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [50, 10])
    X = rng.normal(size=(60, 4)) + y[:, None]
    balanced = HOGSVMClassifier(class_weight="balanced", gamma=0.2).fit(X, y)
    weight = compute_sample_weight("balanced", y)
    weighted = HOGSVMClassifier(gamma=0.2).fit(X, y, sample_weight=weight)
    assert_allclose(balanced.decision_function(X), weighted.decision_function(X), atol=1e-2)
    plain = HOGSVMClassifier(gamma=0.2).fit(X, y)
    assert balanced.predict(X).sum() > plain.predict(X).sum()


def test_gamma_is_that_of_scikit_learn_or_twice_that(features):
    X, y = features
    scale = HOGSVMClassifier(gamma="scale", n_components=None).fit(X, y).svm_.gamma
    assert scale == pytest.approx(1 / (X.shape[1] * X.var()), rel=1e-4)
    assert HOGSVMClassifier(n_components=None).fit(X, y).svm_.gamma == pytest.approx(2 * scale)


def test_components_are_used_only_if_that_reduces(features):
    X, y = features
    assert HOGSVMClassifier(n_components=20).fit(X, y).pca_.n_components_ == 20
    assert HOGSVMClassifier(n_components=70).fit(X, y).pca_ is None
    assert HOGSVMClassifier(n_components=None).fit(X, y).pca_ is None


def test_it_pickles(features):
    X, y = features
    classifier = HOGSVMClassifier(probability=True, random_state=0).fit(X, y)
    copy = pickle.loads(pickle.dumps(classifier))
    assert_array_equal(copy.predict_proba(X), classifier.predict_proba(X))


@pytest.fixture(scope="module")
def votes():
    """Features, labels, probabilities of the labels, and copies of the samples that stand for them.

    The copies are a sample per label with a probability, weighted with it."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(150, 5)), rng.integers(0, 3, 150)
    X[np.arange(150), y] += 1
    soft = np.eye(3)[y]
    unsure = rng.random(150) < 0.4
    soft[unsure] = 0.7 * soft[unsure] + 0.3 * np.eye(3)[(y[unsure] + 1) % 3]
    rows, labels = np.nonzero(soft)
    return X, y, soft, (X[rows], labels, soft[rows, labels].astype(np.float32))


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_soft_targets_are_weighted_copies(votes, kernel):
    X, y, soft, copies = votes
    classifier = HOGSVMClassifier(kernel=kernel, gamma=0.1)
    classifier.fit(X, y, soft_targets=soft)
    expected = clone(classifier).fit(*copies)
    assert_allclose(classifier.decision_function(X), expected.decision_function(X), atol=1e-6)
    assert np.mean(classifier.predict(X) != clone(classifier).fit(X, y).predict(X)) > 0
    weight = np.where(y == 0, 2.0, 1.0)
    weighted = clone(classifier).fit(X, y, weight, soft_targets=soft)
    rows = np.nonzero(soft)[0]
    expected.fit(*copies[:2], copies[2] * weight[rows])
    assert_allclose(weighted.decision_function(X), expected.decision_function(X), atol=1e-6)


def test_soft_targets_scale_the_kernel_as_the_samples_do(votes):
    X, y, soft, _ = votes
    plain = HOGSVMClassifier(gamma="scale").fit(X, y).svm_.gamma
    assert HOGSVMClassifier(gamma="scale").fit(X, y, soft_targets=soft).svm_.gamma == plain


def test_calibration_keeps_the_copies_of_a_sample_together(votes):
    X, y, soft, _ = votes
    classifier = HOGSVMClassifier(probability=True, random_state=0).fit(X, y, soft_targets=soft)
    assert_allclose(classifier.predict_proba(X).mean(0), soft.mean(0), atol=0.05)
    rows = np.nonzero(soft)[0]
    for train, test in classifier.calibrator_.cv:
        assert not set(rows[train]) & set(rows[test])


def test_a_class_without_a_vote_is_refused(votes):
    X, y, _, _ = votes
    without = np.eye(3)[np.where(y == 2, 0, y)]
    with pytest.raises(ValueError, match="soft_targets are all 0 for class 2, which y has"):
        HOGSVMClassifier().fit(X, y, soft_targets=without)


@pytest.mark.parametrize(
    "make",
    [
        make_hog_svm_pipeline,
        lambda: make_descriptor_svm_pipeline(descriptors=[("hog", HOGExtractor())]),
    ],
    ids=["hog", "descriptors"],
)
def test_pipelines_pass_soft_targets_on(faces, make):
    X, y = faces
    names = sorted(set(y))
    # People see the second emotion in images that are labelled as the first.
    seen = np.where(y == names[0], names[1], y)
    soft = (seen[:, np.newaxis] == names) * 0.9 + (y[:, np.newaxis] == names) * 0.1
    pipeline = make().fit(X, y, classifier__soft_targets=soft)
    assert pipeline["classifier"].classes_.tolist() == names
    assert np.mean(pipeline.predict(X) == seen) > 0.9


def test_a_pipeline_is_cross_validated_and_tuned(faces):
    X, y = faces
    pipeline = make_pipeline(GrayscaleResizer(48), HOGExtractor(), HOGSVMClassifier())
    assert cross_val_score(pipeline, X, y, cv=3).mean() >= 0.7
    grid = {"hogextractor__pixels_per_cell": [8, 16], "hogsvmclassifier__C": [1, 5]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_one_class_is_rejected(features):
    with pytest.raises(ValueError, match="y has one class, 'happy'; expected two classes or more"):
        HOGSVMClassifier().fit(features[0], ["happy"] * 70)


@pytest.mark.parametrize("classifier", [HOGSVMClassifier(), LSSVMClassifier()])
def test_a_fit_that_fails_leaves_the_earlier_one(features, classifier):
    X, y = features
    classifier = clone(classifier).fit(X, y)
    before, labels = dict(vars(classifier)), classifier.predict(X)
    other = np.unique(y, return_inverse=True)[1]
    for bad in ({"y": np.zeros(len(y))}, {"y": other, "soft_targets": np.zeros((len(y), 7))}):
        with pytest.raises(ValueError, match=r"y has one class|not probabilities"):
            classifier.fit(X, **bad)
        assert vars(classifier) == before
    assert_array_equal(classifier.predict(X), labels)


def test_a_class_of_one_sample_cannot_be_calibrated(features):
    y = np.array(["happy"] * 69 + ["sad"])
    with pytest.raises(ValueError, match=r"probability=True calibrates .* one of class 'sad'"):
        HOGSVMClassifier(probability=True).fit(features[0], y)


def test_labels_of_another_length_are_rejected(features):
    X, y = features
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: \[70, 69\]"):
        HOGSVMClassifier().fit(X, y[:-1])


@pytest.mark.parametrize(
    "parameters",
    [{"C": 0}, {"kernel": "rfb"}, {"gamma": "auto"}, {"n_components": 0}, {"max_iter": -2}],
)
def test_a_wrong_parameter_is_named(parameters, features):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"The '{name}' parameter of HOGSVMClassifier must be"):
        HOGSVMClassifier(**parameters).fit(*features)


def test_a_subset_of_fer2013_is_used_for_training(fer2013_path):
    from fer_sklearn import load_fer2013

    X, y = load_fer2013(fer2013_path, subset="train", return_X_y=True)
    X_public, y_public = load_fer2013(fer2013_path, subset="public", return_X_y=True)
    part = np.random.default_rng(0).permutation(len(y))[:3000]
    X_public, y_public = X_public[::4], y_public[::4]
    classifier = make_pipeline(HOGExtractor(), CappedPCA(), HOGSVMClassifier())
    classifier.fit(X[part], y[part])
    assert classifier.score(X_public, y_public) >= 0.42


@pytest.mark.parametrize("probability", [False, True])
def test_class_weights_are_by_label(features, probability):
    settings = {"gamma": 0.2, "probability": probability, "random_state": 0}
    weighted = HOGSVMClassifier(class_weight={"sad": 4.0}, **settings).fit(*features)
    assert weighted.classes_[weighted.svm_.class_weight_ == 4.0].tolist() == ["sad"]
    assert set(weighted.predict(features[0])) <= set(weighted.classes_)


def test_a_weight_of_an_unknown_class_is_refused(features):
    with pytest.raises(ValueError, match=r"unknown key\(s\) 'sed'.* Did you mean 'sad'"):
        HOGSVMClassifier(class_weight={"sed": 4.0}).fit(*features)


def test_fit_leaves_the_global_generator_alone():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 5)), rng.integers(0, 3, 30)
    before = np.random.get_state()[2]  # noqa: NPY002
    HOGSVMClassifier().fit(X, y)
    assert np.random.get_state()[2] == before  # noqa: NPY002
