"""The LiteRT runtime, formerly TensorFlow Lite: networks without TensorFlow."""

from __future__ import annotations

import hashlib
import math
import os
import queue
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from ..exceptions import MissingExtraError
from .compat import hidden_lines
from .typing import FloatArray

__all__ = [
    "LiteRTNetwork",
    "RowCache",
    "average_mirror_images",
    "count_processors",
    "is_litert_installed",
]

_MAX_THREADS = 4
# Larger batches take more memory, and more time per image: their feature maps do not fit the cache.
_IMAGES_AT_A_TIME = 16
# LiteRT prints this once, when it creates the first interpreter.
_START_UP = re.compile(rb"INFO: Created TensorFlow Lite")
# TensorFlow warns whenever it creates an interpreter, and all threads share the warning filters.
_QUIET = threading.Lock()
_FIRST, _STARTED = threading.Lock(), threading.Event()


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

    Where LiteRT is not installed, TensorFlow's own interpreter runs the model.

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
            In the range of the original model, even if this one is quantised.

        Returns
        -------
        ndarray of shape (n, …, n_outputs), float32
            Several outputs are concatenated along their last axis, in the order of the model.

        Raises
        ------
        MissingExtraError
            If neither LiteRT nor TensorFlow is installed.
        """
        missing = -len(images) % self._batch_size if self._batch_size else 0
        if missing:  # padded with copies of the last image
            images = np.concatenate([images, np.repeat(images[-1:], missing, axis=0)])
        try:
            interpreter = self._idle.get_nowait()
        except queue.Empty:
            interpreter = _make_quietly(self._content, self._n_threads)
        step = self._batch_size or _IMAGES_AT_A_TIME
        batches = (images[start : start + step] for start in range(0, len(images), step))
        parts = [interpreter.run(batch) for batch in batches]
        self._idle.put(interpreter)
        outputs = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return outputs[: len(outputs) - missing]

    def __getstate__(self) -> dict[str, Any]:
        # Interpreters cannot be copied. They are created when needed.
        return {name: value for name, value in vars(self).items() if name != "_idle"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _idle=queue.LifoQueue())


class RowCache:
    """Cache of the outputs of networks, one row per image.

    Folds of a cross-validation have most of their images in common, so images are recognised one
    by one, by their pixels. Several threads may use it at once.

    Parameters
    ----------
    max_bytes : int
        Size of the rows to keep; the least recently used ones are dropped.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._n_bytes = max_bytes, 0
        self._rows: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def compute(
        self, network: bytes, function: Callable[[FloatArray], FloatArray], images: FloatArray
    ) -> FloatArray:
        """Return ``function(images)``, but call it only with the images that are not cached.

        Parameters
        ----------
        network : bytes
            Identifies `function`.
        function : callable
            From images to rows of shape (n, n_outputs), float32.
        images : ndarray of shape (n, h, w, channels), float32

        Returns
        -------
        ndarray of shape (n, n_outputs), float32
        """
        keys = [self._key(network, image) for image in images]
        with self._lock:
            found = {key: self._rows[key] for key in keys if key in self._rows}
            for key in found:
                self._rows.move_to_end(key)
        missing = {key: row for row, key in enumerate(keys) if key not in found}
        if missing:
            computed = function(images[list(missing.values())])
            new = dict(zip(missing, (row.tobytes() for row in computed), strict=True))
            self._keep(new)
            found |= new
        rows = np.frombuffer(b"".join(found[key] for key in keys), np.float32)
        return rows.reshape(len(keys), -1).copy()

    @staticmethod
    def _key(network, image):
        pixels = np.ascontiguousarray(image)
        return hashlib.blake2b(pixels.data, digest_size=16, key=network).digest()

    def _keep(self, rows):
        with self._lock:
            for key, row in rows.items():
                self._n_bytes += 0 if key in self._rows else len(row)
                self._rows[key] = row
            while self._n_bytes > self._max_bytes:
                self._n_bytes -= len(self._rows.popitem(last=False)[1])


def average_mirror_images(
    predict_batch: Callable[[FloatArray], FloatArray], images: FloatArray
) -> FloatArray:
    """Average the outputs of a network for images and their mirror images.

    Parameters
    ----------
    predict_batch : callable
        From images to rows, such as probabilities.
    images : ndarray of shape (n, h, w, channels), float32

    Returns
    -------
    ndarray of shape (n, n_outputs), float32
    """
    both = predict_batch(np.concatenate([images, images[:, :, ::-1]]))
    return (both[: len(images)] + both[len(images) :]) / 2


def _make_quietly(content, n_threads):
    """Create an interpreter, and hide what LiteRT prints when it creates the first one."""
    if _STARTED.is_set():
        return _Interpreter(content, n_threads)
    with _FIRST, hidden_lines(_START_UP):
        interpreter = _Interpreter(content, n_threads)
        _STARTED.set()
    return interpreter


class _Interpreter:
    """An interpreter of a model, which one thread at a time may use."""

    def __init__(self, content, n_threads):
        n_threads = n_threads or min(count_processors(), _MAX_THREADS)
        self._interpreter = _make_interpreter(model_content=content, num_threads=n_threads)
        (given,) = self._interpreter.get_input_details()
        self._allocate(given["index"], tuple(given["shape"]))

    def run(self, images):
        if images.shape != self._shape:
            self._interpreter.resize_tensor_input(self._given["index"], images.shape)
            self._allocate(self._given["index"], images.shape)
        if self._given["dtype"] != np.float32:
            images = _quantized(images, self._given)
        self._interpreter.set_tensor(self._given["index"], images)
        self._interpreter.invoke()
        outputs = [self._interpreter.get_tensor(output["index"]) for output in self._outputs]
        outputs = [
            values if values.dtype == np.float32 else _dequantized(values, output)
            for values, output in zip(outputs, self._outputs, strict=True)
        ]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)

    def _allocate(self, index, shape):
        self._interpreter.allocate_tensors()
        # Requesting these descriptions takes longer than running a small network.
        (self._given,) = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()
        self._shape = shape


def _make_interpreter(**options):
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        return _make_tensorflow_interpreter(**options)
    return Interpreter(**options)


def _make_tensorflow_interpreter(**options):
    try:
        from tensorflow.lite.python.interpreter import Interpreter
    except ImportError:
        raise MissingExtraError(
            "Neither LiteRT nor TensorFlow is installed; one of them has to run the network. "
            "Type: pip install ai-edge-litert"
        ) from None
    with _QUIET, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
        return Interpreter(**options)


def _quantized(images, tensor):
    scale, zero = tensor["quantization"]
    levels = np.iinfo(tensor["dtype"])
    return np.clip(np.rint(images / scale) + zero, levels.min, levels.max).astype(tensor["dtype"])


def _dequantized(outputs, tensor):
    scale, zero = tensor["quantization"]
    return (outputs.astype(np.float32) - zero) * np.float32(scale)
