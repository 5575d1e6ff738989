"""A progress bar over the steps of all epochs. Importing this file loads Keras."""

import sys

from ._callbacks import EpochLines

__all__ = ["EpochBar"]

# Without tqdm's counts of steps, so that the scores stay in sight on a narrow terminal.
_BAR = "{desc}{percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class EpochBar(EpochLines):
    """Show epochs as a bar on stderr, where :class:`EpochLines` prints a line each."""

    def on_train_begin(self, logs=None):
        from tqdm import tqdm

        steps = self.params.get("steps")
        self._bar = tqdm(
            total=steps and steps * self.params["epochs"],
            file=sys.stderr,
            bar_format=_BAR,
            dynamic_ncols=True,
        )

    def on_epoch_begin(self, epoch, logs=None):
        self._bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch, logs=None):
        self._bar.update()

    def on_epoch_end(self, epoch, logs=None):
        shown = {"accuracy": "accuracy", "val_accuracy": "held out"}
        scores = {name: f"{logs[key]:.1%}" for key, name in shown.items() if key in logs}
        self._bar.set_postfix(scores)

    def on_train_end(self, logs=None):
        self._bar.close()
