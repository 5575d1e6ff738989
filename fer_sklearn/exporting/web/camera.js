// The camera: the newest frame goes to the worker whenever that has answered the one before.

import { BoxView, FaceView, percent } from "./view.js";

// Frames are searched at no more than this width.
const WIDTH = 640;
// Shares are averaged over time, with this time constant in seconds.
const SMOOTHING = 0.25;
// The figure tells the answers of so many seconds.
const COUNTED = 2;
const NOBODY = "No face in the picture. Look straight at the camera, in good light.";
// A change is spoken no more often than this, in seconds.
const SPOKEN = 2;

export class Camera {
  #stream = null;
  #views = new Map();
  #times = [];
  #spoken = { label: "", seconds: -Infinity };

  /**
   * @param {object} elements - section, video, boxes, faces, said, speed, cameras
   * @param {Engine} engine
   * @param {object} settings
   * @param {(text: string) => void} speak - tells a screen reader
   *
   * `onstart` and `onstop`, the latter with what to tell the user, may be set to be called.
   */
  constructor(elements, engine, settings, speak) {
    Object.assign(this, { elements, engine, settings, speak });
    elements.cameras.onchange = () => this.#switch(elements.cameras.value);
  }

  get isOn() {
    return this.#stream !== null;
  }

  get answersPerSecond() {
    const [first, last] = [this.#times[0], this.#times.at(-1)];
    return this.#times.length > 1 ? (this.#times.length - 1) / (last - first) : 0;
  }

  /** Ask for the camera and begin; rejects with what to do where that fails. */
  async start(deviceId = null) {
    const stream = await openCamera(deviceId);
    this.#stream = stream;
    const { section, video, boxes, said } = this.elements;
    const [track] = stream.getVideoTracks();
    track.onended = () => this.stop("The camera was taken away. Connect it, and turn it on again.");
    const isBack = track.getSettings().facingMode === "environment";
    boxes.parentElement.classList.toggle("mirrored", !isBack);
    section.hidden = false;
    said.textContent = "Starting …";
    this.onstart?.();
    video.srcObject = stream;
    await video.play().catch((error) => {
      if (this.#stream === stream) throw error; // else it was stopped meanwhile
    });
    if (this.#stream !== stream) return;
    boxes.parentElement.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
    await this.#listCameras(track);
    await this.engine.ask("forget");
    this.#run(stream, !isBack);
  }

  stop(text = "") {
    this.#stream?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.#stream = null;
    const { section, video, boxes, faces, speed } = this.elements;
    video.srcObject = null;
    section.hidden = true;
    for (const element of [boxes, faces]) element.replaceChildren();
    speed.textContent = "";
    this.#views.clear();
    this.#times = [];
    this.onstop?.(text);
  }

  async #switch(deviceId) {
    this.#stream?.getTracks().forEach((track) => { track.onended = null; track.stop(); });
    this.#stream = null;
    try {
      await this.start(deviceId);
    } catch (error) {
      this.stop(error.message);
    }
  }

  async #run(stream, isMirrored) {
    const { video } = this.elements;
    try {
      let next = nextFrame(video);
      for (;;) {
        await next;
        if (this.#stream !== stream) return;
        next = nextFrame(video); // has come already when the worker takes longer than a frame
        const resizeWidth = Math.min(WIDTH, video.videoWidth);
        const source = await createImageBitmap(video, { resizeWidth, resizeQuality: "low" });
        const seconds = performance.now() / 1000;
        const answer = await this.engine.ask("frame", { source, seconds }, [source]);
        if (this.#stream === stream) this.#show(answer, performance.now() / 1000, isMirrored);
      }
    } catch (error) {
      this.stop(error.message);
    }
  }

  #show(answer, seconds, isMirrored) {
    const { boxes, faces, said, speed } = this.elements;
    this.#times = [...this.#times, seconds].filter((time) => seconds - time <= COUNTED);
    speed.textContent = `${this.answersPerSecond.toFixed(0)} answers a second`;
    const present = answer.faces.map((face) => this.#smoothed(face, seconds));
    const numbers = new Set(present.map((face) => face.number));
    for (const number of this.#views.keys()) if (!numbers.has(number)) this.#views.delete(number);
    for (const face of present) {
      const view = this.#views.get(face.number);
      view.face.show(face, present.length > 1 ? `face ${face.number}` : "");
      const title = present.length > 1 ? `${face.number} ${face.label}` : face.label;
      view.box.show(face, answer, { title, isMirrored });
    }
    this.#put(boxes, present.map((face) => this.#views.get(face.number).box.element));
    this.#put(faces, present.map((face) => this.#views.get(face.number).face.element));
    said.textContent = present.length ? "" : NOBODY;
    this.#tell(present, seconds);
  }

  /** Average a face's shares over time, whatever the rate of the frames. */
  #smoothed(face, seconds) {
    if (!this.#views.has(face.number)) {
      const [view, box] = [new FaceView(this.settings), new BoxView(this.settings)];
      this.#views.set(face.number, { face: view, box, shares: face.probabilities, seconds });
    }
    const view = this.#views.get(face.number);
    const weight = 1 - Math.exp(-(seconds - view.seconds) / SMOOTHING);
    view.shares = view.shares.map((share, i) => share + weight * (face.probabilities[i] - share));
    view.seconds = seconds;
    const best = view.shares.indexOf(Math.max(...view.shares));
    return {
      ...face,
      label: this.settings.labels[best],
      probability: view.shares[best],
      probabilities: view.shares,
    };
  }

  /** Change the children only where they differ, so that bars and boxes move smoothly. */
  #put(parent, children) {
    const isSame = parent.children.length === children.length
      && children.every((child, index) => parent.children[index] === child);
    if (!isSame) parent.replaceChildren(...children);
  }

  #tell(faces, seconds) {
    const label = faces.map((face) => face.label).join(", ");
    if (label === this.#spoken.label || seconds - this.#spoken.seconds < SPOKEN) return;
    this.#spoken = { label, seconds };
    const each = faces.map((face) => `${face.label}, ${percent(face.probability)}`);
    this.speak(each.join("; ") || "No face");
  }

  async #listCameras(track) {
    const { cameras } = this.elements;
    const devices = (await navigator.mediaDevices.enumerateDevices())
      .filter((device) => device.kind === "videoinput");
    cameras.replaceChildren(...devices.map((device, index) => {
      return new Option(device.label || `Camera ${index + 1}`, device.deviceId);
    }));
    cameras.value = track.getSettings().deviceId;
    cameras.hidden = devices.length < 2;
  }
}

async function openCamera(deviceId) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give the camera only to pages from https:// or localhost. Open the " +
      "page by such an address, or choose a photo instead.");
  }
  const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false, video: { ...which, width: { ideal: WIDTH }, height: { ideal: 480 } },
    });
  } catch (error) {
    const other = `The camera did not start (${error.message}). Choose a photo instead.`;
    throw new Error(ADVICE[error.name] ?? other);
  }
}

const ADVICE = {
  NotAllowedError: "The camera was refused. Allow it for this page, by the sign beside the " +
    "address or in the browser's settings, and turn it on again; or choose a photo instead.",
  NotFoundError: "No camera was found. Connect one and turn it on again, or choose a photo " +
    "instead.",
  NotReadableError: "The camera is in use by another program. Close that and turn the camera on " +
    "again, or choose a photo instead.",
  OverconstrainedError: "This camera is not there any more. Turn the camera on again.",
};

function nextFrame(video) {
  return new Promise((resolve) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}
