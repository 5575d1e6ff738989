// Load TensorFlow.js and both networks in the worker, from the URLs in page.json, and verify the
// hash of each file.

import { FaceDetector } from "./blazeface.js";
import { LiteRTNetwork } from "./litert.js";

const here = (path) => new URL(path, import.meta.url).href;

/**
 * Load everything that predictions need.
 *
 * @param {object} runtime - from page.json
 * @param {(fraction: number) => void} onProgress - called with the fraction of bytes received
 * @returns {Promise<object>} tf, the detector, and the network
 */
export async function loadRuntime(runtime, onProgress) {
  const { scripts, wasm, detector, model } = runtime;
  const total = [...scripts, wasm, detector, ...model].reduce((sum, file) => sum + file.bytes, 0);
  let received = 0;
  const load = (file) => fetchBytes(file, (bytes) => {
    received += bytes;
    onProgress(Math.min(1, received / total));
  });

  const loadAll = (some) => Promise.all(some.map(load));
  const [codes, binary, blazeface, network] = await Promise.all([
    loadAll(scripts), load(wasm), load(detector), loadAll(model),
  ]);
  for (const code of codes) await run(code);
  const tf = await startTensorFlow(binary);
  return {
    tf,
    detector: new FaceDetector(tf, new LiteRTNetwork(tf, blazeface)),
    network: await readNetwork(tf, network),
  };
}

async function fetchBytes({ url, integrity }, onBytes) {
  const name = url.split("/").at(-1);
  let response;
  try {
    response = await fetch(here(url), integrity ? { integrity } : {});
  } catch (error) {
    throw new Error(
      `${name} could not be loaded, or is not the expected file. Check the connection, and ` +
      `reload the page. (${error.message})`);
  }
  if (!response.ok)
    throw new Error(`${name} is missing (${response.status}). Copy the whole folder again.`);
  const parts = [];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    onBytes(value.length);
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

/** Run a script from the bytes that were verified. */
async function run(bytes) {
  const url = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
  await import(url);
  URL.revokeObjectURL(url);
}

async function startTensorFlow(binary) {
  const { tf } = globalThis;
  // Threads need headers that a plain file server does not send.
  tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", false);
  const url = URL.createObjectURL(new Blob([binary], { type: "application/wasm" }));
  // All three must be named; TensorFlow.js uses the one with vector instructions.
  const names = ["", "-simd", "-threaded-simd"].map((kind) => `tfjs-backend-wasm${kind}.wasm`);
  tf.wasm.setWasmPaths(Object.fromEntries(names.map((name) => [name, url])));
  const isStarted = await tf.setBackend("wasm");
  URL.revokeObjectURL(url);
  if (!isStarted) throw new Error("WebAssembly did not start. Update the browser, or use another.");
  return tf;
}

async function readNetwork(tf, [json, ...shards]) {
  const description = JSON.parse(new TextDecoder().decode(json));
  const specs = description.weightsManifest.flatMap((group) => group.weights);
  return tf.loadGraphModel(tf.io.fromMemory({
    modelTopology: description.modelTopology,
    signature: description.signature,
    weightSpecs: specs,
    weightData: await new Blob(shards).arrayBuffer(),
  }));
}
