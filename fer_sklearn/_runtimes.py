"""Networks in files of other runtimes than Keras: LiteRT (TensorFlow Lite) and ONNX.

Each is called with a stack of images and returns a stack of answers; it pickles, and several
threads may call it at once. Neither loads TensorFlow.
"""

import os
import queue

import numpy as np

from ._optional import import_optional

__all__ = ["LiteRTNetwork", "ONNXNetwork", "is_litert_installed"]

_MOST_THREADS = 4


def is_litert_installed():
    """Tell whether the LiteRT runtime is there, as it is wherever it is built for."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError:
        return False
    return True


class LiteRTNetwork:
    """A LiteRT model, called TensorFlow Lite before.

    Parameters
    ----------
    content : bytes
        The contents of a ``.tflite`` file of one input and one output.
    n_threads : int or None, default=None
        Processor threads for one call; None is one a processor, at most four.
    batch_size : int or None, default=None
        How many images the model takes at once, if it takes no other number.
    """

    def __init__(self, content, *, n_threads=None, batch_size=None):
        self._content, self._n_threads, self._batch_size = content, n_threads, batch_size
        self._idle = queue.LifoQueue()

    def __call__(self, images):
        """Compute the answers.

        Parameters
        ----------
        images : ndarray of shape (n, h, w, channels), float32
            In the model's own range, also where it is quantised.

        Returns
        -------
        ndarray of shape (n, n_outputs), float32
        """
        try:
            interpreter = self._idle.get_nowait()
        except queue.Empty:
            interpreter = self._make_interpreter()
        step = self._batch_size or len(images)
        answers = [
            _filled(interpreter, images[start : start + step], step)
            for start in range(0, len(images), step)
        ]
        self._idle.put(interpreter)
        return np.concatenate(answers)

    def __getstate__(self):
        # Interpreters cannot be copied, and are made when needed.
        return {name: value for name, value in vars(self).items() if name != "_idle"}

    def __setstate__(self, state):
        self.__dict__.update(state, _idle=queue.LifoQueue())

    def _make_interpreter(self):
        from ai_edge_litert.interpreter import Interpreter

        n_threads = self._n_threads or min(os.cpu_count() or 1, _MOST_THREADS)
        interpreter = Interpreter(model_content=self._content, num_threads=n_threads)
        interpreter.allocate_tensors()
        return interpreter


class ONNXNetwork:
    """An ONNX model.

    Parameters
    ----------
    content : bytes
        The contents of an ``.onnx`` file of one input and one output.
    n_threads : int or None, default=None
        Processor threads for one call; None leaves it to onnxruntime.
    """

    def __init__(self, content, *, n_threads=None):
        self._content, self._n_threads = content, n_threads
        self._session = self._make_session()

    def __call__(self, images):
        """Compute the answers, as :meth:`LiteRTNetwork.__call__` does."""
        (given,) = self._session.get_inputs()
        return self._session.run(None, {given.name: images})[0]

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_session"}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._session = self._make_session()

    def _make_session(self):
        runtime = import_optional("onnxruntime", extra="onnx", purpose="Running an ONNX model")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = self._n_threads or 0
        options.log_severity_level = 3  # errors; it warns of what its own optimiser does
        return runtime.InferenceSession(self._content, options, providers=["CPUExecutionProvider"])


def _filled(interpreter, images, size):
    """Run one batch, filled up to `size`, which is what the interpreter takes."""
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    n_images = len(images)
    if n_images < size:
        images = np.concatenate([images, np.repeat(images[-1:], size - n_images, axis=0)])
    if tuple(given["shape"]) != images.shape:
        interpreter.resize_tensor_input(given["index"], images.shape)
        interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], _quantized(images, given))
    interpreter.invoke()
    return _dequantized(interpreter.get_tensor(answer["index"]), answer)[:n_images]


def _quantized(images, tensor):
    if tensor["dtype"] == np.float32:
        return images
    scale, zero = tensor["quantization"]
    levels = np.iinfo(tensor["dtype"])
    return np.clip(np.rint(images / scale) + zero, levels.min, levels.max).astype(tensor["dtype"])


def _dequantized(answers, tensor):
    if tensor["dtype"] == np.float32:
        return answers
    scale, zero = tensor["quantization"]
    return (answers.astype(np.float32) - zero) * np.float32(scale)
