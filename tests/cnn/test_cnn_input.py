"""Input that FERCNNClassifier accepts, and helpful errors for the rest."""

import keras
import numpy as np
import pytest

from fer_sklearn import FERCNNClassifier


def quick(**parameters):
    return FERCNNClassifier(**({"epochs": 2, "random_state": 0} | parameters))


@pytest.fixture(scope="module")
def fitted(small_faces):
    return quick().fit(*small_faces)


@pytest.mark.parametrize(
    "reshape",
    [
        lambda X: X[..., np.newaxis],
        lambda X: X.reshape(len(X), -1),
        list,
        lambda X: X.astype(np.int64),
        lambda X: X / np.float32(255),
    ],
    ids=["channel", "flat", "list", "int64", "unit floats"],
)
def test_all_forms_of_input_give_the_same_result(fitted, small_faces, reshape):
    X = small_faces[0][:20]
    np.testing.assert_allclose(fitted.predict_proba(reshape(X)), fitted.predict_proba(X), atol=1e-6)


def test_another_range_is_an_error(fitted, small_faces):
    with pytest.raises(ValueError, match=r"pixels from .* to 2.*was fitted on pixels from 0"):
        fitted.predict(small_faces[0].astype(np.float32))


def test_unit_pixels_after_a_fit_on_large_floats(small_faces):
    X, y = small_faces
    classifier = quick(epochs=1).fit(X.astype(np.float32), y)
    with pytest.raises(ValueError, match=r"was fitted on pixels from .*PixelNormalizer"):
        classifier.predict(X)


SCALES = {
    "uint8": lambda X: X,
    "0..255": lambda X: X.astype(np.float32),
    "[0, 1]": lambda X: X / 255,
    "[-1, 1]": lambda X: X / 127.5 - 1,
    "standardised": lambda X: (X - X.mean()) / X.std(),
}


@pytest.mark.parametrize(
    ("scale", "others"),
    [
        ("uint8", ["0..255", "[-1, 1]", "standardised"]),
        ("0..255", ["uint8", "[0, 1]", "[-1, 1]"]),
        ("[0, 1]", ["0..255", "[-1, 1]", "standardised"]),
        ("[-1, 1]", ["uint8", "0..255", "[0, 1]", "standardised"]),
        ("standardised", ["uint8", "0..255", "[0, 1]"]),
    ],
)
def test_a_scale_that_contradicts_the_fitted_one_is_refused(small_faces, scale, others):
    X, y = small_faces
    classifier = quick(epochs=1).fit(SCALES[scale](X), y)
    for i in range(20):  # image by image, however bright
        assert classifier.predict(SCALES[scale](X)[i : i + 1]).shape == (1,)
    for other in others:
        with pytest.raises(ValueError, match=r"was fitted on pixels from .*PixelNormalizer"):
            classifier.predict(SCALES[other](X)[:7])


def test_another_size_is_an_error(fitted):
    with pytest.raises(ValueError, match=r"images of 48×48 pixels, but .* fitted on 24×24"):
        fitted.predict(np.zeros((2, 48, 48), np.uint8))


def test_other_channels_are_an_error(small_faces):
    X, y = small_faces
    with pytest.raises(ValueError, match=r"4 channels; expected grey.*GrayscaleResizer"):
        quick().fit(np.stack([X] * 4, axis=-1), y)


def test_integers_beyond_a_byte(small_faces):
    X, y = small_faces
    with pytest.raises(
        ValueError, match=r"X\[0\] has int64 pixels from \d+ to \d+; expected 0\.\.255"
    ):
        quick().fit(X.astype(int) * 2, y)


def test_mixed_sizes(small_faces):
    images = [np.zeros((24, 24)), np.zeros((28, 28))]
    with pytest.raises(ValueError, match=r"images of 2 different sizes.*GrayscaleResizer"):
        quick().fit(images, ["sad", "happy"])


def test_not_a_number(small_faces):
    X, y = small_faces
    X = X / np.float32(255)
    X[3, 4, 5] = np.nan
    with pytest.raises(ValueError, match=r"X\[3\] contains NaN; 1 of 280 images"):
        quick().fit(X, y)


def test_one_class(small_faces):
    with pytest.raises(ValueError, match="y has only one class, 'sad'"):
        quick().fit(small_faces[0][:5], ["sad"] * 5)


def test_labels_of_another_length(small_faces):
    with pytest.raises(ValueError, match=r"inconsistent numbers of samples: .280, 279."):
        quick().fit(small_faces[0], small_faces[1][:-1])


def test_unknown_architecture_gets_a_suggestion(small_faces):
    with pytest.raises(ValueError, match=r"architecture='conv_3' is unknown.*mean 'conv3'"):
        quick(architecture="conv_3").fit(*small_faces)


def test_unknown_optimizer(small_faces):
    with pytest.raises(ValueError, match="optimizer='adamm' is not a Keras optimizer"):
        quick(optimizer="adamm").fit(*small_faces)


def test_schedule_for_an_optimizer_instance(small_faces):
    with pytest.raises(ValueError, match="learning_rate_schedule='cosine' needs an optimizer's"):
        quick(optimizer=keras.optimizers.SGD(), learning_rate_schedule="cosine").fit(*small_faces)


def test_parameter_out_of_range_is_named(small_faces):
    with pytest.raises(ValueError, match="The 'epochs' parameter of FERCNNClassifier must be"):
        quick(epochs=0).fit(*small_faces)
