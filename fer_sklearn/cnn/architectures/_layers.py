"""The pieces that several networks are made of."""

import keras
from keras import layers


def drop(x, rate):
    # Training seeds these layers itself, but with PyTorch only those that have a seed.
    return layers.Dropout(rate, seed=0)(x)


def batch_norm(x):
    # Keras's momentum of 0.99 needs over 500 steps before predictions make sense, more than
    # a small data set gives.
    return layers.BatchNormalization(momentum=0.9)(x)


def conv_bn(x, filters, activation, kernel=3, strides=1):
    x = layers.Conv2D(filters, kernel, strides=strides, padding="same", use_bias=False)(x)
    x = batch_norm(x)
    return layers.Activation(activation)(x) if activation else x


def classifier(inputs, x, meta, **options):
    # Probabilities stay float32 where the rest of the network runs in half precision.
    outputs = layers.Dense(meta["n_classes"], activation="softmax", dtype="float32", **options)(x)
    return keras.Model(inputs, outputs)
