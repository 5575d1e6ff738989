"""FERCNNClassifier: a convolutional network as a scikit-learn classifier."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from .._utils.compat import Interval, Options, StrOptions, fit_context
from .._utils.estimators import ImageTagsMixin, PredictionMixin, keeps_fit_on_failure
from .._utils.typing import ArrayLike, RandomState
from .._utils.validation import check_choice
from ..weights import WeightsNetwork, read_weights
from ._data import (
    apply_weights_metadata,
    check_training_data,
    draw_seed,
    train_validation_split,
)
from ._network import KerasOptimizer, NetworkMixin, load_keras
from ._own_labels import has_embedding, learns_head_alone

# Keras, and the files that need it, are imported in the methods that use them: a network from a
# weights file predicts on LiteRT, without waiting for TensorFlow.
if TYPE_CHECKING:
    import keras


__all__ = ["FERCNNClassifier"]


class FERCNNClassifier(
    NetworkMixin, PredictionMixin, ImageTagsMixin, ClassifierMixin, BaseEstimator
):
    """Convolutional neural network for images of faces, trained with Keras.

    Parameters
    ----------
    architecture : str, callable or None, default=None
        A key of ``fer_sklearn.cnn.architectures.ARCHITECTURES``, such as ``"resnet_se"`` or
        ``"mobilenet_v3_small"``, or a function ``(meta)`` or ``(meta, dropout)`` that returns an
        uncompiled ``keras.Model``. Initial weights are drawn from `random_state`, except in layers
        with ``trainable=False``, which keep theirs. If None, the architecture of `initial_weights`
        if these are bundled or an ``.npz`` file, otherwise ``"conv3"``.
    epochs : int, default=50
        Number of passes over the training images.
    batch_size : int, default=64
        Number of images per batch.
    optimizer : str or keras.optimizers.Optimizer, default="adam"
        The name of a Keras optimizer, configured with `learning_rate` and `weight_decay`
        (``"sgd"`` also with Nesterov momentum of 0.9), or an instance, in which case both
        parameters are ignored.
    learning_rate : float, default=1e-3
        The constant learning rate or, with a schedule, the peak.
    learning_rate_schedule : {None, "cosine"}, default=None
        ``"cosine"`` rises over the first twentieth of training and decays to zero.
    weight_decay : float, default=0.0
        Decoupled weight decay, relative to the learning rate.
    class_weight : None, "balanced" or dict, default=None
        Factors on the loss of each class, as in scikit-learn; 1 for labels that a dict does not
        contain. :meth:`partial_fit` does not support ``"balanced"``.
    augmentation : None, bool or mapping, default=None
        Random changes to training images. True uses the defaults; a mapping sets some of
        ``flip``, ``rotation``, ``shift``, ``zoom``, ``crop``, ``brightness``, ``contrast``,
        ``erasing`` and ``mixup``. See :mod:`fer_sklearn.cnn.augmentation`.
    validation_fraction : float or None, default=None
        Fraction of the images to hold out, shuffled and stratified by label, and to score
        after each epoch. If None, 0.1 with `early_stopping`, otherwise no images.
    early_stopping : bool, default=False
        Whether to stop when the validation accuracy has not improved for `patience` epochs,
        and restore the weights of the best epoch.
    patience : int, default=10
        Number of epochs to wait for an improvement.
    dropout : float or None, default=None
        Dropout rate. If None, the architecture's default.
    loss : {"crossentropy", "focal"}, default="crossentropy"
        Loss function to minimise. ``"focal"`` multiplies the cross-entropy of each image by
        ``(1 - p) ** 2``, where `p` is the predicted probability of its label, so that images
        which are already classified correctly count little (Lin et al. 2017,
        arXiv:1708.02002).
    label_smoothing : float, default=0.0
        Fraction of each target to spread over all classes (Szegedy et al. 2016).
    auxiliary_weight : float, default=1.0
        Factor on the cross-entropy of the second label set, if `fit` gets `auxiliary_targets`.
    initial_weights : None, str or Path, default=None
        Weights to start `fit` from. If None, they are drawn at random. ``"default"`` and ``"tiny"``
        are bundled, and an ``.npz`` file of :mod:`fer_sklearn.weights` is used like them. Training
        starts from their body for any labels, and also from their head if the file contains all
        labels in `y`; otherwise from a head that is learned as with ``trainable="head"``.
        ``"imagenet"`` downloads the weights of a backbone through Keras. A ``.weights.h5`` file
        contains weights that Keras saved.
    trainable : {"head", "last_stage", "all"}, default="all"
        The layers that `fit` trains:

        ``"head"``: only the last layer. It is learned as a logistic regression on its input, the
        embedding, which takes seconds and no epochs. With a bundled network, neither TensorFlow nor
        Keras is needed to train it or to predict.

        ``"last_stage"``: also the last of the stages, a stage being a run of layers at one
        resolution. ``"all"``: the whole network.
    head_C : float, default=0.03
        Inverse of the regularisation strength of a head that is learned as a logistic regression.
        Like `C` of ``sklearn.linear_model.LogisticRegression``, for features with a variance of 1.
    unfreeze_after : int or None, default=None
        Number of epochs after which frozen stages are trained too, with a fresh optimizer and
        schedule. If None, they stay frozen. With it, a head is trained by epochs as well.
    callbacks : list of keras.callbacks.Callback or None, default=None
        Each fit uses copies of them, which are stored in ``callbacks_``.
    warm_start : bool, default=False
        Whether `fit` starts from the weights of the previous fit.
    dtype_policy : {"float32", "mixed_bfloat16"}, default="float32"
        Data type in which layers compute. ``"mixed_bfloat16"`` needs less memory, and is faster on
        recent GPUs but slower on most CPUs.
    save_optimizer : bool, default=False
        Whether to keep the optimizer state, including in pickles, so that `partial_fit` can
        resume in another process. Roughly triples the file size. Discarded after a `fit` with
        a learning rate schedule, which has run to completion.
    test_time_augmentation : bool, default=False
        Whether to average the probabilities of each image and its mirror image. Prediction
        takes twice as long.
    checkpoint_dir : str, Path or None, default=None
        Folder in which `fit` writes a checkpoint after each epoch. Calling `fit` again with
        the same data and parameters, among them an integer `random_state`, resumes from it and
        ends with the same weights as an uninterrupted run on the same machine. A finished fit
        is loaded instead of repeated. You can delete the folder at any time.
    random_state : int, RandomState or None, default=None
        Determines the initial weights, the validation images, the order of the images,
        augmentation and dropout. An integer gives the same weights in any process or thread.
    verbose : int, default=0
        If 1, print one line per epoch.

    Attributes
    ----------
    architecture_ : str or callable
        The architecture of the network.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    auxiliary_classes_ : ndarray of shape (n_auxiliary,) or None
        The labels of the second label set, sorted; None without one. See
        :meth:`auxiliary_classifier`.
    model_ : keras.Model
        The trained network, uncompiled. It maps ``(n, h, w, 1)`` or ``(n, h, w, 3)`` float32 to
        probabilities. If the classifier predicts on LiteRT, reading this attribute loads Keras, on
        which it predicts from then on.
    history_ : dict of str to list of float
        ``loss``, ``accuracy`` and, with validation images, ``val_loss`` and ``val_accuracy``,
        one value per epoch; with a second label set also its cross-entropy, ``auxiliary_loss``.
    n_iter_ : int
        Number of epochs trained.
    n_parameters_ : int
        Number of weights of the network, including those that are not trained.
    image_shape_ : tuple of int
        Height and width of the images seen in fit.
    n_channels_ : int
        1 for grey images, 3 for images in colour.
    n_features_in_ : int
        Number of values per image.
    training_rows_ : ndarray of shape (n_rows, 6), uint8
        Digest of the images seen in fit, which lets `evaluate` recognise them.
    pixel_range_ : tuple of float
        Lowest and highest pixel seen in fit, after scaling integers to [0, 1].

    See Also
    --------
    fer_sklearn.make_cnn_pipeline : Pipeline that also detects, resizes and normalises faces.
    fer_sklearn.load_pretrained : Fitted pipeline with bundled weights.

    Notes
    -----
    `X` has shape ``(n, h, w)``, ``(n, h, w, 1)`` or, flattened, ``(n, h * w)``; in colour,
    ``(n, h, w, 3)``. It may also be a list or Series of paths or Pillow images of one size, which
    are converted to grey, or to RGB for a network that was fitted on arrays in colour. Integer
    pixels must be in 0..255 and are scaled to [0, 1]. Float pixels are used as they are; `predict`
    rejects pixels in a different range from those seen in `fit`.

    A head that is learned alone (``trainable="head"`` without `unfreeze_after`) depends on
    `class_weight`, `head_C` and the arguments of `fit`, and not on the other parameters of
    training. Mirror images are learned too if `augmentation` flips images or
    `test_time_augmentation` is set. If a weights file contains all labels, the head stays close to
    that of the file, so that a few images adapt it rather than replace it. Embeddings are kept in
    memory, as by :class:`~fer_sklearn.FaceEmbedder`, so that a search over the head runs the body
    only once per image. If the weights have no LiteRT model, or LiteRT is not installed, Keras
    computes the embedding; the heads differ by rounding, since LiteRT runs the bundled networks
    with integer arithmetic.

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
        "architecture": [str, callable, None],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [str, KerasOptimizer],
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
        "auxiliary_weight": [Interval(Real, 0, None, closed="neither")],
        "callbacks": [None, list, tuple],
        "warm_start": ["boolean"],
        "dtype_policy": [Options(str, {"float32", "mixed_bfloat16"})],
        "save_optimizer": ["boolean"],
        "initial_weights": [None, str, Path],
        "trainable": [StrOptions({"head", "last_stage", "all"})],
        "head_C": [Interval(Real, 0, None, closed="neither")],
        "unfreeze_after": [None, Interval(Integral, 1, None, closed="left")],
        "test_time_augmentation": ["boolean"],
        "checkpoint_dir": [None, str, Path],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
        architecture: str | Callable[..., keras.Model] | None = None,
        epochs: int = 50,
        batch_size: int = 64,
        optimizer: str | keras.optimizers.Optimizer = "adam",
        learning_rate: float = 1e-3,
        learning_rate_schedule: Literal["cosine"] | None = None,
        weight_decay: float = 0.0,
        class_weight: Mapping | Literal["balanced"] | None = None,
        augmentation: bool | Mapping[str, float] | None = None,
        validation_fraction: float | None = None,
        early_stopping: bool = False,
        patience: int = 10,
        dropout: float | None = None,
        loss: Literal["crossentropy", "focal"] = "crossentropy",
        label_smoothing: float = 0.0,
        auxiliary_weight: float = 1.0,
        initial_weights: str | Path | None = None,
        trainable: Literal["head", "last_stage", "all"] = "all",
        head_C: float = 0.03,
        unfreeze_after: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
        warm_start: bool = False,
        dtype_policy: Literal["float32", "mixed_bfloat16"] = "float32",
        save_optimizer: bool = False,
        test_time_augmentation: bool = False,
        checkpoint_dir: str | Path | None = None,
        random_state: RandomState = None,
        verbose: int = 0,
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
        self.auxiliary_weight = auxiliary_weight
        self.initial_weights = initial_weights
        self.trainable = trainable
        self.head_C = head_C
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
    @keeps_fit_on_failure
    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        soft_targets: ArrayLike | None = None,
        auxiliary_targets: ArrayLike | None = None,
    ) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array-like of shape (n, h, w), (n, h, w, 1 | 3) or (n, h * w), or list of photos
            Integer pixels in 0..255, or finite floats.
        y : array-like of shape (n,)
            Labels, of at least two classes.
        sample_weight : array-like of shape (n,) or None
            Factors on the loss of each image.
        soft_targets : array-like of shape (n, n_classes) or None
            Probabilities to learn instead of `y`, in the order of the sorted labels: those of
            a teacher (Hinton et al. 2015, arXiv:1503.02531), or of several annotators. `y` then
            only provides the classes, and the strata of validation images.
        auxiliary_targets : array-like of shape (n, n_auxiliary), DataFrame or None
            Probabilities of a second label set, such as people's votes, which a second head on the
            same network learns. The columns of a DataFrame name the labels; otherwise they are
            numbered. Rows of zeros stand for images without targets.

        Returns
        -------
        self : FERCNNClassifier
        """
        is_resuming = self.warm_start and self.__sklearn_is_fitted__()
        learns_head = learns_head_alone(self)
        on_litert = learns_head and not is_resuming and has_embedding(self.initial_weights)
        if not on_litert:
            load_keras()
        data = check_training_data(
            self,
            X,
            y,
            sample_weight,
            soft_targets=soft_targets,
            auxiliary_targets=auxiliary_targets,
            reset=not is_resuming,
        )
        if learns_head:
            self._seed = -1  # drawn if training continues: learning a head is not random
            return self._learn_head(data, on_litert=on_litert, is_resuming=is_resuming)
        self._seed = draw_seed(self.random_state)
        from ._checkpoints import open_checkpoint
        from ._compiled import TrainingState
        from ._fit import copy_callbacks, initial_state, train_all_epochs

        data, validation = train_validation_split(self, data, self._seed)
        if is_resuming:
            self._check_continues()
            start: TrainingState | None = TrainingState(self._all_weights())
        else:
            start = initial_state(self, self._seed, data)
        self.callbacks_ = copy_callbacks(self.callbacks)
        checkpoint = open_checkpoint(self, self._spec(), data, validation, start)
        trained = train_all_epochs(self, data, validation, self._seed, start, checkpoint)
        return self._set_trained(trained)

    @fit_context(prefer_skip_nested_validation=True)
    @keeps_fit_on_failure
    def partial_fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        auxiliary_targets: ArrayLike | None = None,
    ) -> Self:
        """Train for one more epoch on these images.

        No images are held out, and the learning rate is constant.

        Parameters
        ----------
        X, y, sample_weight, auxiliary_targets
            As in :meth:`fit`; `y` need not contain all classes. A second label set must be in
            all calls or in none.
        classes : array-like of shape (n_classes,) or None
            All labels that any call will contain. Required in the first call, unless its `y`
            contains all of them.

        Returns
        -------
        self : FERCNNClassifier
        """
        load_keras()
        from ._compiled import TrainingState
        from ._fit import copy_callbacks, initial_state, train_one_epoch

        is_first_call = not self.__sklearn_is_fitted__()
        data = check_training_data(
            self,
            X,
            y,
            sample_weight,
            is_partial=True,
            classes=classes,
            auxiliary_targets=auxiliary_targets,
            reset=is_first_call,
        )
        if is_first_call or self._seed < 0:
            self._seed = draw_seed(self.random_state)
        if is_first_call:
            start = initial_state(self, self._seed)
        else:
            self._check_continues()
            start = TrainingState(
                self._all_weights(), self._optimizer_state, self.n_iter_, self.history_
            )
        self.callbacks_ = copy_callbacks(self.callbacks)
        return self._set_trained(train_one_epoch(self, data, self._seed, start))

    def load_weights(self, *, runtime: Literal["keras", "litert"] = "keras") -> Self:
        """Load `initial_weights` and become fitted, without training.

        Parameters
        ----------
        runtime : {"keras", "litert"}, default="keras"
            The runtime that predicts: Keras, or LiteRT with the model in the file, which starts
            without TensorFlow. Training loads Keras in any case, and so does reading `model_`; from
            then on Keras predicts.

        Returns
        -------
        self : FERCNNClassifier

        Raises
        ------
        ValueError
            Unless `initial_weights` is the name of bundled weights or an ``.npz`` file. Other
            files do not state their labels and image size. Also if the file has no LiteRT model
            but `runtime` requires it.
        """
        check_choice("runtime", runtime, ("keras", "litert"))
        name = str(self.initial_weights)
        weights = read_weights(name)
        network = WeightsNetwork(name) if runtime == "litert" else None
        apply_weights_metadata(self, weights.description)
        self._seed = -1  # drawn if training continues: loading is not random
        return self._set_weights(weights.arrays, network, {"loss": [], "accuracy": []})

    def auxiliary_classifier(self) -> Self:
        """Return a classifier that predicts the second label set.

        It is fitted, and independent of this one: a copy with the second head in place of the
        first. Like any other, it can be evaluated, explained, exported and put into a pipeline.

        Returns
        -------
        FERCNNClassifier
            Its ``classes_`` are the ``auxiliary_classes_`` of this one.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        AttributeError
            If it was fitted without `auxiliary_targets`.

        Examples
        --------
        >>> import numpy as np
        >>> from fer_sklearn import FERCNNClassifier, make_faces
        >>> X, y = make_faces(70, size=24, random_state=0, return_X_y=True)
        >>> smiles = np.where(y == "happy", 1.0, 0.0)
        >>> clf = FERCNNClassifier(epochs=1, random_state=0)
        >>> clf = clf.fit(X, y, auxiliary_targets=np.column_stack([1 - smiles, smiles]))
        >>> clf.auxiliary_classifier().predict_proba(X[:2]).shape
        (2, 2)
        """
        check_is_fitted(self)
        if self.auxiliary_classes_ is None:
            raise AttributeError(
                "The network has one label set. Fit it with auxiliary_targets to add a second one."
            )
        second = copy.copy(self)
        second.classes_ = self.auxiliary_classes_
        if "_litert" in vars(self):
            return second._with_head(self._auxiliary_head)
        load_keras()
        from ._fit import TrainedNetwork
        from ._heads import replace_head

        model = replace_head(self.model_, self._auxiliary_head)
        return second._set_trained(TrainedNetwork(model, None, self.history_))

    def to_float32(self) -> Self:
        """Return this classifier with a network that computes in float32, as exports need it.

        Returns
        -------
        FERCNNClassifier
            `self` if ``dtype_policy="float32"``. Otherwise a fitted copy with the same
            weights, whose probabilities differ by rounding.

        Raises
        ------
        NotFittedError
            If the classifier is not fitted.
        """
        check_is_fitted(self)
        return self if self.dtype_policy == "float32" else self._in_float32()
