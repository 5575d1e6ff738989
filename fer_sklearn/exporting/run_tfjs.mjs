// Runs an exported model like a browser: with TensorFlow.js on WebAssembly.
//
// node run_tfjs.mjs NODE_MODULES MODEL_FOLDER N HEIGHT WIDTH CHANNELS
// stdin: images, float32; stdout: a line of JSON with the shape, then the outputs, float32.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const BATCH_SIZE = 16; // WebAssembly's memory is limited to 2 GB

const [nodeModules, folder, ...numbers] = process.argv.slice(2);
const [n, ...imageShape] = numbers.map(Number);

console.log = console.error; // stdout is for outputs

const require = createRequire(path.join(path.resolve(nodeModules), '..', 'package.json'));
const tf = require('@tensorflow/tfjs-core');
const { loadGraphModel } = require('@tensorflow/tfjs-converter');
const wasm = require('@tensorflow/tfjs-backend-wasm');

async function startBackend() {
  const binaries = path.dirname(require.resolve('@tensorflow/tfjs-backend-wasm'));
  wasm.setWasmPaths(binaries + path.sep);
  if (!(await tf.setBackend('wasm'))) throw new Error('WebAssembly did not start');
}

function readWeights(manifest) {
  const specs = manifest.flatMap((group) => group.weights);
  const files = manifest.flatMap((group) => group.paths);
  const data = Buffer.concat(files.map((file) => readFileSync(path.join(folder, file))));
  const expected = specs.reduce((sum, spec) => {
    const bytes = spec.dtype === 'bool' ? 1 : 4;
    return sum + bytes * spec.shape.reduce((product, side) => product * side, 1);
  }, 0);
  if (data.length !== expected) {
    throw new Error(`${files.join(', ')}: ${data.length} bytes instead of ${expected}`);
  }
  return [specs, new Uint8Array(data).buffer];
}

async function readImages() {
  const chunks = [];
  for await (const chunk of process.stdin) chunks.push(chunk);
  return new Float32Array(new Uint8Array(Buffer.concat(chunks)).buffer);
}

async function main() {
  await startBackend();
  const description = JSON.parse(readFileSync(path.join(folder, 'model.json'), 'utf8'));
  const load = () => tf.io.getModelArtifactsForJSON(description, async (m) => readWeights(m));
  const model = await loadGraphModel({ load });
  const images = await readImages();
  const imageSize = imageShape.reduce((product, side) => product * side, 1);
  const outputs = [];
  let outputShape = [];
  for (let first = 0; first < n; first += BATCH_SIZE) {
    const count = Math.min(BATCH_SIZE, n - first);
    const batch = images.subarray(first * imageSize, (first + count) * imageSize);
    const output = tf.tidy(() => model.predict(tf.tensor(batch, [count, ...imageShape])));
    if (output.dtype !== 'float32') throw new Error(`the output is ${output.dtype}, not float32`);
    outputShape = output.shape.slice(1);
    outputs.push(Buffer.from(output.dataSync().slice().buffer));
    output.dispose();
  }
  process.stdout.write(JSON.stringify({ shape: [n, ...outputShape] }) + '\n');
  process.stdout.write(Buffer.concat(outputs));
}

main().catch((error) => {
  console.error(error.stack ?? error);
  process.exitCode = 1;
});
