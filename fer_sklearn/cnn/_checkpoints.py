"""Checkpoints: the state of training on disk, and the callbacks that save and resume it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from functools import partial
from numbers import Integral
from pathlib import Path
from typing import Any

import keras
import numpy as np

from .._utils.files import atomic_write
from .._utils.typing import Estimator, PathLike
from ._compiled import (
    TrainingState,
    copied_weights,
    derive_seeds,
    describe_optimizer,
    optimizer_values,
)
from ._data import TrainingData

__all__ = [
    "Checkpoint",
    "CheckpointEachEpoch",
    "EarlyStopping",
    "ReseedEachEpoch",
    "fingerprint",
    "open_checkpoint",
]

_FORMAT = 2

# Parameters that do not affect the outcome of training. The optimizer is described separately.
_NOT_FINGERPRINTED = {
    *("callbacks", "checkpoint_dir", "optimizer", "save_optimizer"),
    *("test_time_augmentation", "verbose", "warm_start"),
}


def open_checkpoint(
    estimator: Estimator,
    data: TrainingData,
    validation: TrainingData | None,
    start: TrainingState | None,
) -> Checkpoint | None:
    """Return the checkpoint of this fit, None if the estimator has no `checkpoint_dir`.

    Parameters
    ----------
    estimator : FERCNNClassifier
    data : TrainingData
    validation : TrainingData or None
    start : TrainingState or None
        Where training starts from.

    Returns
    -------
    Checkpoint or None

    Raises
    ------
    ValueError
        If `random_state` is not an integer.
    NotADirectoryError
        If `checkpoint_dir` is a file.
    """
    if estimator.checkpoint_dir is None:
        return None
    if not isinstance(estimator.random_state, Integral):
        raise ValueError(
            f"random_state={estimator.random_state!r} with checkpoint_dir="
            f"{str(estimator.checkpoint_dir)!r}: expected an integer, so that an interrupted run "
            f"can be identified. Pass random_state=0, for example."
        )
    parameters = estimator.get_params(deep=False)
    settings = {k: v for k, v in parameters.items() if k not in _NOT_FINGERPRINTED}
    settings["optimizer"], _ = describe_optimizer(
        estimator.optimizer,
        estimator.learning_rate,
        weight_decay=estimator.weight_decay,
        cosine_steps=None,
    )
    settings["classes"] = [str(label) for label in estimator.classes_]
    parts = [*vars(data).values(), *(vars(validation).values() if validation else ())]
    return Checkpoint(
        estimator.checkpoint_dir,
        fingerprint(settings, [*parts, *(start.weights if start else ())]),
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
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} is corrupt and cannot be read ({error}). "
                f"Delete it to train from the start."
            ) from error
        state = json.loads(str(arrays["state"]))
        lists: dict[str, Any] = {
            name: None if length is None else [arrays[f"{name}_{i}"] for i in range(length)]
            for name, length in state.pop("lengths").items()
        }
        best_weights = lists.pop("best_weights")
        if state["early_stopping"] is not None:
            state["early_stopping"]["best_weights"] = best_weights
        return TrainingState(**state, **lists)

    def write(self, state: TrainingState) -> None:
        """Replace the previous state; after a crash, the file contains one or the other."""
        early_stopping = dict(state.early_stopping) if state.early_stopping else None
        best_weights = early_stopping.pop("best_weights") if early_stopping else None
        lists = {
            "weights": state.weights,
            "optimizer": state.optimizer,
            "best_weights": best_weights,
        }
        arrays = {
            f"{name}_{i}": value
            for name, values in lists.items()
            for i, value in enumerate(values or ())
        }
        described = {
            "epoch": state.epoch,
            "history": state.history,
            "finished": state.finished,
            "early_stopping": early_stopping,
            "lengths": {k: None if v is None else len(v) for k, v in lists.items()},
        }
        with atomic_write(self.path) as file:
            np.savez(file, state=np.array(json.dumps(described)), **arrays)


def fingerprint(settings: Mapping[str, Any], arrays: Iterable[np.ndarray | None]) -> str:
    """Identify a fit by everything that determines its outcome.

    Parameters
    ----------
    settings : dict
        Numbers, strings, None, functions, and lists and dicts of these.
    arrays : iterable of ndarray or None
        Images, labels, weights.

    Returns
    -------
    str
        Twenty hexadecimal digits.
    """
    start = f"{_FORMAT}{json.dumps(settings, sort_keys=True, default=_described)}"
    digest = hashlib.sha256(start.encode())
    for array in arrays:
        if array is not None:
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:20]


def _described(value):
    if isinstance(value, partial):
        return [_described(value.func), list(value.args), value.keywords]
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


class CheckpointEachEpoch(keras.callbacks.Callback):
    """Write a checkpoint after every epoch. Must come after :class:`EarlyStopping`.

    Parameters
    ----------
    checkpoint : Checkpoint
    history : dict of str to list of float
        History of the epochs before this training.
    early_stopping : EarlyStopping or None
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        history: Mapping[str, list],
        early_stopping: EarlyStopping | None,
    ):
        super().__init__()
        self._checkpoint = checkpoint
        self._history = {name: list(values) for name, values in history.items()}
        self._early_stopping = early_stopping

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Write the state, unless training stops here."""
        for name, value in (logs or {}).items():
            self._history.setdefault(name, []).append(float(value))
        if self.model.stop_training:
            return  # Resuming from here would train one epoch too many.
        self._checkpoint.write(
            TrainingState(
                copied_weights(self.model),
                optimizer_values(self.model.optimizer),
                epoch + 1,
                history=self._history,
                early_stopping=self._early_stopping and self._early_stopping.state_dict(),
            )
        )


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's callback, monitoring the validation accuracy, that can resume in another process.

    Parameters
    ----------
    patience : int
        Number of epochs without improvement after which training stops.
    """

    _STATE = ("wait", "best", "best_epoch", "best_weights")

    def __init__(self, patience: int):
        super().__init__("val_accuracy", mode="max", patience=patience, restore_best_weights=True)
        self._resumed: dict | None = None

    def resume(self, state_dict: dict | None) -> None:
        """Start the next training from what :meth:`state_dict` returned."""
        self._resumed = state_dict

    def state_dict(self) -> dict[str, Any]:
        """Return the state to resume from."""
        values = {name: getattr(self, name) for name in self._STATE}
        values["best"] = None if values["best"] is None else float(values["best"])
        return values

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Reset the state, or restore the one to resume from."""
        super().on_train_begin(logs)
        for name, value in (self._resumed or {}).items():
            setattr(self, name, value)
        self._resumed = None


class ReseedEachEpoch(keras.callbacks.Callback):
    """Reseed dropout and other random layers at each epoch, so that training can resume there.

    Parameters
    ----------
    seed : int
    """

    def __init__(self, seed: int):
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Assign seeds that depend on the epoch alone."""
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        seeds = derive_seeds(self._seed, 3 + epoch, len(states))
        for state, value in zip(states, seeds, strict=True):
            state.assign(np.array([value, 0], np.uint32))
