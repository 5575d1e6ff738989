// The page: takes photos in, has the worker read them, shows the answers.

import { Camera } from "./camera.js";
import { Engine } from "./engine.js";
import { readSettings } from "./settings.js";
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
  faces: byId("camera-faces"), said: byId("camera-said"), speed: byId("speed"),
  cameras: byId("cameras"),
}, engine, settings, speak);

const shown = [];
const urls = [];
let queue = Promise.resolve();

// For scripts, such as tests: nothing here is needed by the page itself.
window.ferSklearn = {
  /** Resolves when the runtime is loaded, which it begins. */
  get ready() { return engine.ready; },
  labels: settings.labels,
  /** Read an image file (Blob) or ImageData; the whole of it if {whole: true}. */
  async answers(picture, { whole = false } = {}) {
    return (await engine.ask("photo", { source: picture, whole })).faces;
  },
  /** What the page shows: {name, faces} or {name, error}, in the order in which it was given. */
  shown,
  camera,
  /** Resolves when all pictures that were given so far are read. */
  get idle() { return queue; },
};

function speak(text) {
  byId("said").textContent = text;
}

function showProgress(share) {
  byId("progress").value = share;
}

function showProblem(text) {
  byId("problem").textContent = text;
  byId("problem").hidden = !text;
}

/** Begin to load; whoever needs the answers waits for it, and is told if it fails. */
async function wake() {
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

/** Read files one after the other; what is no image is told beside it. */
function take(files) {
  if (!files.length) return;
  wake();
  document.body.classList.add("busy");
  byId("results-bar").hidden = false;
  const jobs = files.map((file) => {
    const name = file.name || "Pasted picture";
    const card = new PhotoCard(name, settings);
    const record = { name };
    shown.push(record);
    return { file, card, record };
  });
  // The newest come first.
  byId("cards").prepend(...jobs.map((job) => job.card.element));
  for (const job of jobs) queue = queue.then(() => read(job));
}

async function read({ file, card, record }) {
  const url = URL.createObjectURL(file);
  urls.push(url);
  card.showPicture(url);
  card.say("Looking for faces …");
  await show(record, card, file, false);
}

async function show(record, card, file, whole) {
  try {
    const answer = await engine.ask("photo", { source: file, whole });
    record.faces = answer.faces;
    if (answer.faces.length) card.showFaces(answer);
    else card.say("No face was found in this picture.", wholeButton(record, card, file));
    speak(`${record.name}: ${spoken(answer.faces)}`);
  } catch (error) {
    record.error = error.message;
    card.fail(error.message);
    speak(`${record.name}: ${error.message}`);
  }
}

function wholeButton(record, card, file) {
  const button = make("button", { type: "button" }, "Read the whole picture as a face");
  button.onclick = () => {
    button.disabled = true;
    queue = queue.then(() => show(record, card, file, true));
  };
  return button;
}

function spoken(faces) {
  if (!faces.length) return "no face was found";
  const each = faces.map((face) => `${face.label}, ${percent(face.probability)}`);
  const isWhole = faces.some((face) => face.whole);
  return isWhole ? `no face was found; the whole picture: ${each}` : each.join("; ");
}

function clear() {
  byId("cards").replaceChildren();
  urls.splice(0).forEach((url) => URL.revokeObjectURL(url));
  shown.length = 0;
  byId("results-bar").hidden = true;
  document.body.classList.toggle("busy", camera.isOn);
  byId("choose").focus();
}

async function turnOn() {
  const button = byId("turn-on");
  if (camera.isOn) return;
  button.disabled = true;
  wake();
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

byId("choose").onclick = () => { byId("files").click(); wake(); };
byId("files").onchange = ({ target }) => { take([...target.files]); target.value = ""; };
byId("turn-on").onclick = turnOn;
byId("stop").onclick = () => camera.stop();
byId("clear").onclick = clear;

addEventListener("paste", (event) => take([...event.clipboardData.files]));
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
  take([...event.dataTransfer.files]);
});

byId("about").textContent = settings.about;
