"""A support vector machine on histograms of oriented gradients."""

from numbers import Integral, Real
from typing import ClassVar

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedKFold
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import Interval, StrOptions, check_sample_weight, fit_context
from .._utils.pixels import ImageTagsMixin, check_pixels
from .._utils.validation import check_known_keys
from ..features import HOGExtractor, make_pca
from ._base import check_several_classes, is_probabilistic, kernel_coefficient

__all__ = ["HOGSVMClassifier"]

_CALIBRATION_FOLDS = 3
# Megabytes for the kernel matrix; the solver takes only what it needs.
_CACHE_SIZE = 1000


class HOGSVMClassifier(ImageTagsMixin, ClassifierMixin, BaseEstimator):
    """Classify faces by HOG features and a support vector machine.

    Features are reduced by principal components, which makes the machine several times
    cheaper and costs no accuracy, and go to an SVM with a Gaussian kernel, or a linear one.
    After Dalal & Triggs 2005 for the features and Cortes & Vapnik 1995 for the machine.

    Two-dimensional `X` is features as they are, as :class:`HOGExtractor` makes them.
    Images, ``(n, h, w)`` or ``(n, h, w, 1)``, go through `hog` first; flattened images do
    not, since nothing tells them from features.

    Parameters
    ----------
    C : float, default=5.0
        Inverse strength of regularisation.
    kernel : {"rbf", "linear"}, default="rbf"
        ``"linear"`` is much faster to predict, and less accurate.
    gamma : {"scale", "2*scale"} or float, default="2*scale"
        Coefficient of the Gaussian kernel. ``"scale"`` is one over the total variance of
        the (reduced) features, as in scikit-learn's SVC; ``"2*scale"`` is twice that.
    n_components : int or None, default=200
        Principal components kept. None, or as many as there are features or samples,
        keeps the features as they are.
    hog : HOGExtractor or None, default=None
        What describes images; None is ``HOGExtractor()``. It is cloned.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes; ``"balanced"`` makes rare ones count as much as others.
    probability : bool, default=False
        Whether to calibrate `predict_proba` (Platt 1999), by three-fold cross-validation.
        Labels stay those of the machine, which heeds `class_weight`; the most probable
        class, at the frequencies of the training data, is another one now and then.
    max_iter : int, default=-1
        Bound on the solver's iterations; -1 is none.
    random_state : int, RandomState instance or None, default=None
        Seed of the calibration folds, and of the linear solver.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    hog_ : HOGExtractor or None
        Fitted on the images; None where `X` was features.
    pca_ : PCA or None
        None where nothing was to be reduced.
    svm_ : SVC or LinearSVC
        The fitted machine; its labels are positions in `classes_`.
    calibrator_ : CalibratedClassifierCV or None
        Where `probability` was set.
    n_iter_ : int
        Iterations of the solver, at most over the classes.
    n_features_in_ : int
        Features, or pixels an image, seen in `fit`.

    Examples
    --------
    >>> from fer_sklearn import HOGSVMClassifier, make_faces
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> HOGSVMClassifier().fit(X, y).predict(X[:2]) == y[:2]
    array([ True,  True])
    """

    _parameter_constraints: ClassVar[dict] = {
        "C": [Interval(Real, 0, None, closed="neither")],
        "kernel": [StrOptions({"rbf", "linear"})],
        "gamma": [
            StrOptions({"scale", "2*scale"}),
            Interval(Real, 0, None, closed="neither"),
        ],
        "n_components": [Interval(Integral, 1, None, closed="left"), None],
        "hog": [HOGExtractor, None],
        "class_weight": [StrOptions({"balanced"}), dict, None],
        "probability": ["boolean"],
        "max_iter": [Interval(Integral, -1, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        C=5.0,
        kernel="rbf",
        gamma="2*scale",
        n_components=200,
        hog=None,
        class_weight=None,
        probability=False,
        max_iter=-1,
        random_state=None,
    ):
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.n_components = n_components
        self.hog = hog
        self.class_weight = class_weight
        self.probability = probability
        self.max_iter = max_iter
        self.random_state = random_state

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Fit the machine.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w) or (n, h, w, 1)
            Features, or grey images.
        y : array-like of shape (n,)
            Labels, strings or numbers, of two classes or more.
        sample_weight : array-like of shape (n,), default=None
            How much each sample counts, in all but the principal components.

        Returns
        -------
        self
        """
        features, y = self._check_training_data(X, y)
        weight = sample_weight
        if weight is not None:
            weight = check_sample_weight(weight, features, ensure_non_negative=True)
            counted = weight > 0
            features, y, weight = features[counted], y[counted], weight[counted]
        # Positions: CalibratedClassifierCV hands those on, whatever the labels are.
        self.classes_, y = np.unique(y, return_inverse=True)
        check_several_classes(self.classes_)
        if self.probability:
            _check_calibratable(np.bincount(y), self.classes_)
        random_state = check_random_state(self.random_state)
        self.pca_ = make_pca(features.shape, self.n_components, random_state)
        if self.pca_ is not None:
            features = self.pca_.fit_transform(features)
        machine = self._make_machine(features, weight, random_state)
        if self.probability:
            self.calibrator_ = _make_calibrator(machine, y, random_state)
            self.calibrator_.fit(features, y, sample_weight=weight)
            self.svm_ = self.calibrator_.calibrated_classifiers_[0].estimator
        else:
            self.calibrator_ = None
            self.svm_ = machine.fit(features, y, sample_weight=weight)
        self.n_iter_ = int(np.max(self.svm_.n_iter_))
        return self

    def predict(self, X):
        """Predict labels.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w) or (n, h, w, 1)
            Features or grey images, whichever `fit` had.

        Returns
        -------
        ndarray of shape (n,)
        """
        features = self._reduced(X)
        return self.classes_[self.svm_.predict(features)]

    def decision_function(self, X):
        """Return the distances from the separating planes, before any calibration.

        `predict` takes the class of the largest.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w) or (n, h, w, 1)
            Features or grey images, whichever `fit` had.

        Returns
        -------
        ndarray of shape (n, n_classes), or (n,) for two classes
        """
        features = self._reduced(X)
        return self.svm_.decision_function(features)

    @available_if(is_probabilistic)
    def predict_proba(self, X):
        """Predict calibrated probabilities; only with ``probability=True``.

        Parameters
        ----------
        X : array-like of shape (n, n_features), (n, h, w) or (n, h, w, 1)
            Features or grey images, whichever `fit` had.

        Returns
        -------
        ndarray of shape (n, n_classes)
            In the order of `classes_`.
        """
        features = self._reduced(X)
        if self.calibrator_ is None:
            raise AttributeError(
                "probability was set to True after fit. Call fit again to calibrate."
            )
        return self.calibrator_.predict_proba(features)

    def _check_training_data(self, X, y):
        """Return features and labels; fit `hog_` where `X` is images."""
        if _is_images(X):
            images, y = check_pixels(self, X, y, reset=True)
            self.hog_ = (HOGExtractor() if self.hog is None else clone(self.hog)).fit(images)
            features = self.hog_.transform(images)
        else:
            self.hog_ = None
            features, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        return features, y

    def _reduced(self, X):
        check_is_fitted(self, "svm_")
        if _is_images(X) != (self.hog_ is not None):
            seen, given = ("images", "features") if self.hog_ else ("features", "images")
            raise ValueError(
                f"X is {given} of shape {np.shape(X)}, but HOGSVMClassifier was fitted on "
                f"{seen}, {self.n_features_in_} numbers each. Pass {seen} again."
            )
        if self.hog_ is None:
            features = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        else:
            features = self.hog_.transform(check_pixels(self, X, reset=False))
        return features if self.pca_ is None else self.pca_.transform(features)

    def _make_machine(self, features, weight, random_state):
        if self.kernel == "linear":
            return LinearSVC(
                C=self.C,
                dual="auto",
                class_weight=self._weight_of_positions(),
                # LinearSVC has no value for "no bound".
                max_iter=self.max_iter if self.max_iter >= 0 else 1_000_000,
                random_state=random_state.randint(np.iinfo(np.int32).max),
            )
        return SVC(
            C=self.C,
            gamma=kernel_coefficient(self.gamma, features, weight),
            class_weight=self._weight_of_positions(),
            # predict then follows decision_function, also where classes win equally often.
            break_ties=True,
            cache_size=_CACHE_SIZE,
            max_iter=self.max_iter,
        )

    def _weight_of_positions(self):
        if not isinstance(self.class_weight, dict):
            return self.class_weight
        labels = self.classes_.tolist()
        check_known_keys("class_weight", self.class_weight, labels)
        return {i: self.class_weight.get(label, 1.0) for i, label in enumerate(labels)}


def _is_images(X):
    """Tell images from rows of features, by the number of dimensions."""
    if hasattr(X, "ndim"):
        return X.ndim > 2
    return isinstance(X, (list, tuple)) and len(X) > 0 and np.ndim(X[0]) > 1


def _check_calibratable(counts, classes):
    if min(counts) < 2:
        rarest = classes.tolist()[np.argmin(counts)]
        raise ValueError(
            f"probability=True calibrates by cross-validation and needs two samples of each "
            f"class, but y has one of class {rarest!r}. Set probability=False, or leave that "
            f"class out."
        )


def _make_calibrator(machine, y, random_state):
    smallest = np.unique(y, return_counts=True)[1].min()
    folds = StratifiedKFold(
        int(min(_CALIBRATION_FOLDS, smallest)),
        shuffle=True,
        random_state=random_state.randint(np.iinfo(np.int32).max),
    )
    # Without an ensemble the machine is fitted once more, on all samples, and kept.
    return CalibratedClassifierCV(machine, method="sigmoid", ensemble=False, cv=folds)
