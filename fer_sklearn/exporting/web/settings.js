// The page's settings: the network's from its metadata file fer_sklearn.json, the page's own from
// page.json.

export async function readSettings() {
  const [network, page] = await Promise.all(["fer_sklearn.json", "page.json"].map(readJSON));
  return {
    labels: network.labels,
    size: network.input.model_size,
    framing: network.crop.framing,
    colors: page.colors,
    columns: page.columns,
    runtime: page.runtime,
    about: about(network),
  };
}

async function readJSON(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name} is missing on the server. Copy the whole folder.`);
  return response.json();
}

const LABEL_SETS = {
  people: "It predicts what most people see in a face.",
  ferplus: "It predicts what people see in a face, according to the votes of FER+.",
  fer2013: "It predicts the labels of the data set FER2013.",
};

/** Sentences about the network, as far as the metadata allows. */
function about({ labels, label_set: labelSet, accuracy, licence }) {
  const isNumber = typeof accuracy === "number";
  const figures = isNumber ? { "test images": accuracy } : accuracy ?? {};
  const accuracies = Object.entries(figures)
    .filter(([, value]) => typeof value === "number" && value > 0 && value <= 1)
    .map(([name, value]) => `${(100 * value).toFixed(1)}\u00a0% (${name})`);
  return [
    `The network distinguishes ${labels.slice(0, -1).join(", ")} and ${labels.at(-1)}.`,
    LABEL_SETS[labelSet] ?? "",
    accuracies.length ? `Accuracy: ${accuracies.join(", ")}.` : "",
    "A facial expression is not necessarily what a person feels.",
    typeof licence === "string" ? `Licence of the network: ${licence}.` : "",
  ].filter(Boolean).join(" ");
}
