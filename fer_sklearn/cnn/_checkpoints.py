"""Checkpoints and callbacks: the state of training, on disk and on the screen."""

from __future__ import annotations

import hashlib
import json
import sys
import time
import types
import zipfile
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .. import __version__
from .._utils.files import atomic_write
from .._utils.typing import Estimator, PathLike
from ._compiled import (
    NetworkSpec,
    TrainingState,
    copied_weights,
    derive_seeds,
    describe_optimizer,
    optimizer_values,
)
from ._data import TrainingData
from ._description import callback_state, describe, describe_network
from .architectures._build import is_named

__all__ = [
    "Checkpoint",
    "CheckpointEachEpoch",
    "EpochBar",
    "EpochLines",
    "ReseedEachEpoch",
    "fingerprint",
    "open_checkpoint",
    "restore_callbacks",
    "save_callbacks",
]

_FORMAT = 3

# Parameters that do not affect the outcome of training, or are described separately.
_NOT_FINGERPRINTED = {
    *("architecture", "callbacks", "checkpoint_dir", "optimizer"),
    *("test_time_augmentation", "verbose", "warm_start"),
}
# Without tqdm's counts of steps, so that the scores fit on a narrow terminal.
_BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


def open_checkpoint(
    estimator: Estimator,
    spec: NetworkSpec,
    data: TrainingData,
    validation: TrainingData | None,
    start: TrainingState | None,
) -> Checkpoint | None:
    """Return the checkpoint of this fit, None if the estimator has no `checkpoint_dir`.

    Parameters
    ----------
    estimator : FERCNNClassifier
    spec : NetworkSpec
        Its network.
    data : TrainingData
    validation : TrainingData or None
    start : TrainingState or None
        Where training starts from.

    Raises
    ------
    ValueError
        If `random_state` is not an integer, or something that determines the outcome cannot be
        described, so that a checkpoint could not be matched to its fit.
    NotADirectoryError
        If `checkpoint_dir` is a file.
    """
    if estimator.checkpoint_dir is None:
        return None
    folder = str(estimator.checkpoint_dir)
    if not isinstance(estimator.random_state, Integral):
        raise ValueError(
            f"random_state={estimator.random_state!r} with checkpoint_dir={folder!r}: expected an "
            f"integer, so that an interrupted run can be identified. Pass random_state=0, for "
            f"example."
        )
    parameters = estimator.get_params(deep=False)
    optimizer, _ = describe_optimizer(
        estimator.optimizer,
        estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        cosine_steps=None,
    )
    network, frozen = _describe_built(spec, estimator._seed, folder)
    settings = {
        "version": __version__,
        "network": network,
        "parameters": describe(
            {k: v for k, v in parameters.items() if k not in _NOT_FINGERPRINTED}
        ),
        "optimizer": [optimizer, describe(spec.optimizer_classes)],
        "callbacks": _describe_callbacks(estimator.callbacks_),
        "classes": describe([estimator.classes_, estimator.auxiliary_classes_]),
    }
    arrays: dict[str, Any] = {f"data {name}": array for name, array in vars(data).items()}
    if validation is not None:
        arrays |= {f"validation {name}": array for name, array in vars(validation).items()}
    starts = start.weights if start else frozen
    arrays |= {f"start {i}": array for i, array in enumerate(starts)}
    return Checkpoint(estimator.checkpoint_dir, fingerprint(settings, arrays))


def _describe_built(spec, seed, folder):
    """Describe a network, and return the weights that its frozen layers keep."""
    if is_named(spec.architecture):
        return describe(spec.architecture), []
    model = spec.build_for_training(seed)
    try:
        described = describe_network(model)
    except TypeError as error:
        raise ValueError(
            f"checkpoint_dir={folder!r} needs a network that can be described, so that a "
            f"checkpoint is not mistaken for that of another network. {error} Or leave "
            f"checkpoint_dir=None."
        ) from error
    weights = zip(model.weights, model.get_weights(), strict=True)
    return described, [array for variable, array in weights if not variable.trainable]


def _describe_callbacks(callbacks):
    described = []
    for i, callback in enumerate(callbacks):
        if type(callback) not in _WATCHING:
            try:
                described.append(describe(callback))
            except TypeError as error:
                raise _cannot_resume(i, callback, error) from error
    save_callbacks(callbacks)
    return described


def _cannot_resume(i, callback, error):
    return ValueError(
        f"checkpoint_dir cannot be combined with callbacks[{i}], a {type(callback).__name__}: it "
        f"keeps {error}, so interrupted training could not resume exactly where it stopped. "
        f"Keep only numbers, text, arrays and lists of these in its attributes, or leave "
        f"checkpoint_dir=None."
    )


class Checkpoint:
    """The file of one fit in a folder of checkpoints.

    Parameters
    ----------
    folder : str or path-like
        Created if it does not exist.
    name : str
        Identifies the fit, as :func:`fingerprint` does. Different fits have different files, so
        that all fits of a search can share one folder.

    Raises
    ------
    NotADirectoryError
        If `folder` is a file.
    """

    def __init__(self, folder: PathLike, name: str):
        self.path = Path(folder) / f"{name}.npz"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise NotADirectoryError(
                f"checkpoint_dir={str(folder)!r} is a file; expected a folder. Choose another path."
            ) from None

    def read(self) -> TrainingState | None:
        """Return the state that was last written, None if there is none.

        Raises
        ------
        ValueError
            If the file is corrupt.
        """
        try:
            with np.load(self.path) as file:
                arrays = dict(file)
            state = json.loads(str(arrays["state"]))
            values = [arrays[f"array_{i}"] for i in range(state.pop("n_arrays"))]
            return TrainingState(**_decoded(state.pop("parts"), values), **state)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} is corrupt and cannot be read ({error}). "
                f"Delete it to train from the start."
            ) from error

    def write(self, state: TrainingState) -> None:
        """Replace the previous state; after a crash, the file contains one or the other."""
        values: list[np.ndarray] = []
        parts = {name: getattr(state, name) for name in ("weights", "optimizer", "callbacks")}
        described = {
            "parts": _encoded(parts, values),
            "epoch": state.epoch,
            "history": state.history,
            "finished": state.finished,
            "n_arrays": len(values),
        }
        arrays: dict[str, Any] = {f"array_{i}": value for i, value in enumerate(values)}
        with atomic_write(self.path) as file:
            np.savez(file, allow_pickle=False, state=np.array(json.dumps(described)), **arrays)


def _encoded(value: Any, arrays: list[np.ndarray]) -> Any:
    """Return a value as plain data for JSON; its arrays are appended to `arrays`."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype != object:
        arrays.append(np.asarray(value))
        return {"array": len(arrays) - 1, "is_scalar": isinstance(value, np.generic)}
    if isinstance(value, list):
        return [_encoded(item, arrays) for item in value]
    if isinstance(value, (tuple, set)):
        kind = "tuple" if isinstance(value, tuple) else "set"
        return {kind: [_encoded(item, arrays) for item in value]}
    if isinstance(value, dict):
        pairs = ((_encoded(k, arrays), _encoded(v, arrays)) for k, v in value.items())
        return {"mapping": list(pairs)}
    raise TypeError(f"a {type(value).__name__}, which a checkpoint cannot store")


def _decoded(value: Any, arrays: list[np.ndarray]) -> Any:
    """Undo :func:`_encoded`."""
    if isinstance(value, list):
        return [_decoded(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        array = arrays[value["array"]]
        return array[()] if value["is_scalar"] else array
    if "mapping" in value:
        return {_decoded(k, arrays): _decoded(v, arrays) for k, v in value["mapping"]}
    (kind, items), *_ = value.items()
    return {"tuple": tuple, "set": set}[kind](_decoded(items, arrays))


def _changing(callback):
    """Return the attributes of a callback that training may change."""
    constant = (types.ModuleType, types.FunctionType, types.MethodType, type, np.ufunc)
    return {
        name: value
        for name, value in callback_state(callback).items()
        if not isinstance(value, constant) and not hasattr(value, "get_config")
    }


def save_callbacks(callbacks: Sequence[keras.callbacks.Callback]) -> list[dict[str, Any]]:
    """Return the attributes of callbacks, for :func:`restore_callbacks`.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback

    Returns
    -------
    list of dict
        One per callback; empty for those that only watch.

    Raises
    ------
    ValueError
        If an attribute is anything other than numbers, text, arrays and containers of these.
    """
    states = []
    for i, callback in enumerate(callbacks):
        states.append({} if type(callback) in _WATCHING else _changing(callback))
        try:
            _encoded(states[-1], [])
        except TypeError as error:
            raise _cannot_resume(i, callback, error) from error
    return states


def restore_callbacks(
    callbacks: Sequence[keras.callbacks.Callback], states: Sequence[Mapping[str, Any]]
) -> None:
    """Restore the attributes of callbacks.

    Parameters
    ----------
    callbacks : sequence of keras.callbacks.Callback
    states : sequence of dict
        As returned by :func:`save_callbacks`, for these callbacks or for more.
    """
    for callback, state in zip(callbacks, states, strict=False):
        vars(callback).update(state)


def fingerprint(settings: Mapping[str, Any], arrays: Mapping[str, np.ndarray | None]) -> str:
    """Identify a fit by everything that determines its outcome.

    Parameters
    ----------
    settings : dict
        Plain data for JSON.
    arrays : mapping of str to ndarray or None
        Images, labels, weights.

    Returns
    -------
    str
        Twenty hexadecimal digits.
    """
    digest = hashlib.sha256(f"{_FORMAT}{json.dumps(settings, sort_keys=True)}".encode())
    for name, array in arrays.items():
        if array is not None:
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:20]


class CheckpointEachEpoch(keras.callbacks.Callback):
    """Write a checkpoint after every epoch but the last. Must come after all other callbacks.

    Anything that follows the last epoch, such as restoring the best weights, is part of it, so its
    checkpoint is written when training has ended. An epoch without a checkpoint is trained again.

    Parameters
    ----------
    checkpoint : Checkpoint
    history : dict of str to list of float
        History of the epochs before this training.
    last_epoch : int
        Number of epochs after which training ends.
    callbacks : sequence of keras.callbacks.Callback
        Their attributes are written too.
    states : sequence of dict or None, default=None
        The attributes that they had when this training was interrupted.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        history: Mapping[str, list],
        last_epoch: int,
        callbacks: Sequence[keras.callbacks.Callback],
        states: Sequence[Mapping[str, Any]] | None = None,
    ):
        super().__init__()
        self._checkpoint = checkpoint
        self._history = {name: list(values) for name, values in history.items()}
        self._last_epoch = last_epoch
        self._callbacks, self._states = callbacks, states

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Restore what the other callbacks have just reset."""
        restore_callbacks(self._callbacks, self._states or ())

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the state, unless training ends here."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        if self.model.stop_training or epoch + 1 == self._last_epoch:
            return
        self._checkpoint.write(
            TrainingState(
                copied_weights(self.model),
                optimizer_values(self.model.optimizer),
                epoch + 1,
                history=self._history,
                callbacks=save_callbacks(self._callbacks),
            )
        )


class ReseedEachEpoch(keras.callbacks.Callback):
    """Reseed dropout and other random layers at each epoch, so that training can resume there.

    Parameters
    ----------
    seed : int
    generator : keras.random.SeedGenerator or None, default=None
        The generator that random functions without a seed draw from.
    """

    def __init__(self, seed: int, generator: keras.random.SeedGenerator | None = None):
        super().__init__()
        self._seed, self._generator = seed, generator

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Assign seeds that depend on the epoch alone."""
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        states += [self._generator.state] if self._generator else []
        seeds = derive_seeds(self._seed, 3 + epoch, len(states))
        for state, value in zip(states, seeds, strict=True):
            state.assign(np.array([value, 0], np.uint32))


class EpochLines(keras.callbacks.Callback):
    """Print one line per epoch: loss, accuracy and seconds.

    ``FERCNNClassifier(verbose=1)`` adds it.

    Examples
    --------
    >>> from fer_sklearn import FERCNNClassifier, make_faces
    >>> from fer_sklearn.cnn import EpochLines
    >>> X, y = make_faces(70, size=24, random_state=0, return_X_y=True)
    >>> clf = FERCNNClassifier(epochs=1, callbacks=[EpochLines()], random_state=0).fit(X, y)
    epoch   1/1 | training: loss ..., accuracy ... % | ... s
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Print the line."""
        logs = logs or {}
        parts = [f"epoch {epoch + 1:3d}/{self.params['epochs']}"]
        for prefix, name in (("", "training"), ("val_", "validation")):
            if f"{prefix}loss" in logs:
                loss, accuracy = logs[f"{prefix}loss"], logs[f"{prefix}accuracy"]
                parts.append(f"{name}: loss {loss:.4f}, accuracy {100 * accuracy:5.2f} %")
        parts.append(f"{time.perf_counter() - self._began:.1f} s")
        print(" | ".join(parts), flush=True)


class EpochBar(keras.callbacks.Callback):
    """Show a progress bar over all epochs on stderr, with the latest accuracies.

    Pass it in `callbacks`; see :class:`EpochLines`.
    """

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Open the bar."""
        from tqdm import tqdm

        steps = self.params.get("steps")
        self._bar = tqdm(
            total=steps and steps * self.params["epochs"],
            file=sys.stderr,
            disable=sys.stderr is None,  # without a console
            bar_format=_BAR,
            dynamic_ncols=True,
        )

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Show the number of the epoch."""
        self._bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Advance the bar by one step."""
        self._bar.update()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Show the accuracies."""
        shown = {"accuracy": "accuracy", "val_accuracy": "validation"}
        scores = {name: f"{logs[key]:.1%}" for key, name in shown.items() if logs and key in logs}
        self._bar.set_postfix(scores)

    def on_train_end(self, logs: dict | None = None) -> None:
        """Close the bar."""
        self._bar.close()


# These only watch training, and do not affect it.
_WATCHING = (
    EpochBar,
    EpochLines,
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
)
