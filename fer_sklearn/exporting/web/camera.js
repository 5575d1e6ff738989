// The camera: sends the newest frame to the worker whenever the previous one is done.

import { BoxView, FaceView, percent } from "./view.js";

// Frames are searched at no more than this width.
const WIDTH = 640;
// Time constant, in seconds, over which probabilities are averaged.
const SMOOTHING_SECONDS = 0.25;
// The speed is measured over this many seconds.
const SPEED_SECONDS = 2;
const NO_FACE = "No face in view. Look straight at the camera, in good light.";
// Seconds between announcements to screen readers.
const ANNOUNCEMENT_INTERVAL = 2;

export class Camera {
  #stream = null;
  #views = new Map();
  #times = [];
  #announced = { label: "", seconds: -Infinity };

  /**
   * @param {object} elements - section, video, boxes, faces, status, speed, cameras
   * @param {Engine} engine
   * @param {object} settings
   * @param {(text: string) => void} announce - announces a text to screen readers
   *
   * Callers may set the callbacks `onstart` and `onstop`; the latter receives a message to show.
   */
  constructor(elements, engine, settings, announce) {
    Object.assign(this, { elements, engine, settings, announce });
    elements.cameras.onchange = () => this.#switch(elements.cameras.value);
  }

  get isOn() {
    return this.#stream !== null;
  }

  /** The numbers of the faces that are shown. */
  get numbers() {
    return [...this.#views.keys()];
  }

  get predictionsPerSecond() {
    if (this.#times.length < 2) return 0;
    return (this.#times.length - 1) / (this.#times.at(-1).seconds - this.#times[0].seconds);
  }

  /** How long the worker takes for a frame, on average. */
  get millisecondsPerFrame() {
    return this.#times.reduce((sum, time) => sum + time.milliseconds, 0) / this.#times.length;
  }

  /** Request the camera and start; rejects with advice if that fails. */
  async start(deviceId = null) {
    const stream = await openCamera(deviceId);
    this.#stream = stream;
    const { section, video, boxes, status } = this.elements;
    const [track] = stream.getVideoTracks();
    track.onended = () => {
      this.stop("The camera was disconnected. Connect it and turn it on again.");
    };
    const isBack = track.getSettings().facingMode === "environment";
    boxes.parentElement.classList.toggle("mirrored", !isBack);
    section.hidden = false;
    status.textContent = "Starting …";
    this.onstart?.();
    video.srcObject = stream;
    await video.play().catch((error) => {
      if (this.#stream === stream) throw error; // otherwise, it was stopped in the meantime
    });
    if (this.#stream !== stream) return;
    boxes.parentElement.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
    await this.#listCameras(track);
    await this.engine.request("forget");
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
        next = nextFrame(video); // resolved already if the worker takes longer than a frame
        const resizeWidth = Math.min(WIDTH, video.videoWidth);
        const source = await createImageBitmap(video, { resizeWidth, resizeQuality: "low" });
        const seconds = performance.now() / 1000;
        const result = await this.engine.request("frame", { source, seconds }, [source]);
        if (this.#stream === stream) this.#show(result, performance.now() / 1000, isMirrored);
      }
    } catch (error) {
      this.stop(error.message);
    }
  }

  #show(result, seconds, isMirrored) {
    const { boxes, faces, status, speed } = this.elements;
    this.#times.push({ seconds, milliseconds: result.milliseconds });
    this.#times = this.#times.filter((time) => seconds - time.seconds <= SPEED_SECONDS);
    const [rate, duration] = [this.predictionsPerSecond, this.millisecondsPerFrame];
    speed.textContent = `${rate.toFixed(0)} per second, ${duration.toFixed(0)} ms each`;
    const present = result.faces.map((face) => this.#smoothed(face, seconds));
    const numbers = new Set(present.map((face) => face.number));
    for (const number of this.#views.keys()) if (!numbers.has(number)) this.#views.delete(number);
    for (const face of present) {
      const view = this.#views.get(face.number);
      view.face.show(face, present.length > 1 ? `face ${face.number}` : "");
      const title = present.length > 1 ? `${face.number} ${face.label}` : face.label;
      view.box.show(face, result, { title, isMirrored });
    }
    this.#put(boxes, present.map((face) => this.#views.get(face.number).box.element));
    this.#put(faces, present.map((face) => this.#views.get(face.number).face.element));
    status.textContent = present.length ? "" : NO_FACE;
    this.#announce(present, seconds);
  }

  /** Average a face's probabilities over time, independently of the frame rate. */
  #smoothed(face, seconds) {
    if (!this.#views.has(face.number)) {
      const [view, box] = [new FaceView(this.settings), new BoxView(this.settings)];
      this.#views.set(face.number, { face: view, box, smoothed: face.probabilities, seconds });
    }
    const view = this.#views.get(face.number);
    const weight = 1 - Math.exp(-(seconds - view.seconds) / SMOOTHING_SECONDS);
    view.smoothed = view.smoothed.map((old, i) => old + weight * (face.probabilities[i] - old));
    view.seconds = seconds;
    const best = view.smoothed.indexOf(Math.max(...view.smoothed));
    return {
      ...face,
      label: this.settings.labels[best],
      probability: view.smoothed[best],
      probabilities: view.smoothed,
    };
  }

  /** Replace the children only if they differ, so that bars and boxes move smoothly. */
  #put(parent, children) {
    const isSame = parent.children.length === children.length
      && children.every((child, index) => parent.children[index] === child);
    if (!isSame) parent.replaceChildren(...children);
  }

  #announce(faces, seconds) {
    const label = faces.map((face) => face.label).join(", ");
    const isEarly = seconds - this.#announced.seconds < ANNOUNCEMENT_INTERVAL;
    if (label === this.#announced.label || isEarly) return;
    this.#announced = { label, seconds };
    const each = faces.map((face) => `${face.label}, ${percent(face.probability)}`);
    this.announce(each.join("; ") || "No face");
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
  const obstacle = findObstacle();
  if (obstacle) throw new Error(`${obstacle} ${INSTEAD}`);
  const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: false, video: { ...which, width: { ideal: WIDTH }, height: { ideal: 480 } },
    });
  } catch (error) {
    const other = `The camera did not start (${error.message || error.name}).`;
    throw new Error(`${REFUSALS[error.name] ?? other} ${INSTEAD}`);
  }
}

/** Why there cannot be a camera here, or null. */
function findObstacle() {
  if (!window.isSecureContext) {
    return "Browsers allow the camera only on pages from https:// or localhost. Open the page at " +
      "such an address.";
  }
  if (!navigator.mediaDevices?.getUserMedia)
    return "This browser does not let pages use a camera. Update it, or use another one.";
  const policy = document.permissionsPolicy ?? document.featurePolicy;
  if (policy && !policy.allowsFeature("camera")) {
    return "The site that embeds this page does not allow it to use the camera. Open the page in " +
      'its own tab, or add allow="camera" to the frame.';
  }
  return null;
}

const INSTEAD = "You can also choose a photo.";

// Advice for the errors of getUserMedia, by their names.
const REFUSALS = {
  NotAllowedError: "Access to the camera was denied. Allow it for this page, with the icon next " +
    "to the address or in the browser's settings, and for the browser in the privacy settings of " +
    "your system; then turn the camera on again.",
  SecurityError: "The browser's settings do not allow pages to use the camera. Allow it there, " +
    "and turn the camera on again.",
  NotFoundError: "No camera was found. Connect one, and turn it on again.",
  NotReadableError: "The camera was found but returns no image; another program may be using it. " +
    "Close that program, or unplug the camera and connect it again; then turn it on again.",
  AbortError: "The camera stopped while it was starting. Turn it on again; if that does not " +
    "help, unplug it and connect it again.",
  OverconstrainedError: "This camera is no longer connected, or cannot take such images. Turn " +
    "the camera on again to use another one.",
};

function nextFrame(video) {
  return new Promise((resolve) => {
    if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(resolve);
    else requestAnimationFrame(resolve);
  });
}
