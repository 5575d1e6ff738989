"""Formats that Keras writes itself: TensorFlow's SavedModel, and ONNX."""

import io
import warnings
from contextlib import redirect_stdout

__all__ = ["ONNX_MODULES", "run_saved_model", "write_onnx", "write_saved_model"]

#: What writing and running ONNX needs, of the extra ``onnx``.
ONNX_MODULES = ("onnx", "tf2onnx", "onnxruntime")


def write_saved_model(model, folder):
    """Write a network as a TensorFlow SavedModel.

    Parameters
    ----------
    model : keras.Model
    folder : Path
        It exists and is empty.
    """
    with redirect_stdout(io.StringIO()):  # where Keras describes what it wrote
        model.export(folder, format="tf_saved_model", verbose=False)


def run_saved_model(folder, images):
    """Load what :func:`write_saved_model` wrote, and compute its answers.

    Parameters
    ----------
    folder : Path
    images : ndarray of shape (n, h, w, channels), float32

    Returns
    -------
    ndarray of shape (n, n_outputs), float32
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(folder)  # to be kept while it computes
    return loaded.serve(images).numpy()


def write_onnx(model, path):
    """Write a network as an ONNX file.

    Parameters
    ----------
    model : keras.Model
    path : Path
    """
    import tensorflow as tf

    # A reloaded model has forgotten with which shapes it was called.
    (given,) = model.inputs
    signature = [tf.TensorSpec(given.shape, tf.float32, name="faces")]
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # both of the converter's own code
        warnings.simplefilter("ignore", FutureWarning)
        model.export(path, format="onnx", input_signature=signature, verbose=False)
