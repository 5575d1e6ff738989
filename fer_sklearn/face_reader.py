"""Detect, crop and classify the faces in photos with the steps of a pipeline."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from importlib import metadata
from typing import Any, NamedTuple, Protocol

import numpy as np

from ._utils.compat import cv2
from ._utils.files import file_version
from ._utils.litert import average_mirror_images, is_litert_installed
from ._utils.pixel_values import normalize_pixels
from ._utils.pixels import split_batch
from ._utils.typing import Estimator, FloatArray, LabelArray, PathLike, PixelArray
from ._utils.validation import check_choice, check_pair, check_probabilities
from .faces import Faces
from .faces._crop import FRAMINGS, crop_faces, face_quality
from .faces._detect import (
    Detector,
    described,
    detect_in_pixels,
    is_boxes,
    refind_of,
    resolve_detector,
)
from .faces._faces import as_faces
from .images import as_photo, resize, to_gray
from .weights import LABEL_SETS, SHIPPED, WeightsNetwork, has_litert, split_name

__all__ = ["FaceReader", "ReadsFaces", "as_face_reader"]

# Two threads must not load one network at the same time.
_LOADING = threading.Lock()
# Faces are cropped to this side if the estimator does not scale them to a size of its own.
_SIDE = 48


class ReadsFaces(Protocol):
    """Protocol of the readers that ``predict_photos`` and ``iter_video`` use.

    :class:`FaceReader` implements it. You can pass your own implementation instead of an estimator.
    Several threads call `detect` and `crop` at once. If it has a method ``refind(image, faces)``,
    as detectors do, ``iter_video`` can follow faces.
    """

    classes: list[str]

    def detect(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo."""

    def crop(self, image: PixelArray, faces: Faces) -> list[PixelArray]:
        """Crop faces from the photo in which they were detected."""

    def predict(self, crops: Sequence[PixelArray]) -> tuple[LabelArray, FloatArray]:
        """Predict the emotion of each crop, and the probability of every label."""


class FaceReader:
    """Detect all faces in a photo, crop them, and predict their emotions.

    The three steps are separate, so that the faces of many photos can be classified at once.
    Several threads may use one reader.

    Parameters
    ----------
    estimator : estimator, str, path-like or None, default=None
        A fitted pipeline or classifier that takes a list of images. A
        :class:`~fer_sklearn.FaceCropper` as its first step defines how faces are cropped. Or the
        name of a bundled network, optionally with a label set, as in ``"tiny"`` or
        ``"default:ferplus"``, or an ``.npz`` file of :mod:`fer_sklearn.weights`: these run on
        LiteRT without loading scikit-learn. If None, ``"default"``.
    detector : None, str, callable, object or list of boxes, default=None
        As in :func:`~fer_sklearn.detect_faces`: a list of boxes is the same for all photos. If
        None, the detector of the estimator's cropper, or ``"blazeface"``.

    Attributes
    ----------
    classes : list of str
        The labels of the estimator, in the order of the probabilities.
    refind : callable or None
        The detector's method that detects known faces again, near where they were in the frame
        before: ``refind(image, faces)`` returns `Faces`. None if it has none.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> reader = FaceReader()
    >>> faces = reader.detect(astronaut())
    >>> labels, y_proba = reader.predict(reader.crop(astronaut(), faces))
    >>> labels.tolist(), y_proba.shape
    (['happy'], (1, 7))
    """

    classes: list[str]
    refind: Callable[[PixelArray, Faces], Faces] | None

    def __init__(
        self, estimator: Estimator | PathLike | None = None, *, detector: Detector | None = None
    ) -> None:
        if estimator is None:
            estimator = "default"
        if isinstance(estimator, os.PathLike):
            estimator = os.fspath(estimator)
        if isinstance(estimator, str) and is_litert_installed() and has_litert(estimator):
            self._classifier: Any = _BundledClassifier(estimator)
            self._cropping = _Cropping(self._classifier.image_shape_)
        else:
            self._classifier, self._cropping = _split(estimator)
        if detector is None and is_boxes(self._cropping.detector):
            raise ValueError(
                "estimator has a FaceCropper with a list of known faces, which belong to other "
                "photos. Pass a detector for these photos, such as detector='blazeface'."
            )
        chosen = self._cropping.detector if detector is None else detector
        self._detector = chosen if is_boxes(chosen) else resolve_detector(chosen)
        self.classes = [str(label) for label in self._classifier.classes_]
        self.refind = refind_of(self._detector)

    def detect(self, image: PixelArray) -> Faces:
        """Detect the faces in one photo.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3), uint8
            Grey or RGB.

        Returns
        -------
        Faces

        Raises
        ------
        ValueError
            If the detector returns something that is not faces.
        """
        return detect_in_pixels(image, self._detector)

    def crop(self, image: PixelArray, faces: Faces) -> list[PixelArray]:
        """Crop faces from the photo in which they were detected.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3), uint8
        faces : Faces

        Returns
        -------
        list of ndarray of shape (height, width) or (height, width, 3), uint8
            Each of the size to which the estimator scales faces.
        """
        photo = as_photo(image, name="image")
        faces = faces if isinstance(faces, Faces) else as_faces(faces, "faces has")
        return crop_faces(photo, faces, self._cropping.size, self._cropping.framing)

    def quality(self, image: PixelArray, faces: Faces, crops: Sequence[PixelArray]) -> FloatArray:
        """Measure how well each face can be seen.

        The quality is the product of five factors, each of which is at most 1:

        - the side of the crop, in pixels of the photo, over 48,
        - its sharpness, over that of a clear image of FER2013,
        - the fraction of the crop that is inside the photo,
        - how frontal the face is, judging by its key points,
        - the score of the detector.

        Parameters
        ----------
        image : ndarray of shape (h, w) or (h, w, 3), uint8
        faces : Faces
        crops : list of ndarray of shape (height, width) or (height, width, 3), uint8
            What `crop` returned for them.

        Returns
        -------
        ndarray of shape (n_faces,), float64
            In [0, 1].
        """
        faces = faces if isinstance(faces, Faces) else as_faces(faces, "faces has")
        return face_quality(image.shape, faces, crops, self._cropping.framing)

    def predict(self, crops: Sequence[PixelArray]) -> tuple[LabelArray, FloatArray]:
        """Predict the emotion of each cropped face.

        Parameters
        ----------
        crops : list of ndarray of shape (h, w) or (h, w, 3), uint8

        Returns
        -------
        labels : ndarray of shape (n,), str
            The most probable labels, or what `predict` of the estimator returns if it has no
            ``predict_proba`` or may abstain, like :class:`~fer_sklearn.AbstainingClassifier`.
        y_proba : ndarray of shape (n, n_classes), float64
            NaN if the estimator has no ``predict_proba``.

        Raises
        ------
        ValueError
            If the estimator returns something that is not probabilities, such as NaN, or `crops` is
            a single image.
        """
        unknown = np.full((len(crops), len(self.classes)), np.nan)
        if not len(crops):
            return np.array([], str), unknown
        if not isinstance(crops, list):
            crops = list(split_batch(crops, name="crops"))  # refuses a single crop
        crops = [as_photo(crop, name=f"crops[{index}]") for index, crop in enumerate(crops)]
        if not hasattr(self._classifier, "predict_proba"):
            return np.asarray(self._classifier.predict(crops)).astype(str), unknown
        y_proba = check_probabilities(
            self._classifier.predict_proba(crops),
            len(crops),
            classes=np.asarray(self._classifier.classes_),
            name="estimator.predict_proba(faces)",
        )
        last = getattr(self._classifier, "steps", [("", self._classifier)])[-1][1]
        if hasattr(last, "predict_from_proba"):
            return last.predict_from_proba(y_proba).astype(str), y_proba
        return np.array(self.classes)[y_proba.argmax(axis=1)], y_proba

    def provenance(self) -> dict[str, str]:
        """Return what is needed to reproduce the results of this reader.

        Returns
        -------
        dict of str to str
            The versions of this package and of those that it computes with, the network and its
            label set (or the type of the estimator and its labels) with a checksum, the detector
            with the checksum of its network, if any, and how faces are framed.
        """
        from . import __version__

        known = {"fer_sklearn": __version__}
        packages = ["numpy", "pillow", "ai-edge-litert"]
        if isinstance(self._classifier, _BundledClassifier):
            known |= self._classifier.provenance()
        else:
            known |= _of_estimator(self._classifier, self.classes)
            packages.append("scikit-learn")
        if _version("ai-edge-litert") == _MISSING or "FERCNNClassifier" in known["model"]:
            packages.append("tensorflow")
        detector = self._detector
        known["detector"] = described(detector)
        if hasattr(detector, "network_sha256"):
            known["detector_sha256"] = detector.network_sha256()
        known["framing"] = ", ".join(
            f"{name}={value!r}"
            for name, value in self._cropping._asdict().items()
            if name != "detector"
        )
        known |= {name: _version(name) for name in packages}
        return known | {"opencv": cv2.__version__}


_MISSING = "not installed"


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return _MISSING


def _of_estimator(estimator, classes):
    """Return the types in an estimator, its checksum and its labels."""
    import pickle

    import joblib

    steps = getattr(estimator, "steps", [("classifier", estimator)])
    known = {"model": ", ".join(type(step).__name__ for _, step in steps)}
    try:
        # joblib.hash depends on which equal strings are one object, which a copy makes uniform.
        copy = pickle.loads(pickle.dumps(estimator))
        known["model_checksum"] = joblib.hash(copy)
    except Exception:  # its objects may raise anything, usually because of a lambda function
        known["model_checksum"] = "unknown: the estimator cannot be pickled"
    return known | {"labels": ", ".join(classes)}


def as_face_reader(estimator: Any, detector: Detector | None) -> ReadsFaces:
    """Return `estimator` if it detects faces itself, else a :class:`FaceReader` around it.

    Those of named networks are cached until the file of the network changes.

    Parameters
    ----------
    estimator : estimator, str, FaceReader, object with its methods, or None
    detector : None, str, callable or list of boxes
        As in :class:`FaceReader`; None if `estimator` detects faces itself.

    Returns
    -------
    ReadsFaces

    Raises
    ------
    TypeError
        If `estimator` is a class, or cannot predict.
    ValueError
        If both `estimator` and `detector` detect faces.
    """
    if isinstance(estimator, type):
        raise TypeError(
            f"estimator is the class {estimator.__name__}; expected an instance. Pass "
            f"{estimator.__name__}(), fitted if it is an estimator."
        )
    if all(hasattr(estimator, name) for name in ("detect", "crop", "predict")):
        if detector is not None:
            raise ValueError(
                f"detector={described(detector)} is given, but estimator, a "
                f"{type(estimator).__name__}, detects faces itself; expected one of the two. Make "
                f"the reader with this detector, as in FaceReader(model, detector=...)."
            )
        return estimator
    if not isinstance(estimator, (str, os.PathLike, type(None))) or not (
        isinstance(detector, (str, type(None)))
    ):
        return FaceReader(estimator, detector=detector)
    name = "default" if estimator is None else os.fspath(estimator)
    version = None if name in SHIPPED else file_version(str(split_name(name)[0]))
    with _LOADING:
        return _named_reader(name, detector, version)


@lru_cache(maxsize=4)
def _named_reader(name, detector, version):
    return FaceReader(name, detector=detector)


def provenance_of(reader: Any, *, crop_faces: bool = True) -> dict[str, str]:
    """Return what is needed to reproduce the results of a reader.

    Parameters
    ----------
    reader : ReadsFaces
    crop_faces : bool, default=True
        If False, whole photos are classified, without detecting and framing faces.

    Returns
    -------
    dict of str to str
        As in :meth:`FaceReader.provenance`; for an object without that method, its ``repr``.
    """
    if hasattr(reader, "provenance"):
        known = dict(reader.provenance())
    else:
        known = {"model": described(reader)}
    if not crop_faces:
        known.pop("detector_sha256", None)
        known |= {"detector": "none", "framing": "none"}
    return known


class _Cropping(NamedTuple):
    """How faces are detected and cropped."""

    size: tuple[int, int]
    detector: Detector = "blazeface"
    framing: str = "keypoints"


class _BundledClassifier:
    """The bundled network on LiteRT, as plain functions from faces to probabilities.

    It makes the same predictions as ``load_pretrained(runtime="litert")``, without scikit-learn.
    """

    def __init__(self, name: str) -> None:
        self._name = split_name(name)[0]
        self._network = WeightsNetwork(name)
        self.classes_ = np.array(self._network.description["classes"])
        height, width = self._network.description["image_shape"]
        self.image_shape_ = (height, width)

    def provenance(self) -> dict[str, str]:
        """Return the network's name, checksum and label set."""
        description = self._network.description
        return {
            "model": str(self._name),
            "model_sha256": description["sha256"]["litert"],
            "labels": description.get("labels", "of the file"),
        }

    def predict_proba(self, images: Sequence[PixelArray]) -> FloatArray:
        """Predict the probability of each label.

        Parameters
        ----------
        images : sequence of ndarray of shape (h, w) or (h, w, 3), uint8

        Returns
        -------
        ndarray of shape (n, n_classes), float32
        """
        pixels = np.stack([resize(to_gray(image), self.image_shape_) for image in images])
        return average_mirror_images(self._network, normalize_pixels(pixels)[..., np.newaxis])


def _split(estimator):
    """Return the part of an estimator that predicts, and how it crops faces."""
    from ._utils.estimators import inner_steps, split_pipeline, without_steps
    from .faces import FaceCropper
    from .preprocessing import GrayscaleResizer, RGBResizer

    if isinstance(estimator, str):
        from .pretrained import load_pretrained

        name, labels = split_name(estimator)
        estimator = load_pretrained(str(name), labels=labels or LABEL_SETS[0])
    croppers, rest = split_pipeline(estimator, FaceCropper)
    if not hasattr(rest, "predict") or not hasattr(rest, "classes_"):
        raise TypeError(
            f"estimator is a {type(estimator).__name__} that cannot predict labels; expected a "
            f"fitted classifier, such as load_pretrained() or a pipeline after fit, or the name of "
            f"a bundled network."
        )
    # In a wrapper or an ensemble, too, faces must not be cropped a second time.
    inside = inner_steps(rest, FaceCropper)
    croppers += inside
    if len({described((each.detector, each.framing)) for each in croppers}) > 1:
        raise ValueError(
            f"estimator has {len(croppers)} FaceCropper steps that differ; expected the same "
            f"detector and framing in all. Leave them out, and put one FaceCropper in front: "
            f"make_pipeline(FaceCropper(), estimator)."
        )
    resizers = inner_steps(rest, (GrayscaleResizer, RGBResizer))
    # An exported pipeline scales faces itself, and must not do so a second time.
    own = getattr(split_pipeline(rest)[1], "image_shape_", None) or _SIDE
    size = check_pair("size", resizers[0].size if resizers else own, "(height, width)")
    cropper = croppers[0] if croppers else FaceCropper()
    framing = check_choice("framing", cropper.framing, FRAMINGS)
    return without_steps(rest, inside), _Cropping(size, cropper.detector, framing)
