"""The bundled models: fitted pipelines that work offline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._utils.litert import is_litert_installed
from ._utils.typing import PathLike
from ._utils.validation import check_choice
from .weights import LABEL_SETS, SHIPPED, has_litert, is_weights_file, read_description, split_name

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from .faces import FaceCropper

__all__ = ["fastest_runtime", "load_pretrained"]

# How `fit` adapts a bundled network: it trains the head only, unless `trainable` is set, and then
# at a low learning rate, so that a few new images do not undo what the network learned from 28,709.
_FINE_TUNING: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 32,
    "optimizer": "sgd",
    "learning_rate": 0.005,
    "learning_rate_schedule": "cosine",
    "label_smoothing": 0.1,
    "trainable": "head",
    "augmentation": True,
}


def load_pretrained(
    name: PathLike = "default",
    *,
    labels: str = "people",
    crop_faces: bool | FaceCropper = False,
    runtime: str = "auto",
) -> Pipeline:
    """Load a fitted pipeline from the bundled weights.

    Parameters
    ----------
    name : str or Path, default="default"
        ``"default"``, the more accurate one; ``"tiny"``, with fewer than 100 thousand
        parameters; or the path of an ``.npz`` file of :mod:`fer_sklearn.weights`.
    labels : {"people", "ferplus", "fer2013"}, default="people"
        Labels to predict. ``"people"``: the seven emotions as most people see them. ``"ferplus"``:
        the eight of FER+ (Barsoum et al. 2016), which include contempt. ``"fer2013"``: the labels
        of the FER2013 data set, two thirds of which agree with people, for benchmarks. An ``.npz``
        file has its own label sets, the first of which is predicted unless you name another; with a
        single head, it has none.
    crop_faces : bool or FaceCropper, default=False
        Whether to detect and crop the face first. Needed for photos that show more than a
        face.
    runtime : {"auto", "keras", "litert"}, default="auto"
        Runtime for the network. ``"auto"`` predicts with LiteRT, which is faster and starts without
        TensorFlow, until something needs Keras: training more than a head, gradients, export, or
        reading ``model_`` of the classifier. From then on, Keras predicts. ``"keras"`` uses Keras
        from the start, until `fit` learns a new head, which LiteRT runs. ``"litert"`` never loads
        TensorFlow, and cannot be trained. LiteRT runs the bundled networks with integer arithmetic,
        so its probabilities differ from Keras's by up to a few hundredths. Where LiteRT is not
        available, ``"auto"`` is ``"keras"``.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Fitted steps ``crop`` (if requested), ``resize``, ``normalize`` and ``classifier``,
        a :class:`~fer_sklearn.FERCNNClassifier` or, with ``runtime="litert"``, an
        :class:`~fer_sklearn.inference.InferenceClassifier`. It takes what
        :class:`~fer_sklearn.GrayscaleResizer` takes: faces or photos of any size, grey or
        in colour. Its labels are the seven of ``fer_sklearn.EMOTIONS``, and ``"contempt"`` with
        ``labels="ferplus"``.

    Raises
    ------
    ValueError
        For an unknown name, label set or runtime, or a file that is damaged or has another version.
    FileNotFoundError
        If there is no such file.

    See Also
    --------
    fer_sklearn.FERCNNClassifier : The parameters of the classifier.

    Notes
    -----
    `fit` keeps the body of the network and learns a new head, for your own labels or for the
    bundled ones, in seconds and without TensorFlow. A few dozen images per label are enough. It
    starts from the bundled weights, even in a clone. ``set_params(classifier__trainable="all")``
    trains the whole network for ten epochs at a low learning rate, ``"last_stage"`` only its last
    stage, and ``set_params(classifier__initial_weights=None, classifier__trainable="all")`` a
    network from scratch. If mirroring an image changes its label, such as "left", set
    ``classifier__augmentation=None`` and ``classifier__test_time_augmentation=False``.

    Examples
    --------
    >>> from skimage import data
    >>> from fer_sklearn import load_pretrained
    >>> model = load_pretrained(crop_faces=True)
    >>> model.predict([data.astronaut()]).tolist()
    ['happy']
    """
    from .pipelines import make_cnn_pipeline

    check_choice("runtime", runtime, _RUNTIMES)
    if not is_weights_file(name):
        read_description(name)  # raises, and lists the names
    classifier = _RUNTIMES[runtime](_with_labels(name, labels))
    return make_cnn_pipeline(classifier, size=classifier.image_shape_, crop_faces=crop_faces)


def _with_labels(name, labels):
    """Return `name` with the label set appended, unless it is the default one."""
    source = split_name(name)[0] or name
    if source in SHIPPED:
        check_choice("labels", labels, LABEL_SETS)
        return name if labels == LABEL_SETS[0] else f"{source}:{labels}"
    if labels == LABEL_SETS[0] and labels not in read_description(source).get("label_sets", {}):
        return name
    return f"{source}:{labels}"


def fastest_runtime(name: PathLike = "default") -> str:
    """Return the fastest runtime of weights on this computer: LiteRT, if it can run them."""
    return "litert" if is_litert_installed() and has_litert(name) else "keras"


def _for_fitting(name, runtime):
    from .cnn import FERCNNClassifier

    classifier = FERCNNClassifier(
        architecture=read_description(name)["architecture"],
        initial_weights=name,
        test_time_augmentation=True,
        **_FINE_TUNING,
    )
    return classifier.load_weights(runtime=runtime)


def _for_keras(name):
    return _for_fitting(name, "keras")


def _for_either(name):
    return _for_fitting(name, fastest_runtime(name))


def _for_litert(name):
    from .inference import InferenceClassifier

    return InferenceClassifier(name).load()


_RUNTIMES = {"auto": _for_either, "keras": _for_keras, "litert": _for_litert}
