// The page: takes photos, has the worker classify their faces, and shows the results.

import { Camera } from "./camera.js";
import { Engine } from "./engine.js";
import { readSettings } from "./settings.js";
import { toCSV } from "./table.js";
import { make, percent, PhotoCard } from "./view.js";

const byId = (id) => document.getElementById(id);

byId("unserved").remove();
const settings = await readSettings().catch((error) => {
  showProblem(error.message);
  throw error;
});
const engine = new Engine(settings, showProgress);
const camera = new Camera({
  section: byId("camera"), video: byId("video"), boxes: byId("camera-boxes"),
  faces: byId("camera-faces"), status: byId("camera-status"), speed: byId("speed"),
  cameras: byId("cameras"),
}, engine, settings, announce);

const shown = [];
const urls = [];
let queue = Promise.resolve();

// For scripts such as tests; the page itself does not need it.
window.ferSklearn = {
  /** Starts to load the runtime, and resolves when it is loaded. */
  get ready() { return engine.ready; },
  labels: settings.labels,
  /** Classify the faces in an image file (Blob) or ImageData, or all of it if {whole: true}. */
  async predict(image, { whole = false } = {}) {
    return (await engine.request("photo", { source: image, whole })).faces;
  },
  /** What the page shows: {name, faces} or {name, error}, in the order of the input. */
  shown,
  camera,
  /** Resolves when all photos added so far are classified. */
  get idle() { return queue; },
};

/** Announce a text to screen readers. */
function announce(text) {
  byId("status").textContent = text;
}

function showProgress(fraction) {
  byId("progress").value = fraction;
}

function showProblem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

/** Start to load the runtime, and show its progress and its errors. */
async function loadRuntime() {
  showProblem("");
  byId("loading").hidden = engine.isReady;
  try {
    await engine.ready;
  } catch (error) {
    showProblem(error.message);
  } finally {
    byId("loading").hidden = true;
  }
}

/** Add a card for each file, and classify them one after the other. */
function addFiles(files) {
  if (!files.length) return;
  loadRuntime();
  document.body.classList.add("busy");
  byId("results-bar").hidden = false;
  const jobs = files.map((file) => {
    const name = file.name || "Pasted image";
    const card = new PhotoCard(name, settings);
    const record = { name };
    shown.push(record);
    return { file, card, record };
  });
  // The newest come first.
  byId("cards").prepend(...jobs.map((job) => job.card.element));
  for (const job of jobs) queue = queue.then(() => process(job));
}

async function process({ file, card, record }) {
  const url = URL.createObjectURL(file);
  urls.push(url);
  card.showImage(url);
  card.say("Looking for faces …");
  await show(record, card, file, false);
}

async function show(record, card, file, whole) {
  try {
    const result = await engine.request("photo", { source: file, whole });
    record.faces = result.faces;
    if (result.faces.length) card.showFaces(result);
    else card.say("No face was found in this image.", wholeButton(record, card, file));
    announce(`${record.name}: ${summary(result.faces)}`);
  } catch (error) {
    record.error = error.message;
    card.fail(error.message);
    announce(`${record.name}: ${error.message}`);
  }
}

function wholeButton(record, card, file) {
  const button = make("button", { type: "button" }, "Classify the whole image");
  button.onclick = () => {
    button.disabled = true;
    queue = queue.then(() => show(record, card, file, true));
  };
  return button;
}

function summary(faces) {
  if (!faces.length) return "no face was found";
  const each = faces.map((face, index) => {
    const name = faces.length > 1 ? `face ${index}: ` : "";
    return `${name}${face.label}, ${percent(face.probability)}`;
  });
  const isWhole = faces.some((face) => face.whole);
  return isWhole ? `no face was found; the whole image: ${each}` : each.join("; ");
}

function clear() {
  byId("cards").replaceChildren();
  urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
  shown.length = 0;
  byId("results-bar").hidden = true;
  document.body.classList.toggle("busy", camera.isOn);
  byId("choose").focus();
}

/** Classify the photo that comes with the page. */
async function trySample() {
  loadRuntime();
  try {
    const response = await fetch(new URL("sample.jpg", import.meta.url));
    if (!response.ok) throw new Error(String(response.status));
    addFiles([new File([await response.blob()], "sample.jpg", { type: "image/jpeg" })]);
  } catch (error) {
    showProblem(`sample.jpg could not be loaded (${error.message}). Copy the whole folder again.`);
  }
}

/** Let the browser save the results of all photos. */
function save() {
  const table = new Blob([toCSV(shown, settings)], { type: "text/csv" });
  const url = URL.createObjectURL(table);
  make("a", { href: url, download: "emotions.csv" }).click();
  // The browser reads it after this.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  announce("The table emotions.csv is saved.");
}

async function turnOn() {
  const button = byId("turn-on");
  if (camera.isOn) return;
  button.disabled = true;
  loadRuntime();
  let problem = null;
  try {
    await camera.start();
  } catch (error) {
    problem = error.message;
  }
  button.disabled = false;
  if (problem !== null) camera.stop(problem);
}

camera.onstart = () => {
  document.body.classList.add("busy");
  byId("stop").focus();
};

camera.onstop = (text) => {
  showProblem(text);
  document.body.classList.toggle("busy", shown.length > 0);
  byId("turn-on").focus();
};

byId("choose").onclick = () => { byId("files").click(); loadRuntime(); };
byId("files").onchange = ({ target }) => { addFiles([...target.files]); target.value = ""; };
byId("turn-on").onclick = turnOn;
byId("sample").onclick = trySample;
byId("stop").onclick = () => camera.stop();
byId("save").onclick = () => { queue = queue.then(save); };
byId("clear").onclick = clear;
addEventListener("keydown", ({ key }) => { if (key === "Escape" && camera.isOn) camera.stop(); });

addEventListener("paste", (event) => addFiles([...event.clipboardData.files]));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  addFiles([...event.dataTransfer.files]);
});

byId("about").textContent = settings.about;
