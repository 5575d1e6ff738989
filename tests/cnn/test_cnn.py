"""FERCNNClassifier from the user's perspective; scikit-learn's checks are in test_common."""

import pickle
import sys
from functools import partial

import keras
import numpy as np
import pytest
from networks import small_network
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, check_cv, cross_val_score

from fer_sklearn import FERCNNClassifier, make_faces
from fer_sklearn.cnn import EpochBar
from fer_sklearn.cnn import _data as data_module
from fer_sklearn.cnn import _fit as training_module

SIZE = 24
# Enough to learn 280 synthetic faces.
LEARNER = {
    "architecture": "conv3",
    "epochs": 30,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "dropout": 0.0,
}


def quick(**parameters):
    return FERCNNClassifier(
        **({"architecture": small_network, "epochs": 2, "random_state": 0} | parameters)
    )


@pytest.fixture(scope="module")
def plain(small_faces):
    return quick().fit(*small_faces)


@pytest.fixture(scope="module")
def fitted(small_faces):
    return quick(**LEARNER).fit(*small_faces)


def weights_of(classifier):
    return classifier.model_.get_weights()


def assert_same_weights(first, second):
    for a, b in zip(weights_of(first), weights_of(second), strict=True):
        np.testing.assert_array_equal(a, b)


def tiny_network(meta):
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])


# Learning


def test_learns_facial_expressions(fitted):
    unseen = make_faces(140, size=SIZE, noise=3, random_state=1, return_X_y=True)
    assert fitted.score(*unseen) > 0.8


def test_learned_attributes(fitted, small_faces):
    _, y = small_faces
    assert fitted.classes_.tolist() == sorted(set(y))
    assert isinstance(fitted.model_, keras.Model)
    assert fitted.n_features_in_ == SIZE * SIZE
    assert fitted.image_shape_ == (SIZE, SIZE)
    assert fitted.n_iter_ == len(fitted.history_["loss"]) == 30
    assert fitted.n_parameters_ == sum(w.size for w in weights_of(fitted))
    assert set(fitted.history_) == {"loss", "accuracy"}
    assert fitted.history_["loss"][-1] < fitted.history_["loss"][0]


def test_probabilities(fitted, small_faces):
    probabilities = fitted.predict_proba(small_faces[0][:1])
    assert probabilities.shape == (1, 7)
    assert probabilities.dtype == np.float32
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_is_a_classifier_so_that_folds_are_stratified(small_faces):
    y = np.sort(small_faces[1])
    assert is_classifier(FERCNNClassifier())
    assert isinstance(check_cv(3, y, classifier=is_classifier(quick())), StratifiedKFold)


@pytest.mark.slow
def test_cross_validation_on_sorted_labels(small_faces):
    X, y = small_faces
    order = np.argsort(y)
    scores = cross_val_score(quick(**LEARNER), X[order], y[order], cv=2)
    assert min(scores) > 0.5


@pytest.mark.parametrize(
    "architecture",
    [
        pytest.param("mini_xception", marks=pytest.mark.nightly),
        pytest.param("resnet_se", marks=pytest.mark.nightly),
        tiny_network,
    ],
)
def test_other_architectures_train(small_faces, architecture):
    classifier = quick(architecture=architecture, epochs=3).fit(*small_faces)
    assert classifier.history_["loss"][-1] < classifier.history_["loss"][0]


def frozen_network(meta):
    frozen = keras.layers.Dense(8, trainable=False, name="frozen")
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten(), frozen]
    model = keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])
    frozen.set_weights([np.full((SIZE * SIZE, 8), 0.01), np.arange(8)])
    return model


def test_frozen_layers_of_a_custom_network_keep_their_weights(small_faces):
    classifier = quick(architecture=frozen_network).fit(*small_faces)
    kernel, bias = classifier.model_.get_layer("frozen").get_weights()
    np.testing.assert_allclose(kernel, 0.01)
    np.testing.assert_allclose(bias, np.arange(8))


@pytest.mark.slow
def test_half_precision_trains_and_predicts_in_float32(small_faces):
    classifier = quick(architecture="conv3", dtype_policy="mixed_bfloat16", epochs=5).fit(
        *small_faces
    )
    assert classifier.model_.layers[1].compute_dtype == "bfloat16"
    assert classifier.predict_proba(small_faces[0]).dtype == np.float32
    assert classifier.history_["loss"][-1] < classifier.history_["loss"][0]
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
def test_to_float32_copies_a_classifier_that_computes_in_half_precision(small_faces):
    classifier = quick(dtype_policy="mixed_bfloat16", epochs=1).fit(*small_faces)
    converted = classifier.to_float32()
    assert converted.model_.layers[1].compute_dtype == converted.dtype_policy == "float32"
    assert classifier.model_.layers[1].compute_dtype == "bfloat16"
    assert classifier.dtype_policy == "mixed_bfloat16"
    assert converted.history_ == classifier.history_
    assert_same_weights(converted, classifier)
    X = small_faces[0][:20]
    np.testing.assert_allclose(converted.predict_proba(X), classifier.predict_proba(X), atol=0.02)


def test_to_float32_of_a_float32_classifier_is_itself(fitted):
    assert fitted.to_float32() is fitted


def test_to_float32_needs_a_fitted_classifier():
    with pytest.raises(NotFittedError):
        quick().to_float32()


def test_scikeras_checks_one_row_per_class_instead_of_all_pixels(small_faces, monkeypatch):
    shapes = []

    class Spy(training_module._StreamClassifier):
        def fit(self, X, y, **options):
            shapes.append((X.shape, y.shape))
            return super().fit(X, y, **options)

    monkeypatch.setattr(training_module, "_StreamClassifier", Spy)
    quick(epochs=1).fit(*small_faces)
    assert shapes == [((7, 1), (7,))]


@pytest.mark.parametrize(
    "parameters",
    [
        {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 1e-4},
        {"optimizer": keras.optimizers.RMSprop(1e-3)},
        {"optimizer": "adamw", "learning_rate": 0.05},
        {"learning_rate_schedule": "cosine"},
        {"label_smoothing": 0.1},
        {"loss": "focal"},
        {"class_weight": "balanced"},
        {"augmentation": True},
    ],
)
def test_settings_that_change_training(small_faces, plain, parameters):
    changed = quick(**parameters).fit(*small_faces)
    if "class_weight" in parameters:  # the faces are balanced already
        parameters = {"class_weight": {"happy": 3.0}}
        changed = quick(**parameters).fit(*small_faces)
    assert changed.history_["loss"] != plain.history_["loss"]
    assert np.isfinite(changed.history_["loss"]).all()


def test_focal_loss_matches_the_paper(small_faces):
    X, y = small_faces
    # At this rate, nothing is learned between the loss and the probabilities.
    classifier = quick(
        architecture=tiny_network, loss="focal", learning_rate=1e-12, epochs=1, batch_size=280
    ).fit(X, y)
    p = classifier.predict_proba(X)[np.arange(len(y)), np.searchsorted(classifier.classes_, y)]
    expected = -np.mean((1 - p) ** 2 * np.log(p))
    assert classifier.history_["loss"] == [pytest.approx(expected, rel=1e-4)]


def test_losses_do_not_share_a_compiled_model(small_faces):
    before = quick().fit(*small_faces).history_["loss"]
    quick(loss="focal").fit(*small_faces)
    assert quick().fit(*small_faces).history_["loss"] == before


def test_cosine_schedule_ends_at_zero(small_faces):
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    quick(epochs=8, learning_rate=0.01, learning_rate_schedule="cosine", callbacks=[Watch()]).fit(
        *small_faces
    )
    assert max(rates) == pytest.approx(0.01, rel=1e-3)
    assert rates[0] < max(rates)
    assert rates[-1] < 1e-4


# Sample weights and validation images


@pytest.mark.slow
def test_images_with_zero_weight_are_ignored(small_faces):
    # Replaces scikit-learn's check that weights equal repetition, which minibatches
    # cannot satisfy, since their composition differs.
    X, y = small_faces
    wrong = np.concatenate([X, X]), np.concatenate([y, np.roll(np.sort(y), 140)])
    weights = np.repeat([1.0, 0.0], len(y))
    classifier = quick(**LEARNER).fit(*wrong, sample_weight=weights)
    assert classifier.score(X, y) > 0.8


def test_class_weights_of_a_batch_without_the_class(small_faces):
    X, y = small_faces
    some = y != "happy"
    classes = np.unique(y)
    weighted = quick(class_weight={"happy": 5.0, "sad": 2.0})
    weighted.partial_fit(X[some], y[some], classes=classes)
    weights = np.where(y == "sad", 2.0, 1.0)
    plain = quick().partial_fit(X[some], y[some], classes=classes, sample_weight=weights[some])
    assert_same_weights(weighted, plain)


def test_partial_fit_cannot_count_for_balanced_weights(small_faces):
    with pytest.raises(
        ValueError, match=r"class_weight='balanced' needs the counts of all images.*one call"
    ):
        quick(class_weight="balanced").partial_fit(*small_faces)


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({"hapy": 2.0}, r"unknown key\(s\) 'hapy'.*Did you mean 'happy'"),
        ({"contempt": 2.0}, r"class_weight has the unknown key\(s\) 'contempt'"),
        ({"happy": -1.0}, r"class_weight\['happy'\]=-1.0 must be a non-negative number"),
        ({"happy": np.nan}, r"class_weight\['happy'\]=nan must be a non-negative number"),
    ],
)
def test_wrong_class_weights(small_faces, class_weight, message):
    with pytest.raises(ValueError, match=message):
        quick(class_weight=class_weight).fit(*small_faces)


@pytest.mark.parametrize(("value", "message"), [(-1.0, "[Nn]egative"), (np.nan, "NaN")])
def test_wrong_sample_weights(small_faces, value, message):
    weights = np.ones(280)
    weights[3] = value
    with pytest.raises(ValueError, match=message):
        quick().fit(*small_faces, sample_weight=weights)


def test_a_class_without_weight_is_named(small_faces):
    X, y = small_faces
    with pytest.warns(UserWarning, match=r"All images of 'happy', 'sad' have the weight 0"):
        quick(epochs=1).fit(X, y, sample_weight=~np.isin(y, ["happy", "sad"]) * 1.0)
    with pytest.warns(UserWarning, match=r"All images of 'happy' have the weight 0"):
        quick(epochs=1, class_weight={"happy": 0.0}).fit(X, y)
    with pytest.raises(ValueError, match=r"All images have the weight 0"):
        quick(class_weight=dict.fromkeys(np.unique(y), 0.0)).fit(X, y)


def test_class_weight_is_a_factor_on_sample_weight(small_faces):
    X, y = small_faces
    factors = {"happy": 2.0, "sad": 0.5}
    weights = np.array([factors.get(label, 1.0) for label in y])
    assert_same_weights(
        quick(class_weight=factors).fit(X, y), quick().fit(X, y, sample_weight=weights)
    )


def test_weights_of_the_caller_are_unchanged(small_faces):
    weights = np.ones(280)
    quick(class_weight={"happy": 5.0}).fit(*small_faces, sample_weight=weights)
    assert (weights == 1).all()


def test_held_out_images_are_stratified_and_not_augmented(small_faces, monkeypatch):
    X, y = small_faces
    order = np.argsort(y)
    seen = {"augmented": 0}
    real = data_module.augment

    def counting(images, settings, rng):
        seen["augmented"] += len(images)
        return real(images, settings, rng)

    def remember(spec, data, **options):
        seen["validation"] = options["validation"]
        return train(spec, data, **options)

    train = training_module.train
    monkeypatch.setattr(data_module, "augment", counting)
    monkeypatch.setattr("fer_sklearn.cnn._fit.train", remember)
    classifier = quick(validation_fraction=0.25, augmentation=True, batch_size=35)
    classifier.fit(X[order], y[order])
    assert np.bincount(seen["validation"].codes).tolist() == [10] * 7
    # Batches are prepared ahead of their use, but never for validation images.
    assert 2 * 210 <= seen["augmented"] <= 4 * 210
    assert seen["augmented"] % 35 == 0
    held_out = seen["validation"]
    accuracy = (classifier.predict_proba(held_out.pixels).argmax(axis=1) == held_out.codes).mean()
    assert classifier.history_["val_accuracy"][-1] == pytest.approx(accuracy, abs=1e-6)


def test_early_stopping_returns_to_the_best_epoch(small_faces):
    # Random labels: nothing improves for long.
    X, _ = small_faces
    y = np.random.default_rng(0).choice(["a", "b"], len(X))
    classifier = quick(
        epochs=60, early_stopping=True, patience=2, learning_rate=3e-3, validation_fraction=0.3
    ).fit(X, y)
    accuracies = classifier.history_["val_accuracy"]
    assert classifier.n_iter_ < 60
    assert classifier.n_iter_ == 1 + int(np.argmax(accuracies)) + 2
    shorter = clone(classifier).set_params(epochs=1 + int(np.argmax(accuracies))).fit(X, y)
    assert_same_weights(classifier, shorter)


def test_too_few_images_to_hold_out():
    X, y = make_faces(8, size=SIZE, random_state=0, return_X_y=True)
    with pytest.raises(ValueError, match=r"validation_fraction=0.1 cannot split 8 images of 7"):
        quick(early_stopping=True).fit(X, y)


# Resuming


def test_warm_start_continues(small_faces):
    classifier = quick(epochs=4, warm_start=True, learning_rate=2e-3).fit(*small_faces)
    first = classifier.history_["loss"]
    classifier.fit(*small_faces)
    assert classifier.history_["loss"][0] < first[0]


def test_fit_without_warm_start_starts_over(small_faces):
    classifier = quick().fit(*small_faces)
    before = clone(classifier).fit(*small_faces)
    assert_same_weights(classifier.fit(*small_faces), before)


def test_partial_fit_continues(small_faces):
    X, y = small_faces
    classifier = quick(learning_rate=2e-3).partial_fit(X[:100], y[:100], classes=set(y))
    for _ in range(7):
        classifier.partial_fit(X, y)
    assert classifier.n_iter_ == len(classifier.history_["loss"]) == 8
    assert classifier.history_["loss"][-1] < classifier.history_["loss"][0]


@pytest.mark.slow
@pytest.mark.parametrize("schedule", [None, "cosine"])
def test_partial_fit_continues_after_fit(small_faces, schedule):
    classifier = quick(learning_rate_schedule=schedule, save_optimizer=True).fit(*small_faces)
    classifier.partial_fit(*small_faces)
    assert classifier.n_iter_ == len(classifier.history_["loss"]) == 3


def test_partial_fit_of_some_classes(small_faces):
    X, y = small_faces
    classifier = quick().partial_fit(X, y)
    some = np.isin(y, ["happy", "surprise"])
    for _ in range(6):
        classifier.partial_fit(X[some], y[some])
    assert set(classifier.predict(X[some])) <= {"happy", "surprise"}


def own_network(meta, activation="relu"):
    layers = [keras.Input(meta["input_shape"]), keras.layers.Flatten()]
    layers.append(keras.layers.Dense(8, activation=activation))
    return keras.Sequential([*layers, keras.layers.Dense(meta["n_classes"], "softmax")])


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_continuing_with_another_architecture_is_refused(small_faces, method):
    X, y = small_faces
    relu, tanh = partial(own_network), partial(own_network, activation="tanh")
    classifier = quick(architecture=relu, epochs=1, warm_start=True).fit(X, y)
    getattr(classifier.set_params(architecture=partial(own_network)), method)(X, y)
    with pytest.raises(ValueError, match=r"architecture=.* differs from that of the fitted"):
        getattr(classifier.set_params(architecture=tanh), method)(X, y)
    with pytest.raises(ValueError, match=r"images of 12×12 pixels"):
        getattr(classifier.set_params(architecture=relu), method)(X[:, ::2, ::2], y)
    with pytest.raises(ValueError, match=r"label\(s\) 'bored'"):
        getattr(classifier, method)(X[:2], ["bored", "sad"])


def test_continuing_with_other_classes_is_refused(small_faces):
    X, y = small_faces
    classifier = quick(epochs=1, warm_start=True).partial_fit(X, y)
    some = y != "angry"
    with pytest.raises(ValueError, match=r"y lacks the label\(s\) 'angry' .* call partial_fit"):
        classifier.fit(X[some], y[some])
    with pytest.raises(
        ValueError, match=r"classes=\['bored', 'sad'\] differ from those of the first"
    ):
        classifier.partial_fit(X, y, classes=["sad", "bored"])
    classifier.partial_fit(X[some], y[some], classes=np.unique(y)[::-1])
    assert classifier.n_iter_ == 2


@pytest.mark.slow
def test_continuing_with_other_dropout_and_precision(small_faces):
    classifier = quick(epochs=1, warm_start=True).fit(*small_faces)
    classifier.set_params(dropout=0.1, dtype_policy="mixed_bfloat16").fit(*small_faces)
    assert classifier.n_iter_ == 1


def test_partial_fit_of_an_unknown_label(small_faces):
    classifier = quick().partial_fit(*small_faces)
    with pytest.raises(ValueError, match=r"label\(s\) 'bored', which were not among the classes"):
        classifier.partial_fit(small_faces[0][:2], ["bored", "sad"])


def interrupt(epoch, logs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_an_interruption_leaves_the_earlier_fit(small_faces, method):
    X, y = small_faces
    classifier = quick().fit(X, y)
    before, labels = dict(vars(classifier)), classifier.predict(X[:20])
    callback = keras.callbacks.LambdaCallback(on_epoch_end=interrupt)
    classifier.set_params(callbacks=[callback])
    numbers = y if method == "partial_fit" else np.unique(y, return_inverse=True)[1]
    with pytest.raises(KeyboardInterrupt):
        getattr(classifier, method)(X[::-1] // 2, numbers[::-1])
    assert classifier.set_params(callbacks=None).predict(X[:20]).tolist() == labels.tolist()
    assert all(vars(classifier)[name] is value for name, value in before.items())


# Callbacks and printed output


class Losses(keras.callbacks.Callback):
    """Collect the losses."""

    def __init__(self):
        super().__init__()
        self.losses = []

    def on_epoch_end(self, epoch, logs=None):
        self.losses.append(logs["loss"])


def test_callbacks_are_copies(small_faces):
    callback = Losses()
    classifier = quick(callbacks=[callback]).fit(*small_faces)
    assert classifier.callbacks_[0].losses == classifier.history_["loss"]
    assert classifier.callbacks_[0].model is None
    assert callback.losses == []
    assert callback.model is None
    assert not hasattr(pickle.loads(pickle.dumps(classifier)), "callbacks_")


@pytest.mark.slow
def test_a_search_over_instances_has_independent_fits(small_faces):
    parameters = {
        "optimizer": [keras.optimizers.Adam(1e-3), keras.optimizers.SGD(0.05, momentum=0.9)],
        "callbacks": [[Losses()], [Losses(), keras.callbacks.ReduceLROnPlateau("loss")]],
    }
    before = [optimizer.get_config() for optimizer in parameters["optimizer"]]
    search = GridSearchCV(quick(epochs=1), parameters, cv=2, refit=False).fit(*small_faces)
    scores = search.cv_results_["mean_test_score"]
    for candidate, score in zip(search.cv_results_["params"], scores, strict=True):
        alone = cross_val_score(quick(epochs=1, **candidate), *small_faces, cv=2)
        assert alone.mean() == score
    assert [optimizer.get_config() for optimizer in parameters["optimizer"]] == before
    assert [optimizer.built for optimizer in parameters["optimizer"]] == [False, False]
    assert parameters["callbacks"][0][0].losses == []


@pytest.mark.parametrize("callback", [Losses, "EarlyStopping", print])
def test_what_is_not_a_callback(small_faces, callback):
    with pytest.raises(TypeError, match=r"callbacks\[1\]=.* is not an instance of keras"):
        quick(callbacks=[Losses(), callback]).fit(*small_faces)


def test_a_callback_that_cannot_be_copied(small_faces, tmp_path):
    class Log(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.file = open(tmp_path / "log", "w")  # noqa: SIM115

    with pytest.raises(ValueError, match=r"callbacks=.*cannot be copied .*in on_train_begin"):
        quick(callbacks=[Log()]).fit(*small_faces)


def test_one_line_per_epoch(small_faces, capsys):
    quick(verbose=1, validation_fraction=0.2).fit(*small_faces)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].startswith("epoch   2/2 | training: loss ")
    assert "validation: loss" in lines[1]


@pytest.mark.parametrize("parameters", [{"verbose": 1}, {"callbacks": [EpochBar()]}])
def test_training_needs_no_console(small_faces, monkeypatch, parameters):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert len(quick(**parameters).fit(*small_faces).classes_) == 7


def test_silent_by_default(small_faces, capsys):
    quick(epochs=1).fit(*small_faces)
    assert capsys.readouterr().out == ""


# Files


def test_pickled_without_the_optimizer(fitted, small_faces):
    size = len(pickle.dumps(fitted))
    assert size < 1.2 * 4 * fitted.model_.count_params() + 50_000
    restored = pickle.loads(pickle.dumps(fitted))
    X = small_faces[0][:20]
    np.testing.assert_array_equal(restored.predict_proba(X), fitted.predict_proba(X))


def test_pickled_with_the_optimizer_resumes_identically(small_faces):
    classifier = quick(save_optimizer=True).partial_fit(*small_faces)
    restored = pickle.loads(pickle.dumps(classifier))
    assert_same_weights(classifier.partial_fit(*small_faces), restored.partial_fit(*small_faces))


def test_pickled_without_the_optimizer_it_starts_with_a_new_one(small_faces):
    classifier = quick(architecture="conv3").partial_fit(*small_faces)
    plain = len(pickle.dumps(classifier))
    assert len(pickle.dumps(classifier.set_params(save_optimizer=True))) > 2.5 * plain
