"""What happens at the ends of epochs: seeds, checkpoints, stopping in time, a line of text."""

import time

import keras
import numpy as np

from ._compiled import TrainingState, copied_weights, derive_seeds, optimizer_values

__all__ = ["CheckpointEachEpoch", "EarlyStopping", "EpochLines", "ReseedEachEpoch"]


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


class EpochLines(keras.callbacks.Callback):
    """Print one line an epoch: loss and accuracy of both parts, and seconds."""

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        parts = [f"epoch {epoch + 1:3d}/{self.params['epochs']}"]
        for prefix, name in (("", "training"), ("val_", "validation")):
            if f"{prefix}loss" in logs:
                loss, accuracy = logs[f"{prefix}loss"], logs[f"{prefix}accuracy"]
                parts.append(f"{name}: loss {loss:.4f}, accuracy {100 * accuracy:5.2f} %")
        parts.append(f"{time.perf_counter() - self._began:.1f} s")
        print(" | ".join(parts), flush=True)
