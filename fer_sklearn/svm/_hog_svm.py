"""A support vector machine for HOG features, or for images, from which it extracts them."""

from __future__ import annotations

from itertools import combinations
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import check_random_state, gen_batches
from sklearn.utils.validation import check_is_fitted, validate_data

from .._utils.compat import Interval, StrOptions, ovr_decision_function
from .._utils.typing import ArrayLike, FloatArray, IntArray, LabelArray, RandomState
from ..features import HOGExtractor, make_pca
from ._base import BaseSVM, TrainingData, are_images, gaussian_kernel

__all__ = ["HOGSVMClassifier"]

_CALIBRATION_FOLDS = 3
# Upper bound of the kernel cache in megabytes; the solver takes only what it needs.
_CACHE_SIZE = 1000
# Values of the kernel matrix that a prediction computes at a time: 32 MB.
_MAX_KERNEL = 2**22


class GaussianSVC(SVC):
    """An SVC that predicts with matrix products, which is about nine times as fast.

    LIBSVM computes one distance at a time. Labels are the same, and decision values differ by
    rounding. For the Gaussian kernel, with `break_ties`.
    """

    def decision_function(self, X: ArrayLike) -> FloatArray:
        """Return the decision function, as ``sklearn.svm.SVC`` does."""
        check_is_fitted(self)
        features = validate_data(self, X, reset=False, dtype=np.float64)
        # The kernel depends on differences only, and those of small numbers are precise.
        centre = self.support_vectors_.mean(axis=0)
        vectors, weights = self.support_vectors_ - centre, self._weights_of_pairs()
        decisions = np.tile(self.intercept_, (len(features), 1))
        for part in gen_batches(len(features), max(1, _MAX_KERNEL // len(vectors))):
            kernel = gaussian_kernel([features[part] - centre], [vectors], self.gamma)
            decisions[part] += kernel @ weights
        if len(self.classes_) == 2:
            return decisions[:, 0]
        return ovr_decision_function(decisions < 0, -decisions, len(self.classes_))

    def predict(self, X: ArrayLike) -> LabelArray:
        """Predict labels; of several classes, the one with the highest decision value."""
        decisions = self.decision_function(X)
        best = decisions >= 0 if decisions.ndim == 1 else decisions.argmax(axis=1)
        return self.classes_[best.astype(np.intp)]

    def _weights_of_pairs(self) -> FloatArray:
        """Return the weight of each support vector in the decision of each pair of classes.

        Support vectors are sorted by class. ``dual_coef_`` has a row for each other class.
        """
        ends = np.cumsum(self.n_support_)
        of_class = [slice(end - size, end) for end, size in zip(ends, self.n_support_, strict=True)]
        pairs = list(combinations(range(len(self.classes_)), 2))
        if len(pairs) == 1:
            return self.dual_coef_.T
        weights = np.zeros((len(self.support_vectors_), len(pairs)))
        for k, (i, j) in enumerate(pairs):
            weights[of_class[i], k] = self.dual_coef_[j - 1, of_class[i]]
            weights[of_class[j], k] = self.dual_coef_[i, of_class[j]]
        return weights


class HOGSVMClassifier(BaseSVM):
    """Classify HOG features with a support vector machine (SVM).

    The last step of :func:`make_hog_svm_pipeline`, which extracts the features and reduces them to
    principal components first. The defaults of `C` and `gamma` were chosen for these. On its own,
    it also takes grey images, and extracts the features of ``HOGExtractor()`` from them. To
    configure or cache the features, use the pipeline.

    Compared with ``sklearn.svm.SVC``, ties are broken by the decision function, probabilities are
    calibrated without changing any label, and the linear kernel uses ``LinearSVC``, whose cost
    grows linearly with the number of samples. With the Gaussian kernel, `predict` is about nine
    times as fast. Features follow Dalal & Triggs (2005), the SVM follows Cortes & Vapnik (1995).

    Parameters
    ----------
    C : float, default=5.0
        Regularisation parameter; smaller values regularise more.
    kernel : {"rbf", "linear"}, default="rbf"
        Kernel: Gaussian or linear. ``"linear"`` predicts much faster and is less accurate.
    gamma : {"scale", "2*scale"} or float, default="2*scale"
        Coefficient of the Gaussian kernel. ``"scale"`` is one over the total variance of the
        features, as in scikit-learn's SVC; ``"2*scale"`` is twice that.
    n_components : int or None, default=None
        Number of principal components to reduce `X` to before training. If None, or if `X` has no
        more features or samples, it is not reduced. In
        :func:`make_hog_svm_pipeline` the step ``pca`` reduces the features instead, so that
        ``memory=`` can cache them.
    class_weight : dict, "balanced" or None, default=None
        Weight of each class, by label. ``"balanced"`` weights classes inversely to their
        frequency. If None, all classes have weight 1.
    probability : bool, default=False
        Whether to enable `predict_proba`, calibrated by Platt scaling with three-fold
        cross-validation. Training then takes several times as long. `predict` still follows the
        SVM's decision function, which accounts for `class_weight`, so it can occasionally differ
        from the most probable class.
    max_iter : int, default=-1
        Maximum number of iterations of the solver; -1 means no limit.
    random_state : int, RandomState instance or None, default=None
        Seed of the calibration folds, of the linear solver and of approximate principal
        components.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels, sorted.
    hog_ : HOGExtractor or None
        Extracts the features of images; None if `fit` received features.
    pca_ : PCA or None
        Fitted principal components; None if `X` was not reduced.
    svm_ : SVC or LinearSVC
        Fitted SVM; its labels are positions in `classes_`.
    calibrator_ : CalibratedClassifierCV or None
        Fitted calibrator; None if `probability` was False.
    n_iter_ : int
        Number of iterations of the solver, the maximum over classes.
    n_features_in_ : int
        Number of features seen in `fit`.
    training_rows_ : ndarray of shape (n_rows, 6), uint8
        Digest of the rows seen in `fit`, which lets `evaluate` recognise them.

    See Also
    --------
    make_hog_svm_pipeline : The pipeline from photos to this classifier.
    LSSVMClassifier : More accurate, with memory that grows with ``n_samples ** 2``.

    References
    ----------
    Dalal & Triggs (2005), Histograms of Oriented Gradients for Human Detection. Cortes & Vapnik
    (1995), Support-Vector Networks. Platt (1999), Probabilistic Outputs for Support Vector
    Machines.

    Examples
    --------
    >>> from fer_sklearn import HOGExtractor, HOGSVMClassifier, make_faces
    >>> from sklearn.pipeline import make_pipeline
    >>> X, y = make_faces(70, random_state=0, return_X_y=True)
    >>> make_pipeline(HOGExtractor(), HOGSVMClassifier()).fit(X, y).predict(X[:2]) == y[:2]
    array([ True,  True])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseSVM._parameter_constraints,
        "kernel": [StrOptions({"rbf", "linear"})],
        "max_iter": [Interval(Integral, -1, None, closed="left")],
    }

    def __init__(
        self,
        *,
        C: float = 5.0,
        kernel: Literal["rbf", "linear"] = "rbf",
        gamma: Literal["scale", "2*scale"] | float = "2*scale",
        n_components: int | None = None,
        class_weight: dict[Any, float] | Literal["balanced"] | None = None,
        probability: bool = False,
        max_iter: int = -1,
        random_state: RandomState = None,
    ) -> None:
        self.C = C
        self.kernel = kernel
        self.gamma = gamma
        self.n_components = n_components
        self.class_weight = class_weight
        self.probability = probability
        self.max_iter = max_iter
        self.random_state = random_state

    def _fit(self, data: TrainingData) -> None:
        # The SVM gets positions of labels, which CalibratedClassifierCV passes on unchanged.
        X, codes, weight, soft = data
        if soft is not None:
            _check_each_class_has_weight(soft, self.classes_)
        if self.probability:
            counts = np.bincount(codes) if soft is None else np.count_nonzero(soft, axis=0)
            _check_calibratable(counts, self.classes_)
        random_state = check_random_state(self.random_state)
        self.pca_ = make_pca(X.shape, self.n_components, random_state)
        if self.pca_ is not None:
            X = self.pca_.fit_transform(X)
        svm = self._make_svm(X, weight, random_state)
        sample = np.arange(len(codes))
        if soft is not None:
            sample, codes = np.nonzero(soft)
            X, weight = X[sample], _weights_of_labels(soft, weight)
        if self.probability:
            self.calibrator_ = _make_calibrator(svm, codes, sample, random_state)
            # Weights go to an SVM made here, which requests nothing from the caller.
            with config_context(enable_metadata_routing=False):
                self.calibrator_.fit(X, codes, sample_weight=weight)
            self.svm_ = self.calibrator_.calibrated_classifiers_[0].estimator
        else:
            self.calibrator_ = None
            self.svm_ = svm.fit(X, codes, sample_weight=weight)
        self.n_iter_ = int(np.max(self.svm_.n_iter_))

    def _best(self, X: FloatArray) -> IntArray:
        return self.svm_.predict(self._reduce(X))

    def _decide(self, X: FloatArray) -> FloatArray:
        return self.svm_.decision_function(self._reduce(X))

    def _to_features(self, X: ArrayLike, *, reset: bool) -> ArrayLike:
        if are_images(X):
            if reset:
                # Intermediate results must not have the user's global output format.
                self.hog_ = HOGExtractor().set_output(transform="default").fit(X)
            elif self.hog_ is None:
                raise ValueError(
                    f"X has more than two dimensions, as images have, but HOGSVMClassifier was "
                    f"fitted on {self.n_features_in_} features. Put the step that extracted them "
                    f"before it in a Pipeline, or fit HOGSVMClassifier on images."
                )
            return self.hog_.transform(X)
        if reset:
            self.hog_ = None
        elif self.hog_ is not None:
            height, width = self.hog_.image_shape_
            raise ValueError(
                f"X is not a stack of images, but HOGSVMClassifier was fitted on images of "
                f"{height}×{width} pixels. Pass [X] or X[np.newaxis] for one image, and "
                f"X.reshape(-1, {height}, {width}) for flattened images; for features, fit "
                f"HOGSVMClassifier on features."
            )
        return super()._to_features(X, reset=reset)

    @property
    def _is_calibrated(self) -> bool:
        return self.calibrator_ is not None

    def _calibrated_probabilities(self, X: FloatArray) -> FloatArray:
        return self.calibrator_.predict_proba(self._reduce(X))

    def _make_svm(
        self,
        X: FloatArray,
        sample_weight: FloatArray | None,
        random_state: np.random.RandomState,
    ) -> SVC | LinearSVC:
        if self.kernel == "linear":
            return LinearSVC(
                C=self.C,
                dual="auto",
                class_weight=self._weight_by_position(),
                # LinearSVC has no value for "no limit".
                max_iter=self.max_iter if self.max_iter >= 0 else 1_000_000,
                random_state=random_state.randint(np.iinfo(np.int32).max),
            )
        return GaussianSVC(
            C=self.C,
            gamma=self._kernel_coefficient(X, sample_weight),
            class_weight=self._weight_by_position(),
            # So that predict follows decision_function even if classes win equally often.
            break_ties=True,
            cache_size=_CACHE_SIZE,
            # Used for probabilities alone, but drawn from NumPy's global generator if it is None.
            random_state=0,
            max_iter=self.max_iter,
        )

    def _weight_by_position(self) -> dict[int, float] | str | None:
        if not isinstance(self.class_weight, dict):
            return self.class_weight
        return dict(enumerate(self._weights_of_classes()))


def _weights_of_labels(soft: FloatArray, sample_weight: FloatArray | None) -> FloatArray:
    """Return the weight of each label of each sample, of those above 0, row by row."""
    weights = soft if sample_weight is None else soft * sample_weight[:, np.newaxis]
    return weights[soft > 0]


def _check_each_class_has_weight(soft: FloatArray, classes: LabelArray) -> None:
    empty = ~soft.any(axis=0)
    if empty.any():
        raise ValueError(
            f"soft_targets are all 0 for class {classes[empty].tolist()[0]!r}, which y has. "
            f"Relabel its samples in y, and drop that column."
        )


def _check_calibratable(counts: IntArray, classes: LabelArray) -> None:
    if min(counts) < 2:
        rarest = classes.tolist()[np.argmin(counts)]
        raise ValueError(
            f"probability=True calibrates by cross-validation and needs two samples of each "
            f"class, but y has one of class {rarest!r}. Set probability=False, or leave that "
            f"class out."
        )


def _make_calibrator(
    svm: SVC | LinearSVC,
    codes: IntArray,
    sample: IntArray,
    random_state: np.random.RandomState,
) -> CalibratedClassifierCV:
    """Return a calibrator whose folds keep the rows of a sample together."""
    n_folds = int(min(_CALIBRATION_FOLDS, np.bincount(codes).min()))
    seed = random_state.randint(np.iinfo(np.int32).max)
    folds: Any = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    if len(sample) > len(np.unique(sample)):
        grouped = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed)
        folds = list(grouped.split(codes, codes, sample))
    # Without an ensemble the SVM is fitted once more, on all samples, and kept.
    return CalibratedClassifierCV(svm, method="sigmoid", ensemble=False, cv=folds)
