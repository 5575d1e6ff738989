"""Where a training that may be killed writes after each epoch, and goes on later."""

import hashlib
import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np

from .._utils.files import atomic_write
from ._compiled import TrainingState

__all__ = ["Checkpoint", "fingerprint"]

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
