"""Two label sets on one network."""

import pickle

import keras
import numpy as np
import pandas as pd
import pytest
from networks import small_network
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from fer_sklearn import FERCNNClassifier, evaluate, load_pretrained, make_cnn_pipeline
from fer_sklearn.cnn import save_network, scale_logits
from fer_sklearn.cnn._checkpoints import Checkpoint
from fer_sklearn.cnn._heads import JointLoss
from fer_sklearn.cnn.augmentation import mix_up
from fer_sklearn.weights import read_description

LEARNER = {
    "architecture": "conv3",
    "epochs": 20,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "dropout": 0.0,
    "random_state": 0,
}
# The second label set: whether the mouth of the expression is open or turned up.
GROUPS = {"fear": "open", "happy": "up", "surprise": "open"}


def groups_of(y):
    return np.array([GROUPS.get(label, "other") for label in y])


def votes_on(y):
    groups = groups_of(y)
    return pd.DataFrame({name: (groups == name).astype(float) for name in ("other", "open", "up")})


def quick(**parameters):
    return FERCNNClassifier(
        **({"architecture": small_network, "epochs": 2, "random_state": 0} | parameters)
    )


def assert_same_weights(first, second):
    for a, b in zip(first._all_weights(), second._all_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def fitted(small_faces):
    X, y = small_faces
    return FERCNNClassifier(**LEARNER).fit(X, y, auxiliary_targets=votes_on(y))


def test_both_label_sets_are_learned(fitted, small_faces):
    X, y = small_faces
    assert fitted.classes_.tolist() == sorted(set(y))
    assert fitted.auxiliary_classes_.tolist() == ["open", "other", "up"]
    assert fitted.score(X, y) > 0.8
    second = fitted.auxiliary_classifier()
    assert second.classes_.tolist() == ["open", "other", "up"]
    assert second.score(X, groups_of(y)) > 0.8
    assert fitted.model_.output_shape == (None, 7)
    assert set(fitted.history_) == {"loss", "accuracy", "auxiliary_loss"}
    assert fitted.history_["auxiliary_loss"][-1] < 0.5 * fitted.history_["auxiliary_loss"][0]


def test_the_second_classifier_is_independent(fitted, small_faces):
    X, _ = small_faces
    before = fitted.predict_proba(X[:5])
    second = fitted.auxiliary_classifier()
    expected = second.predict_proba(X[:5])
    scale_logits(second, 3.0)
    assert abs(second.predict_proba(X[:5]) - expected).max() > 0.01
    second.model_.layers[1].set_weights([0 * w for w in second.model_.layers[1].get_weights()])
    np.testing.assert_array_equal(fitted.predict_proba(X[:5]), before)
    np.testing.assert_array_equal(fitted.auxiliary_classifier().predict_proba(X[:5]), expected)


def test_the_second_head_follows_changes_of_the_network(fitted, small_faces):
    changed = pickle.loads(pickle.dumps(fitted))
    weights = changed.model_.get_weights()
    changed.model_.set_weights([0.9 * w for w in weights])
    X, _ = small_faces
    second = changed.auxiliary_classifier().predict_proba(X[:5])
    assert abs(second - fitted.auxiliary_classifier().predict_proba(X[:5])).max() > 1e-3


def test_the_joint_loss_is_a_weighted_sum():
    first, second = np.float32([[0.5, 0.5]]), np.float32([[0.2, 0.8]])
    y_true = np.float32([[1, 0, 0, 1], [1, 0, 0, 0]])  # nothing is known of the second image
    y_pred = np.repeat(np.concatenate([first, second], axis=1), 2, axis=0)
    loss = JointLoss(keras.losses.CategoricalCrossentropy(), 2, weight=3.0).call(y_true, y_pred)
    expected = [np.log(2) - 3 * np.log(0.8), np.log(2)]
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("loss", ["crossentropy", pytest.param("focal", marks=pytest.mark.slow)])
def test_label_smoothing_leaves_unknown_images_without_loss(small_faces, loss):
    X, y = small_faces
    targets = votes_on(y).to_numpy().copy()
    targets[1:] = 0
    # Nothing is learned between the loss and the probabilities.
    settings = {
        "learning_rate": 1e-12,
        "epochs": 1,
        "batch_size": 280,
        "architecture": small_network,
    }
    settings |= {"label_smoothing": 0.2, "loss": loss, "dropout": 0.0, "random_state": 0}
    classifier = FERCNNClassifier(**settings, auxiliary_weight=2.0)
    classifier.fit(X, y, auxiliary_targets=targets)
    plain = FERCNNClassifier(**settings).fit(X, y)
    p = classifier.auxiliary_classifier().predict_proba(X[:1])[0]
    expected = -(targets[0] * np.log(p)).sum() / 280
    assert classifier.history_["auxiliary_loss"] == [pytest.approx(expected, rel=1e-3)]
    total = plain.history_["loss"][0] + 2 * expected
    assert classifier.history_["loss"] == [pytest.approx(total, rel=1e-4)]


def test_a_tiny_weight_leaves_the_first_label_set_alone(small_faces):
    X, y = small_faces
    alone = quick().fit(X, y)
    beside = quick(auxiliary_weight=1e-12).fit(X, y, auxiliary_targets=votes_on(y))
    np.testing.assert_allclose(beside.predict_proba(X), alone.predict_proba(X), atol=1e-5)
    assert beside.history_["accuracy"] == pytest.approx(alone.history_["accuracy"])


@pytest.mark.slow
def test_the_weight_matters(small_faces):
    X, y = small_faces
    light, heavy = (
        quick(auxiliary_weight=weight).fit(X, y, auxiliary_targets=votes_on(y))
        for weight in (0.1, 10)
    )
    assert heavy.history_["auxiliary_loss"][-1] < light.history_["auxiliary_loss"][-1]


def test_mixed_images_have_mixed_votes(small_faces, monkeypatch):
    X, y = small_faces
    seen = []

    def spy(images, targets, alpha, rng):
        mixed = mix_up(images, targets, alpha, rng)
        seen.append(mixed[1])
        return mixed

    monkeypatch.setattr("fer_sklearn.cnn._data.mix_up", spy)
    quick(augmentation={"mixup": 0.4}).fit(X, y, auxiliary_targets=votes_on(y))
    targets = np.concatenate(seen)
    assert targets.shape[1] == 10
    np.testing.assert_allclose(targets[:, :7].sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(targets[:, 7:].sum(axis=1), 1, atol=1e-5)
    happy, up = targets[:, 3], targets[:, 9]  # the same images, in columns of both sets
    np.testing.assert_allclose(happy, up, atol=1e-6)


def test_validation_images_keep_their_votes(small_faces):
    X, y = small_faces
    history = quick(validation_fraction=0.25).fit(X, y, auxiliary_targets=votes_on(y)).history_
    assert set(history) >= {"val_loss", "val_accuracy", "val_auxiliary_loss"}


def test_the_order_of_columns_does_not_matter(small_faces):
    X, y = small_faces
    votes = votes_on(y)
    first = quick().fit(X, y, auxiliary_targets=votes)
    second = quick().fit(X, y, auxiliary_targets=votes[["up", "other", "open"]])
    assert_same_weights(first, second)
    unnamed = quick().fit(X, y, auxiliary_targets=votes.to_numpy())
    assert unnamed.auxiliary_classes_.tolist() == [0, 1, 2]


def test_pickle_and_clone(fitted, small_faces):
    X, _ = small_faces
    again = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(again.predict_proba(X[:5]), fitted.predict_proba(X[:5]))
    np.testing.assert_array_equal(
        again.auxiliary_classifier().predict_proba(X[:5]),
        fitted.auxiliary_classifier().predict_proba(X[:5]),
    )
    fresh = clone(fitted)
    assert fresh.auxiliary_weight == 1.0
    assert not hasattr(fresh, "auxiliary_classes_")


def test_fitting_again_without_votes_forgets_them(small_faces):
    X, y = small_faces
    classifier = quick().fit(X, y, auxiliary_targets=votes_on(y))
    classifier.fit(X, y)
    assert classifier.auxiliary_classes_ is None
    with pytest.raises(AttributeError, match=r"one label set. Fit it with auxiliary_targets"):
        classifier.auxiliary_classifier()
    assert_same_weights(classifier, quick().fit(X, y))


def test_half_precision(small_faces):
    X, y = small_faces
    half = quick(dtype_policy="mixed_bfloat16").fit(X, y, auxiliary_targets=votes_on(y))
    full = half.to_float32()
    assert full.auxiliary_classifier().predict_proba(X[:5]).dtype == np.float32
    np.testing.assert_allclose(
        full.auxiliary_classifier().predict_proba(X[:5]),
        half.auxiliary_classifier().predict_proba(X[:5]),
        atol=0.02,
    )


# Continuing


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [
        {},
        pytest.param(
            {"learning_rate_schedule": "cosine", "optimizer": "sgd"}, marks=pytest.mark.slow
        ),
    ],
)
def test_checkpoints(small_faces, tmp_path, monkeypatch, more):
    X, y = small_faces
    votes = votes_on(y)
    parameters = {"epochs": 3} | more
    whole = quick(**parameters).fit(X, y, auxiliary_targets=votes)
    parameters["checkpoint_dir"] = tmp_path
    real = Checkpoint.write

    def write(self, state):
        real(self, state)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write)
        with pytest.raises(KeyboardInterrupt):
            quick(**parameters).fit(X, y, auxiliary_targets=votes)
    resumed = quick(**parameters).fit(X, y, auxiliary_targets=votes)
    loaded = quick(**parameters).fit(X, y, auxiliary_targets=votes)
    for classifier in (resumed, loaded):
        assert classifier.history_ == whole.history_
        assert_same_weights(classifier, whole)
    assert len(list(tmp_path.iterdir())) == 1
    quick(**parameters).fit(X, y, auxiliary_targets=votes.iloc[::-1])
    quick(**parameters).fit(X, y)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.slow
def test_partial_fit_and_warm_start_continue(small_faces):
    X, y = small_faces
    votes = votes_on(y)
    classifier = quick(learning_rate=2e-3).partial_fit(X, y, auxiliary_targets=votes)
    for _ in range(7):
        classifier.partial_fit(X, y, auxiliary_targets=votes)
    losses = classifier.history_["auxiliary_loss"]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    classifier.set_params(warm_start=True, epochs=1).fit(X, y, auxiliary_targets=votes)
    assert classifier.history_["auxiliary_loss"][0] < losses[0]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_continuing_with_other_votes_is_refused(small_faces, method):
    X, y = small_faces
    classifier = quick(warm_start=True, epochs=1).fit(X, y, auxiliary_targets=votes_on(y))
    train = getattr(classifier, method)
    with pytest.raises(ValueError, match=r"auxiliary_targets=None, but .*would forget them"):
        train(X, y)
    with pytest.raises(ValueError, match=r"columns \[0, 1\].*of the first fit are \['open'"):
        train(X, y, auxiliary_targets=np.eye(2)[np.zeros(280, int)])
    plain = quick(warm_start=True, epochs=1).fit(X, y)
    with pytest.raises(ValueError, match=r"auxiliary classes of the first fit are none"):
        getattr(plain, method)(X, y, auxiliary_targets=votes_on(y))


@pytest.mark.slow
def test_initial_weights_get_a_second_head(faces):
    X, y = faces
    classifier = load_pretrained("tiny")[-1]
    classifier.set_params(epochs=1, learning_rate=1e-9, augmentation=None, random_state=0)
    classifier.set_params(trainable="last_stage")
    before = classifier.predict_proba(X / np.float32(255))
    classifier.fit(X, y, auxiliary_targets=votes_on(y))
    assert classifier.auxiliary_classifier().predict_proba(X[:2]).shape == (2, 3)
    # Batch normalisation adapts slightly.
    assert abs(classifier.predict_proba(X) - before).mean() < 0.1


# In pipelines


@pytest.mark.slow
def test_through_a_pipeline_and_a_search(faces):
    X, y = faces
    pipeline = make_cnn_pipeline(FERCNNClassifier(epochs=1, random_state=0), size=16)
    pipeline.fit(X, y, classifier__auxiliary_targets=votes_on(y))
    second = clone(pipeline)
    second.steps[-1] = ("classifier", pipeline[-1].auxiliary_classifier())
    assert evaluate(second, X, groups_of(y)).labels.tolist() == ["open", "other", "up"]
    search = GridSearchCV(pipeline, {"classifier__auxiliary_weight": [0.5, 2.0]}, cv=2)
    search.fit(X, y, classifier__auxiliary_targets=votes_on(y))
    assert search.best_estimator_[-1].auxiliary_classes_.tolist() == ["open", "other", "up"]


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v[:, :1], r"auxiliary_targets has shape \(280, 1\); expected .*two columns"),
        (lambda v: v[:100], r"auxiliary_targets has shape \(100, 3\); expected \(280, 3\)"),
        (lambda v: v * 2, r"auxiliary_targets has .*row\(s\).*sum to 1, or are all 0"),
        (lambda v: v * 0, r"auxiliary_targets has zeros in all rows"),
        (lambda v: pd.DataFrame(v, columns=["a", "a", "b"]), r"a different name"),
    ],
)
def test_wrong_targets(small_faces, change, message):
    X, y = small_faces
    with pytest.raises(ValueError, match=message):
        quick().fit(X, y, auxiliary_targets=change(votes_on(y).to_numpy()))


def test_an_architecture_without_a_dense_output(small_faces):
    X, y = small_faces
    with pytest.raises(TypeError, match=r"ends in the layer .*Activation.*expected a Dense layer"):
        quick(architecture="mini_xception").fit(X, y, auxiliary_targets=votes_on(y))


def sequential(meta):
    model = keras.Sequential()
    model.add(keras.Input(meta["input_shape"]))
    model.add(keras.layers.Flatten())
    model.add(keras.layers.Dense(8, activation="relu"))
    model.add(keras.layers.Dense(meta["n_classes"], activation="softmax", use_bias=False))
    return model


def test_a_sequential_network_that_grew_layer_by_layer(small_faces):
    X, y = small_faces
    classifier = quick(architecture=sequential).fit(X, y, auxiliary_targets=votes_on(y))
    second = classifier.auxiliary_classifier().predict_proba(X[:3])
    np.testing.assert_allclose(second.sum(axis=1), 1, atol=1e-5)


# Files


def test_a_network_with_two_heads_in_a_file(fitted, small_faces, tmp_path):
    X, _ = small_faces
    path = tmp_path / "two.npz"
    blends = {"mixed": {"seven": 1.0}}
    save_network(fitted, path, heads=("seven", "three"), blends=blends)
    assert list(read_description(path)["label_sets"]) == ["mixed", "seven", "three"]
    seven, three, first = (
        load_pretrained(path, **labels)[-1].set_params(test_time_augmentation=False)
        for labels in ({"labels": "seven"}, {"labels": "three"}, {})
    )
    expected = fitted.predict_proba(X[:20])
    np.testing.assert_allclose(seven.predict_proba(X[:20]), expected, atol=0.01)
    np.testing.assert_array_equal(first.predict_proba(X[:20]), seven.predict_proba(X[:20]))
    expected = fitted.auxiliary_classifier().predict_proba(X[:20])
    np.testing.assert_allclose(three.predict_proba(X[:20]), expected, atol=0.01)
    with pytest.raises(ValueError, match=r"no labels 'eight'; expected 'mixed', 'seven', 'three'"):
        load_pretrained(path, labels="eight")


def test_blends_mix_the_labels_of_both_heads(small_faces, tmp_path):
    X, y = small_faces
    votes = pd.DataFrame({name: (y == name) * 1.0 for name in ("happy", "sad", "contempt", "fear")})
    classifier = quick(architecture="conv3").fit(X, y, auxiliary_targets=votes)
    path = tmp_path / "two.npz"
    blends = {"people": {"labels": 0.3, "auxiliary": 0.7}}
    save_network(classifier, path, blends=blends)
    blended = load_pretrained(path)[-1].set_params(test_time_augmentation=False)
    assert blended.classes_.tolist() == ["fear", "happy", "sad"]
    logits = 0.3 * np.log(classifier.predict_proba(X[:9])[:, [2, 3, 5]])
    logits += 0.7 * np.log(classifier.auxiliary_classifier().predict_proba(X[:9])[:, [1, 2, 3]])
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(blended.predict_proba(X[:9]), expected, atol=0.01)
    with pytest.raises(ValueError, match=r"blends\['x'\] has the unknown key\(s\) 'other'"):
        save_network(classifier, path, blends={"x": {"other": 1}})


def test_a_network_with_one_head_in_a_file(small_faces, tmp_path):
    X, y = small_faces
    classifier = FERCNNClassifier(epochs=1, random_state=0).fit(X, y)
    save_network(classifier, tmp_path / "one.npz")
    again = load_pretrained(tmp_path / "one.npz")[-1].set_params(test_time_augmentation=False)
    np.testing.assert_allclose(again.predict_proba(X), classifier.predict_proba(X), atol=0.01)
    with pytest.raises(ValueError, match=r"blends=.* was given, but the network has one head"):
        save_network(classifier, tmp_path / "one.npz", blends={"x": {"labels": 1.0}})
    with pytest.raises(ValueError, match=r"architecture=.*is a function.*fer_sklearn\.save"):
        save_network(quick().fit(X, y), tmp_path / "function.npz")
