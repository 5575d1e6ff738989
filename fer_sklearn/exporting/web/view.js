// The elements of the page: a card for each photo, a box and a bar per label for each face.

const BRIGHT = 0.35; // on colours brighter than this, black text is easier to read

// Images whose longer side is at most this are shown enlarged.
const TINY = 150;

/** Make an element with `properties`; `children` are elements or text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A list; Safari announces lists without bullets only if they say that they are one. */
function list(className, ...items) {
  const element = make("ul", { className }, ...items);
  element.setAttribute("role", "list");
  return element;
}

export function percent(fraction) {
  return `${Math.round(100 * fraction)}\u00a0%`;
}

/** A face: the crop that the network classified, its emotion, and a bar for each label. */
export class FaceView {
  #rows;
  #emotion = make("span");
  #probability = make("span", { className: "probability" });
  #remark = make("small");
  #canvas = make("canvas");

  constructor(settings) {
    this.settings = settings;
    this.#rows = settings.labels.map((label) => new Row(label, settings.colors[label]));
    this.#canvas.setAttribute("aria-hidden", "true");
    const rows = list("rows", ...this.#rows.map((row) => row.element));
    rows.setAttribute("aria-label", "Probabilities");
    const emotion = make("span", { className: "emotion" }, this.#emotion, this.#remark);
    const parts = [this.#canvas, emotion, this.#probability, rows];
    this.element = make("li", { className: "face" }, ...parts);
  }

  show(face, remark = "") {
    const { image, label, probability, probabilities } = face;
    Object.assign(this.#canvas, { width: image.width, height: image.height });
    this.#canvas.getContext("2d").putImageData(image, 0, 0);
    this.element.style.setProperty("--color", this.settings.colors[label]);
    this.#emotion.textContent = label;
    this.#remark.textContent = remark;
    this.#probability.textContent = percent(probability);
    this.#rows.forEach((row, index) => row.show(probabilities[index], row.label === label));
  }
}

class Row {
  #bar = make("u");
  #value = make("span", { className: "value" });

  constructor(label, color) {
    this.label = label;
    this.#bar.style.setProperty("--color", color);
    const track = make("i", {}, this.#bar);
    track.setAttribute("aria-hidden", "true");
    this.element = make("li", { className: "row" }, make("b", {}, label), track, this.#value);
  }

  show(probability, isFirst) {
    this.#bar.style.width = `${100 * probability}%`;
    this.#value.textContent = percent(probability);
    this.element.classList.toggle("first", isFirst);
  }
}

/** A box around a face, in fractions of the image behind it. */
export class BoxView {
  #label = make("span");

  constructor(settings) {
    this.settings = settings;
    this.element = make("div", { className: "box" }, this.#label);
  }

  show(face, { width, height }, { title, isMirrored = false }) {
    const [left, top, boxWidth, boxHeight] = face.box;
    const shown = isMirrored ? width - left - boxWidth : left;
    const color = this.settings.colors[face.label];
    const { style, classList } = this.element;
    style.left = `${100 * shown / width}%`;
    style.top = `${100 * top / height}%`;
    style.width = `${100 * boxWidth / width}%`;
    style.height = `${100 * boxHeight / height}%`;
    style.setProperty("--color", color);
    style.setProperty("--on-color", brightness(color) > BRIGHT ? "#000000" : "#ffffff");
    // The label stays inside the image.
    const isHigh = top < 0.1 * height;
    const isLow = top + boxHeight > 0.9 * height;
    classList.toggle("high", isHigh && !isLow);
    classList.toggle("inside", isHigh && isLow);
    classList.toggle("late", shown > 0.7 * width);
    this.#label.textContent = title;
  }
}

/** Relative luminance of "#RRGGBB", from 0 to 1. */
function brightness(color) {
  const linear = [1, 3, 5].map((at) => (parseInt(color.slice(at, at + 2), 16) / 255) ** 2.2);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

/** A photo: its name, the image with boxes, and its faces or the reason why there are none. */
export class PhotoCard {
  #details = make("div", { className: "details" });
  #image = make("div", { className: "image" });

  constructor(name, settings) {
    this.settings = settings;
    const title = make("h3", { title: name }, name);
    this.element = make("article", { className: "photo" }, title, this.#details);
    this.element.setAttribute("aria-label", name);
    this.say("Waiting …");
  }

  say(text, ...more) {
    this.#details.replaceChildren(make("p", { className: "dim" }, text), ...more);
  }

  fail(text) {
    this.element.classList.add("failed");
    this.#image.remove();
    this.#details.replaceChildren(make("p", { className: "note problem" }, text));
  }

  /** Show the image at once, before its faces are known. */
  showImage(url) {
    const image = make("img", { src: url, alt: "" });
    image.onload = () => {
      const long = Math.max(image.naturalWidth, image.naturalHeight);
      this.#image.classList.toggle("tiny", long <= TINY);
    };
    // The worker reports images that the browser cannot show.
    image.onerror = () => this.#image.remove();
    this.#image.replaceChildren(image);
    this.#details.before(this.#image);
  }

  showFaces(result) {
    const { faces } = result;
    this.element.classList.toggle("many", faces.length > 1);
    const boxes = make("div", { className: "boxes" });
    // The list says the same.
    boxes.setAttribute("aria-hidden", "true");
    const listed = list("faces");
    listed.setAttribute("aria-label", "Faces");
    faces.forEach((face, index) => {
      const number = faces.length > 1 ? `${index}` : "";
      const view = new FaceView(this.settings);
      const quality = `quality ${face.quality.toFixed(2)}`;
      const remark = face.whole ? "no face found: the whole image was classified"
        : number ? `face ${number}, ${quality}` : quality;
      view.show(face, remark);
      listed.append(view.element);
      if (face.whole) return;
      const box = new BoxView(this.settings);
      box.show(face, result, { title: number || face.label });
      boxes.append(box.element);
    });
    this.#image.querySelector(".boxes")?.remove();
    this.#image.append(boxes);
    this.#details.replaceChildren(listed);
  }
}
