"""FERCNNClassifier: a convolutional network that behaves like any scikit-learn classifier."""

from numbers import Integral, Real
from pathlib import Path

import keras
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state

from .._utils.compat import Interval, Options, StrOptions, fit_context
from .._utils.pixels import ImageTagsMixin
from .._utils.prediction import PredictionMixin
from ..weights import read_weights
from ._compiled import TrainingState, compile_prediction
from ._data import check_training_data, hold_out, take_up
from ._fit import initial_state, network_spec, train_one_epoch, train_through

__all__ = ["FERCNNClassifier"]


class FERCNNClassifier(PredictionMixin, ImageTagsMixin, ClassifierMixin, BaseEstimator):
    """A convolutional neural network for grey faces, trained by Keras through scikeras.

    Parameters
    ----------
    architecture : str or callable, default="conv3"
        A key of ``fer_sklearn.cnn.architectures.ARCHITECTURES``, such as ``"resnet_se"`` or
        ``"mobilenet_v3_small"``, or a function ``(meta)`` or ``(meta, dropout)`` that
        returns an uncompiled ``keras.Model``. First weights are drawn from `random_state`,
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
        ``rotation``, ``shift``, ``zoom``, ``crop``, ``brightness``, ``contrast``,
        ``erasing`` and ``mixup``; see :mod:`fer_sklearn.cnn.augmentation`.
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
    loss : {"crossentropy", "focal"}, default="crossentropy"
        What training makes small. ``"focal"`` weights each image's cross-entropy by
        ``(1 - p) ** 2``, `p` being the probability of its label, so that what is learnt
        already counts little (Lin et al. 2017, arXiv:1708.02002).
    label_smoothing : float, default=0.0
        The share of each target that is spread over all classes (Szegedy et al. 2016).
    initial_weights : None, str or Path, default=None
        What `fit` starts from: None draws weights; ``"default"`` and ``"tiny"`` are those
        that ship with the package, of whose labels `y` may have some, and an ``.npz`` file
        of :mod:`fer_sklearn.weights` is like them; ``"imagenet"`` lets Keras download a
        backbone's; a ``.weights.h5`` file is Keras's.
    frozen_stages : int, default=0
        How many stages, from the input on, keep their initial weights; a stage is the run
        of layers at one resolution.
    unfreeze_after : int or None, default=None
        Epochs after which frozen stages learn too; the schedule and the optimizer then
        start anew.
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
    test_time_augmentation : bool, default=False
        Average the probabilities of each image and its mirror image; takes twice as long.
    checkpoint_dir : str, Path or None, default=None
        A folder in which `fit` keeps a file, written after each epoch. The same `fit` (data,
        parameters, an integer `random_state`) goes on from it, however the process ended,
        to the same weights as an unbroken one on the same machine; only `callbacks` start
        anew. A finished one is read instead of repeated. Delete the folder at will.
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

    _images_at_a_time = 256
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
        "loss": [StrOptions({"crossentropy", "focal"})],
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "callbacks": [None, list, tuple],
        "warm_start": ["boolean"],
        "dtype_policy": [Options(str, {"float32", "mixed_bfloat16"})],
        "save_optimizer": ["boolean"],
        "initial_weights": [None, str, Path],
        "frozen_stages": [Interval(Integral, 0, None, closed="left")],
        "unfreeze_after": [None, Interval(Integral, 1, None, closed="left")],
        "test_time_augmentation": ["boolean"],
        "checkpoint_dir": [None, str, Path],
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
        loss="crossentropy",
        label_smoothing=0.0,
        initial_weights=None,
        frozen_stages=0,
        unfreeze_after=None,
        callbacks=None,
        warm_start=False,
        dtype_policy="float32",
        save_optimizer=False,
        test_time_augmentation=False,
        checkpoint_dir=None,
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
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.initial_weights = initial_weights
        self.frozen_stages = frozen_stages
        self.unfreeze_after = unfreeze_after
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.dtype_policy = dtype_policy
        self.save_optimizer = save_optimizer
        self.test_time_augmentation = test_time_augmentation
        self.checkpoint_dir = checkpoint_dir
        self.random_state = random_state
        self.verbose = verbose

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, soft_targets=None):
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1) or (n, h * w)
            Integer pixels in 0..255, or finite floats.
        y : array-like of shape (n,)
            Labels, at least two different ones.
        sample_weight : array-like of shape (n,) or None
            Factors on the loss of each image.
        soft_targets : array-like of shape (n, n_classes) or None
            Probabilities to learn in place of `y`, in the order of the sorted labels: those
            of a teacher (Hinton et al. 2015, arXiv:1503.02531) or of several annotators.
            `y` then gives the labels' names and the strata alone.

        Returns
        -------
        self : FERCNNClassifier
        """
        going_on = self.warm_start and hasattr(self, "model_")
        data = check_training_data(
            self, X, y, sample_weight, reset=not going_on, soft_targets=soft_targets
        )
        self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        data, validation = hold_out(self, data, self._seed)
        start = (
            TrainingState(self.model_.get_weights(), None, 0) if going_on else initial_state(self)
        )
        self._learn(train_through(self, data, validation, self._seed, start))
        return self

    @fit_context(prefer_skip_nested_validation=True)
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
        data = check_training_data(self, X, y, sample_weight, reset=first, classes=classes)
        if first:
            self._seed = check_random_state(self.random_state).randint(2**31 - 1)
            start = initial_state(self)
        else:
            weights = self.model_.get_weights()
            start = TrainingState(weights, self._optimizer_state, self.n_iter_, self.history_)
        self._learn(train_one_epoch(self, data, self._seed, start))
        return self

    def load_weights(self):
        """Become fitted with `initial_weights` as they are, without training.

        Returns
        -------
        self : FERCNNClassifier

        Raises
        ------
        ValueError
            Unless `initial_weights` is a shipped name or an ``.npz`` file: others do not say
            which labels and images they are for.
        """
        weights = read_weights(self.initial_weights)
        take_up(self, weights)
        model = network_spec(self)[0].build()
        model.set_weights(weights.arrays)
        self._seed = check_random_state(self.random_state).randint(2**31 - 1)
        self._learn((model, None, {"loss": [], "accuracy": []}))
        return self

    def __sklearn_is_fitted__(self):
        return hasattr(self, "model_")

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

    def _learn(self, trained):
        """Take over what training returned."""
        self.model_, self._optimizer_state, self.history_ = trained
        self.n_iter_ = len(self.history_["loss"])
        self._predict_batch = compile_prediction(self.model_)
