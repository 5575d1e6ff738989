"""The network of a fitted classifier: plain data until Keras is needed, and then a model."""

from __future__ import annotations

import copy
import hashlib
import random
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .._utils.typing import FloatArray, LabelArray
from ..exceptions import MissingExtraError
from ..weights import WeightsNetwork, is_weights_file, read_weights
from ._own_labels import known_head, learn_heads

# Keras is imported when it is needed: a network from a weights file predicts on LiteRT.
if TYPE_CHECKING:
    import keras

    from ._compiled import NetworkSpec
    from ._data import TrainingData
    from ._fit import TrainedNetwork

__all__ = [
    "KerasOptimizer",
    "NetworkMixin",
    "compile_prediction",
    "load_keras",
    "shared_prediction",
]

# At most this many networks predict for several estimators.
_MAX_SHARED = 8
_shared: OrderedDict[str, Callable] = OrderedDict()  # least recently used first
_shared_lock = threading.Lock()


def load_keras() -> None:
    """Import Keras, and leave the global generators as they are.

    TensorFlow draws from NumPy's and Python's while it is imported.

    Raises
    ------
    MissingExtraError
        If Keras, its backend or scikeras are missing or broken.
    """
    if {"keras", "scikeras"} <= sys.modules.keys():
        return
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - others may use it
    try:
        import keras  # noqa: F401
        import scikeras  # noqa: F401
    except Exception as error:  # a broken TensorFlow may raise anything
        raise MissingExtraError(
            f"This needs TensorFlow, Keras and scikeras, which cannot be imported here ({error}). "
            f"Type: pip install --upgrade tensorflow scikeras. To predict without them, use "
            f"load_pretrained(), an exported file, or an SVM."
        ) from error
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


class _KerasOptimizers(type):
    """Recognises instances of Keras's optimizers; there are none before Keras is imported."""

    def __instancecheck__(cls, instance: object) -> bool:
        keras = sys.modules.get("keras")
        return keras is not None and isinstance(instance, keras.optimizers.Optimizer)


class KerasOptimizer(metaclass=_KerasOptimizers):
    """``keras.optimizers.Optimizer``, for checks of parameters."""


KerasOptimizer.__module__, KerasOptimizer.__qualname__ = "keras.optimizers", "Optimizer"


class NetworkMixin:
    """The fitted part of :class:`FERCNNClassifier`.

    Its network is one of two: ``_model``, a Keras model that belongs to this estimator, or
    ``_stored``, what :func:`network_to_state` returns, from a file or a pickle. The latter predicts
    on LiteRT, if ``_litert`` is set, or on a compiled network that it shares with all estimators
    that have the same weights, so that loading one repeatedly takes no extra memory.
    """

    _stored: dict[str, Any]
    _model: keras.Model
    _litert: WeightsNetwork
    _predict: Callable[[FloatArray], FloatArray]
    _auxiliary_head: list[np.ndarray] | None
    _optimizer_state: list[np.ndarray] | None
    architecture_: Any
    initial_weights: Any
    classes_: LabelArray
    dtype_policy: str
    save_optimizer: bool

    @property
    def model_(self) -> keras.Model:
        """The trained network, uncompiled."""
        if not self.__sklearn_is_fitted__():
            raise AttributeError(f"this {type(self).__name__} is not fitted: it has no 'model_'")
        if "_model" not in vars(self):
            model = self._built()
            self._forget_network()
            self._model = model
        from .architectures._build import check_process

        check_process()
        return self._model

    def __dir__(self) -> list[str]:
        # scikit-learn's own, and its table of attributes in notebooks, read every attribute listed
        # here. `model_` would load Keras, and from then on predict with it.
        left_out = set() if "_model" in vars(self) else {"model_"}
        names = [name for name in object.__dir__(self) if name not in left_out]
        return [name for name in names if hasattr(self, name)]

    @property
    def n_parameters_(self) -> int:
        """Number of weights of the network, including those that are not trained."""
        if "_model" in vars(self):
            return self._model.count_params()
        return sum(array.size for array in self._stored["weights"])

    def __sklearn_is_fitted__(self) -> bool:
        return "_model" in vars(self) or "_stored" in vars(self)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())  # type: ignore[call-overload]
        state.pop("_predict", None)  # compiled; made when needed
        state.pop("callbacks_", None)
        if "_model" in state:
            from ._description import network_to_state

            state["_stored"] = network_to_state(state.pop("_model"))
        if not self.save_optimizer and "_optimizer_state" in state:
            state["_optimizer_state"] = None
        return state

    def _predict_batch(self, images: FloatArray) -> FloatArray:
        if "_predict" not in vars(self):
            self._predict = self._make_predict()
        return self._predict(images)

    def _make_predict(self):
        if "_litert" in vars(self):
            return self._litert
        load_keras()
        if "_model" in vars(self):
            return compile_prediction(self._model)
        return shared_prediction(self._stored, self._spec(), self._built)

    def _built(self):
        """Build the stored network in Keras."""
        load_keras()
        from ._description import network_from_state

        return network_from_state(self._stored, self._spec().build)

    def _spec(self):
        from ._fit import network_spec

        return network_spec(self)[0]

    def _all_weights(self) -> list[np.ndarray]:
        """Return the weights of the network, and of the second head after them."""
        return [*self.model_.get_weights(), *(self._auxiliary_head or ())]

    def _check_continues(self):
        """Refuse to continue from the weights of another architecture."""
        from ._description import describe_layers

        if describe_layers(self._spec().build()) != describe_layers(self.model_):
            raise ValueError(
                f"architecture={self.architecture_!r} differs from that of the fitted network, "
                f"from whose weights training would continue. Restore it, or fit a new estimator, "
                f"for example clone(estimator)."
            )

    def _forget_network(self) -> None:
        for name in ("_model", "_stored", "_litert", "_predict"):
            self.__dict__.pop(name, None)

    def _set_trained(self, trained: TrainedNetwork) -> Self:
        """Set the attributes that training determines."""
        self._forget_network()
        self._model = trained.model
        self._predict = self._make_predict()  # now, since predicting changes no attribute
        self._record_training(trained.optimizer, trained.history, trained.head)
        return self

    def _set_weights(
        self,
        arrays: list[np.ndarray],
        network: WeightsNetwork | None,
        history: dict[str, list[float]],
        head: list[np.ndarray] | None = None,
    ) -> Self:
        """Become fitted with the arrays of a weights file, which `network` predicts with if given.

        Training continues with a fresh optimizer.
        """
        self._forget_network()
        self._stored = {"config": None, "objects": {}, "weights": arrays}
        if network is not None:
            self._litert = network
        self._record_training(None, history, head)
        return self

    def _with_head(self, head):
        """Put another head on the body that LiteRT runs."""
        arrays = [*self._stored["weights"][:-2], *head]
        return self._set_weights(arrays, self._litert.with_head(head), self.history_)

    def _in_float32(self) -> Self:
        """Return a copy with the same weights that computes in float32."""
        from ._fit import TrainedNetwork

        converted = copy.copy(self)
        converted.dtype_policy = "float32"
        model = converted._spec().build()
        model.set_weights(self.model_.get_weights())
        trained = TrainedNetwork(model, self._optimizer_state, self.history_, self._auxiliary_head)
        return converted._set_trained(trained)

    def _learn_head(self, data: TrainingData, *, on_litert: bool, is_resuming: bool) -> Self:
        """Learn a head, and leave the body as it is: that of LiteRT, or of a Keras model."""
        if on_litert:
            body, weights = WeightsNetwork(self.initial_weights), read_weights(self.initial_weights)
            learned = learn_heads(self, data, body.embed, known_head(weights, self.classes_))
            arrays, network = weights.arrays[:-2] + learned.head, body.with_head(learned.head)
            return self._set_weights(arrays, network, learned.history, learned.auxiliary)
        from ._fit import TrainedNetwork, initial_network
        from ._heads import embed_with, softmax_layer

        if is_resuming:
            self._check_continues()
        model, prior = initial_network(self), None
        if not is_resuming and is_weights_file(self.initial_weights):
            prior = known_head(read_weights(self.initial_weights), self.classes_)
        learned = learn_heads(self, data, embed_with(model), prior)
        softmax_layer(model).set_weights(learned.head)
        trained = TrainedNetwork(model, None, learned.history, learned.auxiliary)
        return self._set_trained(trained)

    def _record_training(
        self,
        optimizer: list[np.ndarray] | None,
        history: dict[str, list[float]],
        head: list[np.ndarray] | None = None,
    ) -> None:
        self._optimizer_state, self.history_, self._auxiliary_head = optimizer, history, head
        if head is None:
            self.auxiliary_classes_ = None
        self.n_iter_ = len(history["loss"])


def compile_prediction(model: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that predicts a batch of any size.

    Parameters
    ----------
    model : keras.Model
        The function follows later changes of its weights.

    Returns
    -------
    callable
        From ``(n, h, w, 1)`` float32 to ``(n, n_classes)`` probabilities, float32. It can be
        called from several threads, but not in a process that was forked after this one used
        Keras.
    """
    import keras

    from .architectures._build import check_process

    if keras.backend.backend() != "tensorflow":
        predict = model.predict_on_batch
    else:
        predict = _compile_for_tensorflow(model)

    def predict_batch(batch):
        check_process()
        y_proba = np.asarray(predict(batch))
        if y_proba.dtype == np.float32:
            return y_proba
        y_proba = y_proba.astype(np.float32)  # from half precision, with its coarse rounding
        return y_proba / y_proba.sum(axis=1, keepdims=True)

    return predict_batch


def _compile_for_tensorflow(model):
    import tensorflow as tf

    # One trace for all batch sizes; `predict_on_batch` would trace each new size again.
    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32)]
    compiled = tf.function(
        partial(model, training=False), input_signature=signature, autograph=False
    )
    return lambda batch: compiled(batch).numpy()


def shared_prediction(
    stored: dict[str, Any], spec: NetworkSpec, build: Callable[[], keras.Model]
) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function that predicts a batch, the same one for equal networks.

    TensorFlow never frees a compiled function, so loading a network repeatedly would fill the
    memory.

    Parameters
    ----------
    stored : dict
        The network, as :func:`network_to_state` returns it.
    spec : NetworkSpec
    build : callable
        Builds it.

    Returns
    -------
    callable
        As from :func:`compile_prediction`.
    """
    from .architectures._build import check_process, is_named

    check_process()
    if stored["config"] is None and not is_named(spec.architecture):
        return compile_prediction(build())  # it cannot be compared with known networks
    parts = stored["config"] or [spec.key(), sorted(stored["objects"])]
    digest = hashlib.sha256(repr(parts).encode())
    digest.update(repr([id(part) for part in stored["objects"].values()]).encode())
    for array in stored["weights"]:
        digest.update(np.ascontiguousarray(array).data)
    key = digest.hexdigest()
    with _shared_lock:
        if key not in _shared:
            _shared[key] = compile_prediction(build())
        _shared.move_to_end(key)
        predict = _shared[key]
        while len(_shared) > _MAX_SHARED:
            _shared.popitem(last=False)
    return predict
