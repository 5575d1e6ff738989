"""The LiteRT runtime, formerly TensorFlow Lite: networks without TensorFlow."""

from __future__ import annotations

import math
import os
import queue
from collections.abc import Callable
from typing import Any

import numpy as np

from .typing import FloatArray

__all__ = [
    "LiteRTNetwork",
    "average_mirror_images",
    "count_processors",
    "is_litert_installed",
]

_MAX_THREADS = 4
# Larger batches take more memory, and more time per image: their maps leave the cache.
_IMAGES_AT_A_TIME = 16


def is_litert_installed() -> bool:
    """Return whether the LiteRT runtime is installed; it is not available for every platform."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return True


def count_processors() -> int:
    """Return how many processors this process may use, in a container too."""
    if hasattr(os, "sched_getaffinity"):
        n_processors = len(os.sched_getaffinity(0))
    else:
        n_processors = os.cpu_count() or 1
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = map(int, file.read().split())
    except (OSError, ValueError):  # no control group, or no limit: "max"
        return n_processors
    return max(1, min(n_processors, math.ceil(quota / period)))


class LiteRTNetwork:
    """A LiteRT model with one input. Several threads may call it at once.

    Parameters
    ----------
    content : bytes
        The contents of a ``.tflite`` file.
    n_threads : int or None, default=None
        Threads per call. If None, one per processor, at most four.
    batch_size : int or None, default=None
        The only batch size that the model takes. If None, any.
    """

    def __init__(
        self, content: bytes, *, n_threads: int | None = None, batch_size: int | None = None
    ) -> None:
        self._content, self._n_threads, self._batch_size = content, n_threads, batch_size
        self._idle: queue.LifoQueue = queue.LifoQueue()

    def __call__(self, images: FloatArray) -> FloatArray:
        """Compute the outputs for a batch.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, channels), float32
            In the range of the original model, also if this one is quantised.

        Returns
        -------
        ndarray of shape (n, n_outputs), float32
            Several outputs are concatenated, in the order of the model.
        """
        try:
            interpreter = self._idle.get_nowait()
        except queue.Empty:
            interpreter = self._make_interpreter()
        step = self._batch_size or _IMAGES_AT_A_TIME
        outputs = [
            _run_padded(interpreter, images[start : start + step], self._batch_size)
            for start in range(0, len(images), step)
        ]
        self._idle.put(interpreter)
        return np.concatenate(outputs)

    def __getstate__(self) -> dict[str, Any]:
        # Interpreters cannot be copied. They are made when needed.
        return {name: value for name, value in vars(self).items() if name != "_idle"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _idle=queue.LifoQueue())

    def _make_interpreter(self):
        from ai_edge_litert.interpreter import Interpreter

        n_threads = self._n_threads or min(count_processors(), _MAX_THREADS)
        interpreter = Interpreter(model_content=self._content, num_threads=n_threads)
        interpreter.allocate_tensors()
        return interpreter


def average_mirror_images(
    predict_batch: Callable[[FloatArray], FloatArray], images: FloatArray
) -> FloatArray:
    """Average what a network predicts for images and for their mirror images.

    Parameters
    ----------
    predict_batch : callable
        From images to probabilities.
    images : ndarray of shape (n, h, w, channels), float32

    Returns
    -------
    ndarray of shape (n, n_classes), float32
    """
    both = predict_batch(np.concatenate([images, images[:, :, ::-1]]))
    return (both[: len(images)] + both[len(images) :]) / 2


def _run_padded(interpreter, images, size):
    """Run one batch, padded to `size` images, if that is fixed, with copies of the last one."""
    (given,) = interpreter.get_input_details()
    n_images = len(images)
    if size is not None and n_images < size:
        images = np.concatenate([images, np.repeat(images[-1:], size - n_images, axis=0)])
    if tuple(given["shape"]) != images.shape:
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], _quantized(images, given))
    interpreter.invoke()
    outputs = [
        _dequantized(interpreter.get_tensor(output["index"]), output)
        for output in interpreter.get_output_details()
    ]
    return (outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1))[:n_images]


def _quantized(images, tensor):
    if tensor["dtype"] == np.float32:
        return images
    scale, zero = tensor["quantization"]
    levels = np.iinfo(tensor["dtype"])
    return np.clip(np.rint(images / scale) + zero, levels.min, levels.max).astype(tensor["dtype"])


def _dequantized(outputs, tensor):
    if tensor["dtype"] == np.float32:
        return outputs
    scale, zero = tensor["quantization"]
    return (outputs.astype(np.float32) - zero) * np.float32(scale)
