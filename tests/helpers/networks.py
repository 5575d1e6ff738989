"""Small networks for tests in which any network will do: they compile in half a second."""

import keras


def small_network(meta, dropout=0.25):
    """One convolution of four filters, dropout, and the output."""
    layers = keras.layers
    inputs = keras.Input(meta["input_shape"])
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(inputs)
    x = layers.Dropout(dropout, seed=0)(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(meta["n_classes"], activation="softmax")(x))
