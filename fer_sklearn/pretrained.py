"""The models that ship with the package: fitted pipelines, offline, from the first minute."""

from .cnn import FERCNNClassifier
from .pipelines import make_cnn_pipeline
from .weights import read_weights

__all__ = ["load_pretrained"]

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


def load_pretrained(name="default", *, crop_faces=False):
    """Load a fitted pipeline from the weights inside the package.

    Parameters
    ----------
    name : str or Path, default="default"
        ``"default"``, the better one; ``"tiny"``, with under 100 thousand parameters; or
        the path of an ``.npz`` file of :mod:`fer_sklearn.weights`.
    crop_faces : bool or FaceCropper, default=False
        Whether to find and crop the face first. Needed for photos that show more than a
        face.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Fitted steps ``crop`` (if asked for), ``resize``, ``normalize`` and ``classifier``,
        a :class:`~fer_sklearn.FERCNNClassifier`. It takes what
        :class:`~fer_sklearn.GrayscaleResizer` takes: faces or photos of any size, grey or
        in colour. Its labels are the seven of ``fer_sklearn.EMOTIONS``.

    Raises
    ------
    ValueError
        For an unknown name, or a file that is damaged or of a newer version.
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
    described = read_weights(name).description
    classifier = FERCNNClassifier(
        architecture=described["architecture"],
        initial_weights=name,
        test_time_flip=True,
        **_FINE_TUNING,
    ).load_initial_weights()
    height, width = described["image_shape"]
    return make_cnn_pipeline(classifier, size=(height, width), crop_faces=crop_faces)
