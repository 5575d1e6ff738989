"""Ready pipelines along the one road, and the grids that tune them."""

from sklearn.pipeline import FeatureUnion, Pipeline

from .faces import FaceCropper
from .features import BalancedPCA, HOGExtractor, LBPExtractor, MirroredFeatures
from .preprocessing import GrayscaleResizer, PixelNormalizer
from .svm import HOGSVMClassifier, LSSVMClassifier

__all__ = [
    "CNN_GRID",
    "DESCRIPTOR_SVM_GRID",
    "HOG_SVM_GRID",
    "make_cnn_pipeline",
    "make_descriptor_svm_pipeline",
    "make_hog_svm_pipeline",
]

#: What is worth tuning in :func:`make_hog_svm_pipeline`: 12 candidates.
HOG_SVM_GRID = {
    "hog__pixels_per_cell": [6, 8],
    "hog__orientations": [9, 12],
    "classifier__C": [1.0, 5.0, 10.0],
}

#: What is worth tuning in :func:`make_descriptor_svm_pipeline`: 8 candidates.
DESCRIPTOR_SVM_GRID = {
    "classifier__C": [3.0, 10.0],
    "classifier__gamma": ["scale", "2*scale"],
    "classifier__n_components": [300, 500],
}

#: What is worth tuning in :func:`make_cnn_pipeline`: 12 candidates.
CNN_GRID = {
    "resize__size": [28, 48],
    "classifier__dropout": [0.1, 0.25, 0.4],
    "classifier__learning_rate": [3e-4, 1e-3],
}

# Milder than augmentation=True, which twenty epochs are too short for.
_RECOMMENDED_AUGMENTATION = {
    "flip": 0.5,
    "rotation": 10.0,
    "shift": 0.08,
    "zoom": 0.12,
    "brightness": 0.1,
    "contrast": 0.2,
    "erasing": 0.25,
}


def make_hog_svm_pipeline(classifier=None, *, hog=None, size=48, crop_faces=False, memory=None):
    """Make the pipeline photos → grey images → HOG features → SVM.

    Parameters
    ----------
    classifier : estimator or None, default=None
        The last step; None is ``HOGSVMClassifier()``.
    hog : HOGExtractor or None, default=None
        None is 12 orientations in cells of 6×6 pixels, which at 48×48 scores about a point
        and a half more on FER2013 than the nine in 8×8 of Dalal & Triggs.
    size : int or (int, int), default=48
        Height and width of the images.
    crop_faces : bool or FaceCropper, default=False
        Whether to find and crop the face first. FER2013's images are faces already.
    memory : None, str or joblib.Memory, default=None
        Where to cache the fitted transformers, so that a search over the classifier's
        parameters computes features once.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``crop`` (if asked for), ``resize``, ``hog`` and ``classifier``.

    Examples
    --------
    >>> from fer_sklearn import make_faces, make_hog_svm_pipeline
    >>> X, y = make_faces(280, random_state=0, return_X_y=True)
    >>> make_hog_svm_pipeline().fit(X[:210], y[:210]).score(X[210:], y[210:]) > 0.8
    True
    """
    steps = [
        *_first_steps(crop_faces, size),
        ("hog", HOGExtractor(orientations=12, pixels_per_cell=6) if hog is None else hog),
        ("classifier", HOGSVMClassifier() if classifier is None else classifier),
    ]
    return Pipeline(steps, memory=memory)


def make_descriptor_svm_pipeline(
    classifier=None, *, descriptors=None, size=48, crop_faces=False, memory=None
):
    """Make the pipeline photos → grey images → several descriptors and their mirror → SVM.

    Slower and more accurate than :func:`make_hog_svm_pipeline`: HOG and LBP on two
    circles, of each face and of its mirror image, under a least-squares SVM. Its memory
    grows with the square of the number of images: several gigabytes on FER2013.

    Parameters
    ----------
    classifier : estimator or None, default=None
        The last step; None is ``LSSVMClassifier(flip_invariant=True, n_components=400)``.
    descriptors : list of (str, transformer) or None, default=None
        What turns images into features, to be joined by a ``FeatureUnion``. None is
        ``hog`` (12 orientations in cells of 6×6 pixels), ``lbp1`` and ``lbp2`` (circles of
        that radius, in 8×8 cells), each reduced by :class:`BalancedPCA`.
    size : int or (int, int), default=48
        Height and width of the images.
    crop_faces : bool or FaceCropper, default=False
        Whether to find and crop the face first. FER2013's images are faces already.
    memory : None, str or joblib.Memory, default=None
        Where to cache the fitted transformers, so that a search over the classifier's
        parameters computes features once.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``crop`` (if asked for), ``resize``, ``features`` and ``classifier``.

    Examples
    --------
    >>> from fer_sklearn import LBPExtractor, make_descriptor_svm_pipeline, make_faces
    >>> X, y = make_faces(140, random_state=0, return_X_y=True)
    >>> pipeline = make_descriptor_svm_pipeline(descriptors=[("lbp", LBPExtractor(grid=4))])
    >>> pipeline.fit(X[:70], y[:70]).predict(X[70:]).shape
    (70,)
    """
    union = FeatureUnion(_recommended_descriptors() if descriptors is None else descriptors)
    if classifier is None:
        classifier = LSSVMClassifier(flip_invariant=True, n_components=400, random_state=0)
    steps = [
        *_first_steps(crop_faces, size),
        ("features", MirroredFeatures(union)),
        ("classifier", classifier),
    ]
    return Pipeline(steps, memory=memory)


def make_cnn_pipeline(classifier=None, *, size=48, normalize="unit", crop_faces=False, memory=None):
    """Make the pipeline photos → grey images → pixels in [0, 1] → CNN.

    Parameters
    ----------
    classifier : estimator or None, default=None
        The last step. None is the recipe that the benchmark uses, a ``resnet_se`` trained
        for 20 epochs on augmented images: half an hour on FER2013 with two cores, a third
        less with ``dtype_policy="mixed_bfloat16"`` where the processor has that.
        ``FERCNNClassifier()`` is a smaller network.
    size : int or (int, int), default=48
        Height and width of the images.
    normalize : str, default="unit"
        The method of :class:`PixelNormalizer`.
    crop_faces : bool or FaceCropper, default=False
        Whether to find and crop the face first. FER2013's images are faces already.
    memory : None, str or joblib.Memory, default=None
        Where to cache the fitted transformers.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``crop`` (if asked for), ``resize``, ``normalize`` and ``classifier``.

    Examples
    --------
    >>> from fer_sklearn import FERCNNClassifier, make_cnn_pipeline, make_faces
    >>> X, y = make_faces(140, random_state=0, return_X_y=True)
    >>> pipeline = make_cnn_pipeline(FERCNNClassifier(epochs=2, random_state=0), size=28)
    >>> pipeline.fit(X, y).predict_proba(X[:2]).shape
    (2, 7)
    """
    steps = [
        *_first_steps(crop_faces, size),
        ("normalize", PixelNormalizer(method=normalize)),
        ("classifier", _recommended_cnn() if classifier is None else classifier),
    ]
    return Pipeline(steps, memory=memory)


def _first_steps(crop_faces, size):
    cropper = FaceCropper() if crop_faces is True else crop_faces
    crop = [("crop", cropper)] if cropper else []
    return [*crop, ("resize", GrayscaleResizer(size=size))]


def _recommended_descriptors():
    extractors = {
        "hog": HOGExtractor(orientations=12, pixels_per_cell=6),
        "lbp1": LBPExtractor(radius=1.0),
        "lbp2": LBPExtractor(radius=2.0),
    }
    return [
        (name, Pipeline([("extract", extractor), ("reduce", BalancedPCA())]))
        for name, extractor in extractors.items()
    ]


def _recommended_cnn():
    from .cnn import FERCNNClassifier  # loads Keras, which the HOG-SVM does without

    return FERCNNClassifier(
        architecture="resnet_se",
        epochs=20,
        batch_size=128,
        optimizer="sgd",
        learning_rate=0.08,
        learning_rate_schedule="cosine",
        weight_decay=4e-3,
        label_smoothing=0.1,
        augmentation=dict(_RECOMMENDED_AUGMENTATION),
    )
