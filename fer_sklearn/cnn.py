"""FERCNNClassifier: a convolutional network that behaves like any scikit-learn classifier."""

import copy
from numbers import Integral, Real

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted

from ._validation import (
    ImageTagsMixin,
    check_labels,
    check_pixel_range,
    check_pixels,
    unit_range,
)
from .architectures import resolve_architecture
from .augmentation import resolve_augmentation
from .networks import NetworkSpec, TrainingState, compile_prediction, describe_optimizer
from .training import EpochLines, TrainingData, to_unit_floats, train

__all__ = ["FERCNNClassifier"]

_PREDICTION_BATCH = 256


class FERCNNClassifier(ImageTagsMixin, ClassifierMixin, BaseEstimator):
    """A convolutional neural network for grey faces, trained by Keras through scikeras.

    Parameters
    ----------
    architecture : str or callable, default="conv3"
        ``"conv3"``, ``"conv4_dense3"``, ``"conv4_wide"``, ``"vgg_elu"``,
        ``"mini_xception"``, ``"resnet_se"``, or a function ``(meta)`` or
        ``(meta, dropout)`` that returns an uncompiled ``keras.Model``; see
        :mod:`fer_sklearn.architectures`. First weights are drawn from `random_state`,
        save those of layers with ``trainable=False``, which are kept.
    epochs : int, default=50
        Passes over the training images.
    batch_size : int, default=64
        Images a step.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        A name of Keras's, built with `learning_rate` and `weight_decay` (``"sgd"`` with
        Nesterov momentum of 0.9), or an instance, whose own settings then count.
    learning_rate : float, default=1e-3
        The constant or, with a schedule, the highest learning rate.
    learning_rate_schedule : {None, "cosine"}, default=None
        ``"cosine"`` rises over the first twentieth of training and falls to zero.
    weight_decay : float, default=0.0
        Decoupled weight decay, relative to the learning rate.
    class_weight : None, "balanced" or dict, default=None
        Factors on the loss by class, as everywhere in scikit-learn.
    augmentation : None, bool or mapping, default=None
        Random changes to training batches: True for the defaults, or some of ``flip``,
        ``rotation``, ``shift``, ``zoom``, ``crop``, ``brightness``, ``contrast`` and
        ``erasing``; see :func:`fer_sklearn.augmentation.augment`.
    validation_fraction : float or None, default=None
        The share of images to hold out, stratified and shuffled, and to score after each
        epoch. None holds out 0.1 if `early_stopping`, else nothing.
    early_stopping : bool, default=False
        Stop when the accuracy on the held-out images has not grown for `patience` epochs,
        and go back to the weights of the best one.
    patience : int, default=10
        Epochs to wait for a better one.
    dropout : float or None, default=None
        Replaces the architecture's own dropout rate.
    label_smoothing : float, default=0.0
        The share of each target that is spread over all classes (Szegedy et al. 2016).
    callbacks : list of keras.callbacks.Callback or None, default=None
        Each fit works on shallow copies.
    warm_start : bool, default=False
        Start `fit` from the weights of the fit before.
    dtype_policy : {"float32", "mixed_bfloat16"}, default="float32"
        ``"mixed_bfloat16"`` trains faster on CPUs with AVX-512 BF16 and on recent GPUs,
        and slower on others.
    save_optimizer : bool, default=False
        Keep the optimizer's memory, also in the pickled file, so that `partial_fit` goes on
        in another process exactly as it would have in this one. About triples the file. Not
        kept after a `fit` with a schedule, which has come to rest.
    random_state : int, RandomState or None, default=None
        Draws the weights, the split, the order, augmentation and dropout. One integer gives
        the same weights in one process, in threads and in worker processes.
    verbose : int, default=0
        1 prints a line an epoch.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    model_ : keras.Model
        The trained network, uncompiled, from ``(n, h, w, 1)`` float32 to probabilities.
    history_ : dict of str to list of float
        ``loss``, ``accuracy`` and, with held-out images, ``val_loss`` and
        ``val_accuracy``, by epoch.
    n_iter_ : int
        Epochs trained.
    image_shape_ : tuple of int
        Height and width of the images seen in fit.
    n_features_in_ : int
        Their product.
    pixel_range_ : tuple of float
        Lowest and highest pixel seen in fit, after integers were scaled to [0, 1].

    Notes
    -----
    `X` is ``(n, h, w)``, ``(n, h, w, 1)`` or flattened, ``(n, h * w)``. Integer pixels must
    lie in 0..255 and are scaled to [0, 1]; float pixels are taken as they are, and
    predicting on pixels of another range than those of `fit` is refused.

    Examples
    --------
    >>> from fer_sklearn import FERCNNClassifier, make_faces
    >>> X, y = make_faces(140, size=24, random_state=0, return_X_y=True)
    >>> clf = FERCNNClassifier(epochs=2, random_state=0).fit(X, y)
    >>> clf.predict_proba(X[:2]).shape
    (2, 7)
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's own idiom
        "architecture": [str, callable],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [str, keras.optimizers.Optimizer],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "learning_rate_schedule": [None, StrOptions({"cosine"})],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "class_weight": [None, dict, StrOptions({"balanced"})],
        "augmentation": [None, "boolean", dict],
        "validation_fraction": [None, Interval(Real, 0, 1, closed="neither")],
        "early_stopping": ["boolean"],
        "patience": [Interval(Integral, 1, None, closed="left")],
        "dropout": [None, Interval(Real, 0, 1, closed="left")],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "callbacks": [None, list, tuple],
        "warm_start": ["boolean"],
        "dtype_policy": [Options(str, {"float32", "mixed_bfloat16"})],
        "save_optimizer": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        architecture="conv3",
        epochs=50,
        batch_size=64,
        optimizer="adam",
        learning_rate=1e-3,
        learning_rate_schedule=None,
        weight_decay=0.0,
        class_weight=None,
        augmentation=None,
        validation_fraction=None,
        early_stopping=False,
        patience=10,
        dropout=None,
        label_smoothing=0.0,
        callbacks=None,
        warm_start=False,
        dtype_policy="float32",
        save_optimizer=False,
        random_state=None,
        verbose=0,
    ):
        self.architecture = architecture
        self.epochs = epochs
        self.batch_size = batch_size
        self.optimizer = optimizer
        self.learning_rate = learning_rate
        self.learning_rate_schedule = learning_rate_schedule
        self.weight_decay = weight_decay
        self.class_weight = class_weight
        self.augmentation = augmentation
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.patience = patience
        self.dropout = dropout
        self.label_smoothing = label_smoothing
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.dtype_policy = dtype_policy
        self.save_optimizer = save_optimizer
        self.random_state = random_state
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Integer pixels in 0..255, or finite floats.
        y : array-like of shape (n,)
            Labels, at least two different ones.
        sample_weight : array-like of shape (n,) or None
            Factors on the loss of each image.

        Returns
        -------
        self : FERCNNClassifier
        """
        going_on = self.warm_start and hasattr(self, "model_")
        data = self._check_training_data(X, y, sample_weight, reset=not going_on)
        self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        data, validation = self._hold_out(data, self._seed)
        start = TrainingState(self.model_.get_weights(), None, 0) if going_on else None
        steps = self.epochs * -(-len(data.codes) // min(self.batch_size, len(data.codes)))
        scheduled = self.learning_rate_schedule == "cosine"
        self._train(
            data,
            epochs=self.epochs,
            start=start,
            validation=validation,
            cosine_steps=steps if scheduled else None,
            # A scheduled optimizer has come to rest, and none goes on from there.
            keep_optimizer=self.save_optimizer and not scheduled,
        )
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """Train for one epoch on these images, from where the last call ended.

        Nothing is held out, and the learning rate is constant.

        Parameters
        ----------
        X, y, sample_weight
            As in :meth:`fit`; `y` need not have all classes.
        classes : array-like of shape (n_classes,) or None
            All labels that will ever come; needed in the first call unless `y` has them.

        Returns
        -------
        self : FERCNNClassifier
        """
        first = not hasattr(self, "model_")
        data = self._check_training_data(X, y, sample_weight, reset=first, classes=classes)
        if first:
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)
            start, before = None, {}
        else:
            weights = self.model_.get_weights()
            start, before = (
                TrainingState(weights, self._optimizer_state, self.n_iter_),
                self.history_,
            )
        self._train(data, epochs=1, start=start, keep_optimizer=True)
        self.history_ = {k: before.get(k, []) + v for k, v in self.history_.items()}
        return self

    def predict(self, X):
        """Predict the label of each image.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)

        Returns
        -------
        ndarray of shape (n,)
        """
        positions = self.predict_proba(X).argmax(axis=1)
        return self.classes_[positions]

    def predict_proba(self, X):
        """Predict the probability of each label.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)

        Returns
        -------
        ndarray of shape (n, n_classes), float32
            In the order of ``classes_``; each row sums to one.
        """
        check_is_fitted(self, "model_")
        pixels = check_pixels(self, X, reset=False)
        check_pixel_range(pixels, self.pixel_range_, type(self).__name__)
        batches = (
            self._predict_batch(to_unit_floats(pixels[i : i + _PREDICTION_BATCH]))
            for i in range(0, len(pixels), _PREDICTION_BATCH)
        )
        return np.concatenate(list(batches))

    def __getstate__(self):
        state = super().__getstate__().copy()
        state.pop("_predict_batch", None)  # compiled, and made anew from the model
        if not self.save_optimizer and "_optimizer_state" in state:
            state["_optimizer_state"] = None
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if hasattr(self, "model_"):
            self._predict_batch = compile_prediction(self.model_)

    def _check_training_data(self, X, y, sample_weight, *, reset, classes=None):
        """Check what `fit` received, learn classes and pixel range, and bundle it."""
        resolve_architecture(self.architecture)
        pixels, y = check_pixels(self, X, y, reset=reset)
        check_classification_targets(y)
        if reset:
            self.classes_ = np.unique(y if classes is None else classes)
            self.pixel_range_ = unit_range(pixels)
        else:
            check_pixel_range(pixels, self.pixel_range_, type(self).__name__)
        codes = check_labels(y, self.classes_)
        weights = None
        if sample_weight is not None or self.class_weight is not None:
            weights = _check_sample_weight(sample_weight, pixels, dtype=np.float32)
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, y).astype(np.float32)
        return TrainingData(pixels, codes, weights)

    def _hold_out(self, data, seed):
        """Split `data` into training and validation, the latter None if not asked for."""
        fraction = self.validation_fraction or (0.1 if self.early_stopping else None)
        if fraction is None:
            return data, None
        splitter = StratifiedShuffleSplit(1, test_size=fraction, random_state=seed)
        try:
            kept, held_out = next(splitter.split(data.pixels, data.codes))
        except ValueError as error:
            raise ValueError(
                f"validation_fraction={fraction} cannot split {len(data.codes)} images of "
                f"{len(self.classes_)} classes with some of each on both sides: {error} "
                f"Give more images or another fraction."
            ) from error
        return data.take(kept), data.take(held_out)

    def _train(self, data, *, epochs, start, keep_optimizer, validation=None, cosine_steps=None):
        """Train, and set what was learned."""
        optimizer, learning_rate = describe_optimizer(
            self.optimizer,
            self.learning_rate,
            weight_decay=self.weight_decay,
            cosine_steps=cosine_steps,
        )
        spec = NetworkSpec(
            self.architecture,
            self.dropout,
            (*self.image_shape_, 1),
            len(self.classes_),
            optimizer,
            self.label_smoothing,
            self.dtype_policy,
        )
        self.model_, self._optimizer_state, self.history_ = train(
            spec,
            data,
            epochs=epochs,
            batch_size=self.batch_size,
            seed=self._seed,
            learning_rate=learning_rate,
            validation=validation,
            augmentation=resolve_augmentation(self.augmentation),
            callbacks=self._callbacks(validation is not None),
            start=start,
            keep_optimizer=keep_optimizer,
        )
        self.n_iter_ = (start.epoch if start else 0) + len(self.history_["loss"])
        self._predict_batch = compile_prediction(self.model_)

    def _callbacks(self, has_validation):
        # Copies, since Keras writes the model into them, and fit changes no parameter.
        callbacks = [copy.copy(callback) for callback in self.callbacks or ()]
        if self.early_stopping and has_validation:
            callbacks.append(
                keras.callbacks.EarlyStopping(
                    "val_accuracy", mode="max", patience=self.patience, restore_best_weights=True
                )
            )
        if self.verbose:
            callbacks.append(EpochLines())
        return callbacks
