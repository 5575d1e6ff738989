// The results as comma-separated values, with the columns and digits of predict_photos in Python.

/**
 * @param {{name: string, faces?: object[], error?: string}[]} photos
 * @param {object} settings
 * @returns {string}
 */
export function toCSV(photos, { columns, labels }) {
  const rows = photos.flatMap((photo) => rowsOf(photo, labels));
  const line = (cells) => `${cells.map(quoted).join(",")}\n`;
  const lines = rows.map((row) => line(columns.map(([name, digits]) => {
    return text(Object.hasOwn(row, name) ? row[name] : undefined, digits);
  })));
  return line(columns.map(([name]) => name)) + lines.join("");
}

/** One row per face, or one that says why there is none. */
function rowsOf({ name, faces = [], error }, labels) {
  if (error !== undefined) return [{ source: name, status: `unreadable: ${error}` }];
  if (!faces.length) return [{ source: name, status: "no face" }];
  return faces.map((face, index) => {
    const [left, top, width, height] = face.box;
    const { score, quality, label: emotion } = face;
    const probabilities = Object.fromEntries(labels.map((label, i) => {
      return [label, face.probabilities[i]];
    }));
    const status = face.whole ? "no face" : "ok";
    return {
      source: name, face: index, left, top, width, height, score, quality, emotion,
      ...probabilities, status,
    };
  });
}

/** A value as Python writes it: an empty text if it is missing, and 12.0 rather than 12. */
function text(value, digits) {
  if (value === undefined || Number.isNaN(value)) return "";
  if (digits === null) return String(value);
  const number = Number(value.toFixed(digits));
  return Number.isInteger(number) ? number.toFixed(1) : String(number);
}

function quoted(cell) {
  return /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}
