"""The models that ship with the package: fitted pipelines, offline, from the first minute."""

from ._utils.validation import check_choice
from .inference import LiteRTClassifier, is_litert_installed
from .pipelines import make_cnn_pipeline
from .weights import read_description

__all__ = ["fastest_runtime", "load_pretrained"]

# What `fit` does with a shipped network, unless told otherwise: little, so that a few images
# of one's own do not undo what twenty-eight thousand taught.
_FINE_TUNING = {
    "epochs": 10,
    "batch_size": 32,
    "optimizer": "sgd",
    "learning_rate": 0.005,
    "learning_rate_schedule": "cosine",
    "label_smoothing": 0.1,
    "frozen_stages": 2,
    "augmentation": True,
}


def load_pretrained(name="default", *, crop_faces=False, runtime="keras"):
    """Load a fitted pipeline from the weights inside the package.

    Parameters
    ----------
    name : str or Path, default="default"
        ``"default"``, the better one; ``"tiny"``, with under 100 thousand parameters; or
        the path of an ``.npz`` file of :mod:`fer_sklearn.weights`.
    crop_faces : bool or FaceCropper, default=False
        Whether to find and crop the face first. Needed for photos that show more than a
        face.
    runtime : {"keras", "litert"}, default="keras"
        What computes: Keras, whose network can be trained on, or LiteRT, which only
        predicts, starts without TensorFlow, and is faster on a few faces. Their
        probabilities agree to two thousandths.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Fitted steps ``crop`` (if asked for), ``resize``, ``normalize`` and ``classifier``,
        a :class:`~fer_sklearn.FERCNNClassifier` or a
        :class:`~fer_sklearn.inference.LiteRTClassifier`. It takes what
        :class:`~fer_sklearn.GrayscaleResizer` takes: faces or photos of any size, grey or
        in colour. Its labels are the seven of ``fer_sklearn.EMOTIONS``.

    Raises
    ------
    ValueError
        For an unknown name or runtime, or a file that is damaged or of another version.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    fer_sklearn.FERCNNClassifier : What the classifier can be set to.

    Notes
    -----
    `fit` fine-tunes: it starts from the shipped weights, also in a clone, keeps the first
    two stages as they are, and trains the rest for ten epochs at a low rate. Its labels
    must be among the shipped ones. ``set_params(classifier__frozen_stages=0)`` frees all
    layers, ``set_params(classifier__initial_weights=None)`` trains from nothing.

    Examples
    --------
    >>> from skimage import data
    >>> from fer_sklearn import load_pretrained
    >>> model = load_pretrained(crop_faces=True)
    >>> model.predict([data.astronaut()]).tolist()
    ['happy']
    """
    check_choice("runtime", runtime, _RUNTIMES)
    classifier = _RUNTIMES[runtime](name)
    return make_cnn_pipeline(classifier, size=classifier.image_shape_, crop_faces=crop_faces)


def fastest_runtime():
    """Return the runtime that answers first on this computer: LiteRT, where it is built for."""
    return "litert" if is_litert_installed() else "keras"


def _for_keras(name):
    from .cnn import FERCNNClassifier  # loads TensorFlow, which LiteRT does without

    classifier = FERCNNClassifier(
        architecture=read_description(name)["architecture"],
        initial_weights=name,
        test_time_augmentation=True,
        **_FINE_TUNING,
    )
    return classifier.load_weights()


def _for_litert(name):
    return LiteRTClassifier(name).load()


_RUNTIMES = {"keras": _for_keras, "litert": _for_litert}
