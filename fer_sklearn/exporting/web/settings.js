// What the page has to know: of the network from fer_sklearn.json, which the export wrote for
// whoever uses the network, and of itself from page.json.

export async function readSettings() {
  const [network, page] = await Promise.all(["fer_sklearn.json", "page.json"].map(readJSON));
  return {
    labels: network.labels,
    size: network.input.model_size,
    crop: network.crop,
    colors: page.colors,
    runtime: page.runtime,
    about: about(network),
  };
}

async function readJSON(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name} is missing on the server. Copy the whole folder.`);
  return response.json();
}

/** Sentences on the network, as far as its maker told. */
function about({ labels, accuracy, licence }) {
  const isNumber = typeof accuracy === "number";
  const figures = isNumber ? { "of the test images": accuracy } : accuracy ?? {};
  const shares = Object.entries(figures)
    .filter(([, share]) => typeof share === "number" && share > 0 && share <= 1)
    .map(([name, share]) => `${(100 * share).toFixed(1)}\u00a0% (${name})`);
  return [
    `The network tells ${labels.slice(0, -1).join(", ")} and ${labels.at(-1)} apart.`,
    shares.length ? `It was right in ${shares.join(", ")}.` : "",
    "What a face shows need not be what a person feels.",
    typeof licence === "string" ? `Licence of the network: ${licence}.` : "",
  ].filter(Boolean).join(" ");
}
