"""Networks in the formats of other runtimes."""

import io
from contextlib import redirect_stdout

__all__ = ["to_litert"]


def to_litert(model, *, precision="float16"):
    """Convert a Keras network to a LiteRT model, the format called TensorFlow Lite before.

    Parameters
    ----------
    model : keras.Model
        Built, on the TensorFlow backend; ``FERCNNClassifier.model_``, for example.
    precision : {"float16", "float32"}, default="float16"
        Of the stored weights; what is computed is float32 in both.

    Returns
    -------
    bytes
        The contents of a ``.tflite`` file, from any number of images to probabilities.

    Examples
    --------
    >>> from fer_sklearn import load_pretrained
    >>> len(to_litert(load_pretrained("tiny")[-1].model_)) < 300_000
    True
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision == "float16":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with redirect_stdout(io.StringIO()):  # where Keras lists what it saved meanwhile
        return converter.convert()
