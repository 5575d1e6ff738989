// Runs a LiteRT (TensorFlow Lite) file with TensorFlow.js, as far as BlazeFace needs: seven
// operations on 32-bit floats, whose weights may be stored in 16 bits.
//
// The format is a FlatBuffer: github.com/google-ai-edge/LiteRT, tflite/converter/schema/schema.fbs.

const FLOAT32 = 0, FLOAT16 = 1, INT32 = 2;
const RELU = 1;
const PADDINGS = ["same", "valid"];

// Operations by their code: (tf, inputs, options, shape of the output) => output. The shape is for
// one image.
const CONV_2D = 3, DEPTHWISE_CONV_2D = 4, DEQUANTIZE = 6;
const OPERATIONS = {
  0: (tf, [one, other], options) => activated(tf.add(one, other), options, 0),
  2: (tf, inputs, options) => tf.concat(inputs, options.int(0)),
  [CONV_2D]: (tf, [x, filter, bias], options) => {
    return tf.fused.conv2d({ x, filter, bias, ...windowOf(options, 3) });
  },
  [DEPTHWISE_CONV_2D]: (tf, [x, filter, bias], options) => {
    return tf.fused.depthwiseConv2d({ x, filter, bias, ...windowOf(options, 4) });
  },
  17: (tf, [x], options) => {
    const { strides, pad } = windowOf(options, 5);
    return activated(tf.maxPool(x, [options.int(4), options.int(3)], strides, pad), options, 5);
  },
  19: (tf, [x]) => tf.relu(x),
  22: (tf, [x], options, shape) => tf.reshape(x, [x.shape[0], ...shape.slice(1)]),
  34: (tf, [x, widths]) => tf.pad(x, pairs(widths)),
};

export class LiteRTNetwork {
  #tf;
  #steps;
  #constants = new Map();
  #input;
  #outputs;

  /**
   * @param {object} tf - TensorFlow.js
   * @param {Uint8Array} bytes - the file
   */
  constructor(tf, bytes) {
    this.#tf = tf;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const model = new Table(view, view.getUint32(0, true));
    const [graph] = model.tables(2);
    const codes = model.tables(1).map((code) => Math.max(code.byte(0), code.int(3)));
    const tensors = graph.tables(0);
    const buffers = model.tables(4);
    const values = (index) => {
      const tensor = tensors[index];
      return numbers(buffers[tensor.int(2)].bytes(0), tensor.byte(1));
    };
    const operators = graph.tables(3).map((operator) => ({
      code: codes[operator.int(0)],
      inputs: operator.ints(1),
      output: operator.ints(2)[0],
      options: operator.table(4),
    }));
    // Weights of 16 bits are converted once, here.
    const sources = new Map(operators.filter(({ code }) => code === DEQUANTIZE)
      .map(({ inputs, output }) => [output, inputs[0]]));
    this.#steps = operators.filter(({ code }) => code !== DEQUANTIZE).map((operator) => {
      const operation = OPERATIONS[operator.code];
      if (!operation) throw new Error(`The detector uses the unknown operation ${operator.code}.`);
      return { ...operator, operation, shape: tensors[operator.output].ints(0) };
    });
    const computed = new Set(operators.map(({ output }) => output));
    for (const { inputs, code } of this.#steps) {
      for (const [position, index] of inputs.entries()) {
        const isWeight = !computed.has(index) || sources.has(index);
        if (!isWeight || index === graph.ints(1)[0] || this.#constants.has(index)) continue;
        const found = values(sources.get(index) ?? index);
        this.#constants.set(index, this.#constant(found, tensors[index].ints(0), code, position));
      }
    }
    [this.#input] = graph.ints(1);
    this.#outputs = graph.ints(2);
  }

  /** The outputs, as typed arrays, for images of shape (n, height, width, 3). */
  run(images) {
    return this.#tf.tidy(() => {
      const tensors = new Map([...this.#constants, [this.#input, images]]);
      for (const { operation, inputs, output, options, shape } of this.#steps) {
        const given = inputs.map((index) => tensors.get(index));
        tensors.set(output, operation(this.#tf, given, options, shape));
      }
      return this.#outputs.map((index) => tensors.get(index).dataSync());
    });
  }

  /** A constant as TensorFlow.js takes it: filters with their output channels last. */
  #constant(values, shape, code, position) {
    if (values instanceof Int32Array) return values; // not data, but an argument
    const tf = this.#tf;
    return tf.tidy(() => {
      const tensor = tf.tensor(values, shape, "float32");
      const isFilter = position === 1 && (code === CONV_2D || code === DEPTHWISE_CONV_2D);
      return isFilter ? tf.transpose(tensor, [1, 2, 3, 0]) : tensor;
    });
  }
}

/** Strides, padding and activation, whose place among the options differs. */
function windowOf(options, field) {
  return {
    strides: [options.int(2), options.int(1)],
    pad: PADDINGS[options.byte(0)],
    activation: options.byte(field) === RELU ? "relu" : "linear",
  };
}

function activated(tensor, options, field) {
  return options?.byte(field) === RELU ? tensor.relu() : tensor;
}

/** A list of (before, after) from the flat widths of a border. */
function pairs(widths) {
  return Array.from({ length: widths.length / 2 }, (_, i) => [widths[2 * i], widths[2 * i + 1]]);
}

function numbers(bytes, type) {
  const { buffer } = bytes.slice(); // aligned
  if (type === FLOAT32) return new Float32Array(buffer);
  if (type === INT32) return new Int32Array(buffer);
  if (type === FLOAT16) return Float32Array.from(new Uint16Array(buffer), fromHalf);
  throw new Error(`The detector uses the unknown data type ${type}.`);
}

/** The value of a 16-bit float (IEEE 754). */
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}

/** A table of a FlatBuffer. Fields that are left out are 0, or empty. */
class Table {
  constructor(view, at) {
    this.view = view;
    this.at = at;
    this.fields = at - view.getInt32(at, true);
  }

  #place(field) {
    const entry = 4 + 2 * field;
    const isThere = entry < this.view.getUint16(this.fields, true);
    const offset = isThere ? this.view.getUint16(this.fields + entry, true) : 0;
    return offset ? this.at + offset : null;
  }

  #target(field) {
    const place = this.#place(field);
    return place === null ? null : place + this.view.getUint32(place, true);
  }

  #elements(field, size, read) {
    const start = this.#target(field);
    if (start === null) return [];
    const length = this.view.getUint32(start, true);
    return Array.from({ length }, (_, index) => read(start + 4 + size * index));
  }

  byte(field) {
    const place = this.#place(field);
    return place === null ? 0 : this.view.getInt8(place);
  }

  int(field) {
    const place = this.#place(field);
    return place === null ? 0 : this.view.getInt32(place, true);
  }

  table(field) {
    const target = this.#target(field);
    return target === null ? null : new Table(this.view, target);
  }

  tables(field) {
    return this.#elements(field, 4, (place) => {
      return new Table(this.view, place + this.view.getUint32(place, true));
    });
  }

  ints(field) {
    return this.#elements(field, 4, (place) => this.view.getInt32(place, true));
  }

  bytes(field) {
    const start = this.#target(field);
    const { buffer, byteOffset } = this.view;
    return start === null ? new Uint8Array(0)
      : new Uint8Array(buffer, byteOffset + start + 4, this.view.getUint32(start, true));
  }
}
