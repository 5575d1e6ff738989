// The page's side of the worker: starts it at first use, and sends it requests.

const NOT_STARTED = "The worker did not start. Reload the page, or update the browser.";

export class Engine {
  #worker = null;
  #ready = null;
  #waiting = new Map();
  #count = 0;

  /**
   * @param {object} settings - from readSettings
   * @param {(fraction: number) => void} onProgress - called with the loaded fraction of the runtime
   */
  constructor(settings, onProgress) {
    this.settings = settings;
    this.onProgress = onProgress;
    this.isReady = false;
  }

  /** Resolves when the worker is ready; the first access loads what it needs. */
  get ready() {
    this.#ready ??= this.#start().catch((error) => {
      this.#worker?.terminate();
      this.#ready = null; // so that the next access tries again
      throw error;
    });
    return this.#ready;
  }

  async request(task, rest = {}, transfer = []) {
    await this.ready;
    return this.#send(task, rest, transfer);
  }

  async #start() {
    // A worker from a blob inherits the page's Content-Security-Policy, which keeps it from
    // sending anything elsewhere; a worker from a file would have none.
    const code = `import ${JSON.stringify(new URL("worker.js", import.meta.url).href)};`;
    const url = URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
    this.#worker = new Worker(url, { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#fail(event.message || NOT_STARTED);
    };
    await this.#send("load", { settings: this.settings });
    this.isReady = true;
    URL.revokeObjectURL(url);
  }

  #send(task, rest, transfer = []) {
    return new Promise((resolve, reject) => {
      const id = ++this.#count;
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, task, ...rest }, transfer);
    });
  }

  #receive({ id, result, error, progress }) {
    if (progress !== undefined) {
      this.onProgress(progress);
      return;
    }
    const { resolve, reject } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) resolve(result);
    else reject(new Error(error));
  }

  #fail(message) {
    for (const { reject } of this.#waiting.values()) reject(new Error(message));
    this.#waiting.clear();
  }
}
