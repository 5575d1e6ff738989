"""A Keras network as one graph of TensorFlow operations, its weights among the constants."""

from dataclasses import dataclass

import keras
import numpy as np

__all__ = ["FrozenGraph", "freeze"]

# What answers with its inputs as they are.
_PASSES_ON = {
    *("EnsureShape", "Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient"),
}


@dataclass(frozen=True)
class FrozenGraph:
    """What a network computes.

    Attributes
    ----------
    operations : list of tf.Operation
        In an order in which they can run; the input is one of them, constants are not.
    inputs : dict of str to list of str
        By the name of an operation: what it reads, as names of operations and constants, with
        ``":1"`` appended for the second output of one, and so on.
    constants : dict of str to ndarray
        By name.
    input, output : str
        What to feed and what to fetch.
    """

    operations: list
    inputs: dict
    constants: dict
    input: str
    output: str


def freeze(model):
    """Trace a network and compute in advance whatever does not depend on its input.

    Parameters
    ----------
    model : keras.Model
        With one input and one output, on the TensorFlow backend.

    Returns
    -------
    FrozenGraph

    Raises
    ------
    ValueError
        For several inputs or outputs, another backend, or an output that does not depend on
        the input.
    """
    import tensorflow as tf

    _check_model(model)
    weights = [v.numpy() for v in model.trainable_variables]
    states = [v.numpy() for v in model.non_trainable_variables]
    (spec,) = (tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in model.inputs)

    def answer(images):
        with tf.name_scope("network"):  # outside of which no layer's name may start with "_"
            return model.stateless_call(weights, states, images, training=False)[0]

    traced = tf.compat.v1.wrap_function(answer, [spec])
    return _without_constant_parts(traced)


def _check_model(model):
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras runs on {keras.backend.backend()!r}; expected 'tensorflow', whose graphs are "
            f"what is written. Set the environment variable KERAS_BACKEND=tensorflow."
        )
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ValueError(
            f"model has {len(model.inputs)} inputs and {len(model.outputs)} outputs; expected one "
            f"of each. Wrap it in a keras.Model with a single input and output."
        )


def _without_constant_parts(traced):
    (output,) = traced.outputs
    needed = _ancestors(output.op)
    operations = [op for op in traced.graph.get_operations() if op in needed]
    constant = _constant_operations(operations, traced.inputs[0].op)
    if output.op in constant:
        raise ValueError("model has an output that does not depend on its input.")
    varying = [op for op in operations if op not in constant]
    read = {op.name: [_passed_on(tensor, constant) for tensor in op.inputs] for op in varying}
    last = _passed_on(output, constant)
    kept = [op for op in varying if op.type not in _PASSES_ON]
    borders = {t.name: t for op in kept for t in read[op.name] if t.op in constant}
    values = traced.prune([], list(borders.values()))() if borders else []
    return FrozenGraph(
        operations=kept,
        inputs={op.name: [_reference(tensor, constant) for tensor in read[op.name]] for op in kept},
        constants={
            _reference(tensor, constant): np.asarray(value)
            for tensor, value in zip(borders.values(), values, strict=True)
        },
        input=traced.inputs[0].op.name,
        output=_reference(last, constant),
    )


def _ancestors(operation):
    """Return what an operation depends on, and itself; what only runs before it is left out."""
    found, pending = set(), [operation]
    while pending:
        current = pending.pop()
        if current not in found:
            found.add(current)
            pending.extend(tensor.op for tensor in current.inputs)
    return found


def _constant_operations(operations, input_operation):
    """Return those that answer the same whatever the input is.

    Tensors and variables that a layer holds without Keras's knowledge are among them.
    """
    constant = set()
    for op in operations:
        varies = op.op_def.is_stateful and op.type != "ReadVariableOp"  # as random numbers do
        varies = varies or op == input_operation
        if not varies and all(tensor.op in constant for tensor in op.inputs):
            constant.add(op)
    return constant


def _passed_on(tensor, constant):
    """Return where a tensor comes from, past the operations that change nothing."""
    while tensor.op.type in _PASSES_ON and tensor.op not in constant:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _reference(tensor, constant):
    name, index = tensor.op.name, tensor.value_index
    if tensor.op in constant:  # each output becomes a constant of its own
        return f"{name}/output_{index}" if index else name
    return f"{name}:{index}" if index else name
