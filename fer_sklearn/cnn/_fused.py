"""Batch normalisation in one operation, for training alone.

Keras normalises a training batch in some ten passes over it, which on a CPU take longer
than the convolutions of a small network. TensorFlow has one operation for all of them.
"""

import keras

__all__ = ["FusedBatchNormalization", "fuse"]


class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras's layer, whose training step is TensorFlow's fused operation.

    The same numbers up to rounding, and the same variables in the same order, so that
    weights move freely between the two.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable and mask is None and len(inputs.shape) == 4):
            return super().call(inputs, training=training, mask=mask)
        import tensorflow as tf

        normalized, mean, variance, *_ = tf.compat.v1.nn.fused_batch_norm(
            inputs, self.gamma.value, self.beta.value, epsilon=self.epsilon, is_training=True
        )
        # The operation tells the unbiased variance; Keras keeps the biased one.
        count = tf.cast(tf.size(inputs) // inputs.shape[-1], variance.dtype)
        variance *= (count - 1) / count
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return normalized


def fuse(layer):
    """Return a copy of `layer` to train with, fused if it is a plain batch normalisation."""
    config = layer.get_config()
    fusible = (
        type(layer) is keras.layers.BatchNormalization
        and keras.backend.backend() == "tensorflow"
        and config["scale"]
        and config["center"]
        and not config.get("synchronized")
        and layer.axis in (-1, 3)
    )
    kind = FusedBatchNormalization if fusible else type(layer)
    return kind.from_config(config)
