// What is drawn: a card for each photo, a box and seven bars for each face.

const BRIGHT = 0.35; // on colours brighter than this, black letters are read better

// Pictures whose longer side is no more than this are shown enlarged.
const TINY = 150;

/** Make an element; `properties` are set on it, `children` are elements or text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** A face: the picture that the network read, its emotion, and a bar for each label. */
export class FaceView {
  #rows;
  #emotion = make("span");
  #share = make("span", { className: "share" });
  #remark = make("small");
  #canvas = make("canvas");

  constructor(settings) {
    this.settings = settings;
    this.#rows = settings.labels.map((label) => new Row(label, settings.colors[label]));
    this.#canvas.setAttribute("aria-hidden", "true");
    const rows = make("ul", { className: "rows" }, ...this.#rows.map((row) => row.element));
    const emotion = make("span", { className: "emotion" }, this.#emotion, this.#remark);
    this.element = make("li", { className: "face" }, this.#canvas, emotion, this.#share, rows);
  }

  show(face, remark = "") {
    const { picture, label, probability, probabilities } = face;
    Object.assign(this.#canvas, { width: picture.width, height: picture.height });
    this.#canvas.getContext("2d").putImageData(picture, 0, 0);
    this.element.style.setProperty("--color", this.settings.colors[label]);
    this.#emotion.textContent = label;
    this.#remark.textContent = remark;
    this.#share.textContent = percent(probability);
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

  show(share, isFirst) {
    this.#bar.style.width = `${100 * share}%`;
    this.#value.textContent = percent(share);
    this.element.classList.toggle("first", isFirst);
  }
}

/** A box about a face, in shares of the picture that it lies on. */
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
    // The label stays within the picture.
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

/** A photo: its name, itself with boxes, and its faces or why there are none. */
export class PhotoCard {
  #said = make("div", { className: "said" });
  #picture = make("div", { className: "picture" });

  constructor(name, settings) {
    this.settings = settings;
    const title = make("h3", { title: name }, name);
    this.element = make("article", { className: "photo" }, title, this.#said);
    this.element.setAttribute("aria-label", name);
    this.say("Waiting …");
  }

  say(text, ...more) {
    this.#said.replaceChildren(make("p", { className: "dim" }, text), ...more);
  }

  fail(text) {
    this.element.classList.add("failed");
    this.#picture.remove();
    this.#said.replaceChildren(make("p", { className: "note problem" }, text));
  }

  /** Show the picture at once, before its faces are known. */
  showPicture(url) {
    const image = make("img", { src: url, alt: "" });
    image.onload = () => {
      const long = Math.max(image.naturalWidth, image.naturalHeight);
      this.#picture.classList.toggle("tiny", long <= TINY);
    };
    // What the browser cannot show, the worker tells.
    image.onerror = () => this.#picture.remove();
    this.#picture.replaceChildren(image);
    this.#said.before(this.#picture);
  }

  showFaces(answer) {
    const { faces } = answer;
    this.element.classList.toggle("many", faces.length > 1);
    const boxes = make("div", { className: "boxes" });
    const list = make("ul", { className: "faces" });
    faces.forEach((face, index) => {
      const number = faces.length > 1 ? `${index + 1}` : "";
      const view = new FaceView(this.settings);
      const remark = face.whole ? "no face found: the whole picture was read" : "";
      view.show(face, remark || (number && `face ${number}`));
      list.append(view.element);
      if (face.whole) return;
      const box = new BoxView(this.settings);
      box.show(face, answer, { title: number || face.label });
      boxes.append(box.element);
    });
    this.#picture.querySelector(".boxes")?.remove();
    this.#picture.append(boxes);
    this.#said.replaceChildren(list);
  }
}
