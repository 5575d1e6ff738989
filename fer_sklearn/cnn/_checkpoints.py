"""Where a training that may be killed writes after each epoch, and the callbacks of that."""

import hashlib
import json
import zipfile
from functools import partial
from pathlib import Path

import keras
import numpy as np

from .._utils.files import atomic_write
from ._compiled import TrainingState, copied_weights, derive_seeds, optimizer_values

__all__ = ["Checkpoint", "CheckpointEachEpoch", "EarlyStopping", "ReseedEachEpoch", "fingerprint"]

_FORMAT = 1


class Checkpoint:
    """One training's file in a folder of checkpoints.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.
    name : str
        What the training is, as from :func:`fingerprint`: another training has another
        file, so that a search can run all its fits in one folder.
    """

    def __init__(self, folder, name):
        self.path = Path(folder) / f"{name}.npz"
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise NotADirectoryError(
                f"checkpoint_dir={str(folder)!r} is a file; name a folder."
            ) from None

    def read(self):
        """Return the :class:`TrainingState` that was last written, None before the first."""
        try:
            with np.load(self.path) as file:
                arrays = dict(file)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"The checkpoint {str(self.path)!r} cannot be read ({error}): it is damaged. "
                f"Delete it to train from the start."
            ) from error
        state = json.loads(str(arrays["state"]))
        lists = {
            name: None if length is None else [arrays[f"{name}_{i}"] for i in range(length)]
            for name, length in state.pop("lengths").items()
        }
        stopper = state.pop("stopper")
        if stopper is not None:
            stopper["best_weights"] = lists.pop("best_weights")
        lists.pop("best_weights", None)
        return TrainingState(**state, **lists, stopper=stopper)

    def write(self, state):
        """Put `state` in place of the one before; a kill leaves the one or the other."""
        stopper = dict(state.stopper) if state.stopper else None
        best = stopper.pop("best_weights") if stopper else None
        lists = {"weights": state.weights, "optimizer": state.optimizer, "best_weights": best}
        arrays = {
            f"{name}_{i}": value
            for name, values in lists.items()
            for i, value in enumerate(values or ())
        }
        described = {
            "epoch": state.epoch,
            "history": state.history,
            "finished": state.finished,
            "stopper": stopper,
            "lengths": {k: None if v is None else len(v) for k, v in lists.items()},
        }
        with atomic_write(self.path) as file:
            np.savez(file, state=np.array(json.dumps(described)), **arrays)


def fingerprint(settings, arrays):
    """Name a training by everything that decides its outcome.

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
            digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:20]


def _described(value):
    if isinstance(value, partial):
        return [_described(value.func), list(value.args), value.keywords]
    if callable(value):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, np.generic):
        return value.item()
    return str(value)


class ReseedEachEpoch(keras.callbacks.Callback):
    """Seed dropout and its kin anew at each epoch, so that training can be taken up there."""

    def __init__(self, seed):
        super().__init__()
        self._seed = seed

    def on_epoch_begin(self, epoch, logs=None):
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        seeds = derive_seeds(self._seed, 3 + epoch, len(states))
        for state, value in zip(states, seeds, strict=True):
            state.assign(np.array([value, 0], np.uint32))


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's, by the accuracy on held-out images, able to go on in another process."""

    _REMEMBERED = ("wait", "best", "best_epoch", "best_weights")

    def __init__(self, patience):
        super().__init__("val_accuracy", mode="max", patience=patience, restore_best_weights=True)
        self._resumed = None

    def resume(self, remembered):
        """Take what :meth:`remembered` returned as the start of the next training."""
        self._resumed = remembered

    def remembered(self):
        """Return what has to outlive the process."""
        values = {name: getattr(self, name) for name in self._REMEMBERED}
        values["best"] = None if values["best"] is None else float(values["best"])
        return values

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        for name, value in (self._resumed or {}).items():
            setattr(self, name, value)
        self._resumed = None


class CheckpointEachEpoch(keras.callbacks.Callback):
    """Write a checkpoint after every epoch; to come after :class:`EarlyStopping`.

    Parameters
    ----------
    checkpoint : Checkpoint
    history : dict of str to list of float
        Of the epochs before this training.
    stopper : EarlyStopping or None
    """

    def __init__(self, checkpoint, history, stopper):
        super().__init__()
        self._checkpoint = checkpoint
        self._history = {name: list(values) for name, values in history.items()}
        self._stopper = stopper

    def on_epoch_end(self, epoch, logs=None):
        for name, value in logs.items():
            self._history.setdefault(name, []).append(float(value))
        if self.model.stop_training:
            return  # One that goes on from here would train an epoch too many.
        self._checkpoint.write(
            TrainingState(
                copied_weights(self.model),
                optimizer_values(self.model.optimizer),
                epoch + 1,
                history=self._history,
                stopper=self._stopper and self._stopper.remembered(),
            )
        )
