"""Ready-made pipelines from photos to labels, and grids to tune them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.pipeline import FeatureUnion, Pipeline

from ._utils.typing import Estimator, Size
from .faces import FaceCropper
from .features import (
    BalancedPCA,
    CappedPCA,
    CodebookExtractor,
    HOGExtractor,
    LBPExtractor,
    MirroredFeatures,
)
from .preprocessing import GrayscaleResizer, PixelNormalizer, RGBResizer
from .svm import HOGSVMClassifier, LSSVMClassifier

if TYPE_CHECKING:
    import joblib
    from sklearn.base import TransformerMixin

    from .cnn import FERCNNClassifier

__all__ = [
    "CNN_GRID",
    "DESCRIPTOR_SVM_GRID",
    "HOG_SVM_GRID",
    "make_cnn_pipeline",
    "make_descriptor_svm_pipeline",
    "make_hog_svm_pipeline",
]

#: Parameter grid for :func:`make_hog_svm_pipeline`: 12 candidates.
HOG_SVM_GRID: dict[str, list[Any]] = {
    "hog__pixels_per_cell": [6, 8],
    "hog__orientations": [9, 12],
    "classifier__C": [1.0, 5.0, 10.0],
}

#: Parameter grid for :func:`make_descriptor_svm_pipeline`: 8 candidates.
DESCRIPTOR_SVM_GRID: dict[str, list[Any]] = {
    "classifier__C": [3.0, 10.0],
    "classifier__gamma": ["scale", "2*scale"],
    "classifier__n_components": [400, None],
}

#: Parameter grid for :func:`make_cnn_pipeline`: 12 candidates.
CNN_GRID: dict[str, list[Any]] = {
    "resize__size": [28, 48],
    "classifier__dropout": [0.1, 0.25, 0.4],
    "classifier__learning_rate": [3e-4, 1e-3],
}

# Milder than augmentation=True, for which twenty epochs are too few.
_RECOMMENDED_AUGMENTATION = {
    "flip": 0.5,
    "rotation": 10.0,
    "shift": 0.08,
    "zoom": 0.12,
    "brightness": 0.1,
    "contrast": 0.2,
    "erasing": 0.25,
}


def make_hog_svm_pipeline(
    classifier: Estimator | None = None,
    *,
    hog: HOGExtractor | None = None,
    n_components: int | None = 200,
    size: Size = 48,
    crop_faces: bool | FaceCropper = False,
    memory: str | joblib.Memory | None = None,
) -> Pipeline:
    """Make the pipeline photos → grey images → HOG features → principal components → SVM.

    Parameters
    ----------
    classifier : estimator or None, default=None
        Classifier of the features. If None, ``HOGSVMClassifier()``.
    hog : HOGExtractor or None, default=None
        Feature extractor. If None, 12 orientations in cells of 6×6 pixels, which at 48×48 score
        about 1.5 points more on FER2013 than the 9 orientations in 8×8 of Dalal & Triggs.
    n_components : int or None, default=200
        Maximum number of principal components that the features are reduced to, which makes an
        SVM several times faster and costs no accuracy on FER2013. If None, the features are not
        reduced.
    size : int or (int, int), default=48
        Height and width of the images, in pixels.
    crop_faces : bool or FaceCropper, default=False
        Whether to detect and crop the face first. FER2013's images are cropped already.
    memory : None, str or joblib.Memory, default=None
        Where to cache the fitted transformers, so that a search over the classifier's parameters
        extracts and reduces the features only once.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``crop`` (with `crop_faces`), ``resize``, ``hog``, ``pca`` and ``classifier``. Set
        their parameters as ``hog__pixels_per_cell`` or ``pca__n_components``, for example. To
        learn people's votes, call ``fit(X, y, classifier__soft_targets=…)``.

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
        ("pca", CappedPCA(n_components=n_components)),
        ("classifier", HOGSVMClassifier() if classifier is None else classifier),
    ]
    return Pipeline(steps, memory=memory)


def make_descriptor_svm_pipeline(
    classifier: Estimator | None = None,
    *,
    descriptors: Sequence[tuple[str, TransformerMixin]] | None = None,
    size: Size = 48,
    crop_faces: bool | FaceCropper = False,
    memory: str | joblib.Memory | None = None,
) -> Pipeline:
    """Make the pipeline photos → grey images → descriptors of faces and mirror images → SVM.

    Slower and more accurate than :func:`make_hog_svm_pipeline`: HOG, LBP at two radii, and learned
    codebooks of patches of two sizes, of each face and of its mirror image, classified by a
    least-squares SVM. Its memory grows with the square of the number of images, to several
    gigabytes on FER2013.

    Parameters
    ----------
    classifier : estimator or None, default=None
        Classifier of the features. If None,
        ``LSSVMClassifier(flip_invariant=True, gamma="scale")``, whose settings were chosen by
        cross-validation on FER2013's training images.
    descriptors : list of (str, transformer) or None, default=None
        Transformers from images to features, joined by a ``FeatureUnion``. If None, ``hog`` (12
        orientations in cells of 6×6 pixels), ``lbp1`` and ``lbp2`` (radius 1 and 2, in 8×8
        cells), ``codebook6`` and ``codebook8`` (112 patches of 6×6 pixels in 6×6 cells, and 256
        of 8×8 in 4×4), each reduced by :class:`BalancedPCA`.
    size : int or (int, int), default=48
        Height and width of the images, in pixels.
    crop_faces : bool or FaceCropper, default=False
        Whether to detect and crop the face first. FER2013's images are cropped already.
    memory : None, str or joblib.Memory, default=None
        Where to cache the fitted transformers, so that a search over the classifier's parameters
        extracts the features only once.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``crop`` (with `crop_faces`), ``resize``, ``features`` and ``classifier``. To learn
        people's votes, call ``fit(X, y, classifier__soft_targets=…)``.

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
        classifier = LSSVMClassifier(flip_invariant=True, gamma="scale", random_state=0)
    steps = [
        *_first_steps(crop_faces, size),
        ("features", MirroredFeatures(union)),
        ("classifier", classifier),
    ]
    return Pipeline(steps, memory=memory)


def make_cnn_pipeline(
    classifier: Estimator | None = None,
    *,
    size: Size = 48,
    color: bool = False,
    normalize: str = "unit",
    crop_faces: bool | FaceCropper = False,
    memory: str | joblib.Memory | None = None,
) -> Pipeline:
    """Make the pipeline photos → images of one size → pixels in [0, 1] → CNN.

    Parameters
    ----------
    classifier : estimator or None, default=None
        Classifier of the pixels. If None, the recipe of the benchmark: a ``resnet_se`` trained
        for 20 epochs on augmented images, which takes about twenty minutes on FER2013 with two
        cores. ``FERCNNClassifier()`` is a smaller network.
    size : int or (int, int), default=48
        Height and width of the images, in pixels.
    color : bool, default=False
        Whether the network takes RGB images; otherwise they are converted to grey.
    normalize : str, default="unit"
        Method of :class:`PixelNormalizer`.
    crop_faces : bool or FaceCropper, default=False
        Whether to detect and crop the face first. FER2013's images are cropped already.
    memory : None, str or joblib.Memory, default=None
        Where to cache the fitted transformers.

    Returns
    -------
    sklearn.pipeline.Pipeline
        Steps ``crop`` (with `crop_faces`), ``resize``, ``normalize`` and ``classifier``.

    Examples
    --------
    >>> from fer_sklearn import FERCNNClassifier, make_cnn_pipeline, make_faces
    >>> X, y = make_faces(140, random_state=0, return_X_y=True)
    >>> pipeline = make_cnn_pipeline(FERCNNClassifier(epochs=2, random_state=0), size=28)
    >>> pipeline.fit(X, y).predict_proba(X[:2]).shape
    (2, 7)
    """
    steps = [
        *_first_steps(crop_faces, size, color),
        ("normalize", PixelNormalizer(method=normalize)),
        ("classifier", _recommended_cnn() if classifier is None else classifier),
    ]
    return Pipeline(steps, memory=memory)


def _first_steps(
    crop_faces: bool | FaceCropper, size: Size, color: bool = False
) -> list[tuple[str, Any]]:
    # Larger images are cropped at their size; smaller ones are scaled down from the usual one.
    cropper = FaceCropper() if crop_faces is True else crop_faces
    if crop_faces is True and np.min(size) > FaceCropper().size:
        cropper = FaceCropper(size=size)
    crop = [("crop", cropper)] if cropper else []
    return [*crop, ("resize", RGBResizer(size=size) if color else GrayscaleResizer(size=size))]


def _recommended_descriptors() -> list[tuple[str, Pipeline]]:
    extractors = {
        "hog": HOGExtractor(orientations=12, pixels_per_cell=6),
        "lbp1": LBPExtractor(radius=1.0),
        "lbp2": LBPExtractor(radius=2.0),
        "codebook6": CodebookExtractor(patch_size=6, n_codewords=112, grid=6),
        "codebook8": CodebookExtractor(patch_size=8, n_codewords=256, grid=4),
    }
    return [
        (name, Pipeline([("extract", extractor), ("reduce", BalancedPCA())]))
        for name, extractor in extractors.items()
    ]


def _recommended_cnn() -> FERCNNClassifier:
    from .cnn import FERCNNClassifier  # loads Keras, which an SVM does not need

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
