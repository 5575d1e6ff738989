"""LiteRT models, the format called TensorFlow Lite before."""

import io
import warnings
from contextlib import redirect_stdout

__all__ = ["LITERT_PRECISIONS", "to_litert"]

LITERT_PRECISIONS = ("float32", "float16", "dynamic_int8", "int8")


def to_litert(model, *, precision="float16", representative=None):
    """Convert a Keras network to a LiteRT model.

    Parameters
    ----------
    model : keras.Model
        Built, on the TensorFlow backend; ``FERCNNClassifier.model_``, for example.
    precision : {"float16", "float32", "dynamic_int8", "int8"}, default="float16"
        Of the stored weights. What is computed is float32 in the first two; with
        ``"dynamic_int8"`` integers where a layer allows it; with ``"int8"`` integers
        throughout, also what goes in and comes out (``uint8``).
    representative : ndarray of shape (n, h, w, channels), float32, or None
        Some hundred inputs, of which ``"int8"`` learns the range of each layer. Ignored otherwise.

    Returns
    -------
    bytes
        The contents of a ``.tflite`` file.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained
    >>> len(to_litert(load_pretrained("tiny")[-1].model_)) < 300_000
    True
    """
    import tensorflow as tf

    # `from_concrete_functions` would write a file without weights, which answers NaN.
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        converter.representative_dataset = lambda: ([image[None]] for image in representative)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    # Keras lists what it saves meanwhile; TensorFlow misses statistics of an older interface.
    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Statistics for quantized inputs")
        return converter.convert()
