"""Do explanations show what the pretrained models rely on, and what is that?

    python benchmarks/explanations.py --data fer2013.zip

Three checks that a map can fail, on PublicTest:

masking    hiding the most relevant tenth of the pixels should reduce accuracy more than hiding
           a random tenth, or the tenth that is most relevant in another image. Hidden pixels are
           replaced with the image's mean grey, or with the blurred image.
shuffled   shuffling the weights of the output layer, also of the last stage, or of all layers
           should change the map: its rank correlation with the map of the trained network
           (Adebayo et al. 2018, arXiv:1810.03292), compared with that of two images' maps.
regions    how much accuracy, per emotion, is lost when a part of the face is swapped between
           images.

Writes benchmarks/results/explanations.json and a Markdown table per check. A quarter of an hour
on two idle cores, half of it for the occlusion maps, for which --occluded limits the images of
the default model; --images limits the images of PublicTest for everything. --plots saves
figures of maps over faces to a folder of your own: we may not distribute the images.
"""

import pickle
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from _common import argument_parser, load_split, markdown_table, write_result
from scipy.stats import rankdata

from fer_sklearn import load_pretrained
from fer_sklearn.cnn.architectures import split_stages
from fer_sklearn.explain import (
    grad_cam,
    mask_pixels,
    occlusion_map,
    region_importance,
    top_pixels,
)
from fer_sklearn.plotting import plot_heatmaps
from fer_sklearn.weights import SHIPPED

_FRACTION = 0.1
_FILLS = ("mean", "blur")
_RESAMPLES = 2000
_SHUFFLED_IMAGES = 200
_REPEATS = 3


def main():
    parser = argument_parser(__doc__)
    parser.add_argument("--images", type=int, help="number of random images of PublicTest")
    parser.add_argument(
        "--occluded", type=int, default=500, help="images for the occlusion maps of default"
    )
    parser.add_argument("--plots", type=Path, help="folder for figures of the maps")
    args = parser.parse_args()
    X, y = load_split(args.data, "public")
    chosen = np.random.default_rng(0).permutation(len(X))[: args.images]
    X, y = X[chosen], y[chosen]
    models = {}
    for name in SHIPPED:
        n_occluded = len(X) if name == "tiny" else args.occluded
        model = load_pretrained(name, labels="fer2013", runtime="keras")
        models[name] = measure(model, X, y, n_occluded)
        if args.plots:
            draw(model, X, y, args.plots / f"explanations_{name}.png")
    result = {"scored_on": "PublicTest", "images": len(X), "share": _FRACTION, "models": models}
    tables = {check: table(models) for check, table in TABLES.items()}
    write_result("explanations", result, args.output, tables)


def methods(n_occluded):
    """Return the functions that compute maps, by name, and the number of images for each."""
    return {
        "hires_cam": (grad_cam, None),
        "grad_cam": (partial(grad_cam, method="grad_cam"), None),
        "occlusion": (occlusion_map, n_occluded),
    }


def measure(model, X, y, n_occluded):
    entry = {"masking": {}, "shuffled": {}}
    correct = model.predict(X) == y
    for name, (explain, n) in methods(n_occluded).items():
        print(f"{name} ...", flush=True)
        heatmaps = explain(model, X[:n]).heatmaps
        entry["masking"][name] = masking(model, X[:n], y[:n], correct[:n], heatmaps)
        if name != "occlusion":
            entry["shuffled"][name] = shuffled(model, explain, X[:_SHUFFLED_IMAGES])
    print("regions ...", flush=True)
    regions = region_importance(model, X, y, n_repeats=_REPEATS, random_state=0)
    entry["regions"] = {
        "baseline": regions.baseline,
        "drops": regions.to_frame().to_dict(orient="records"),
    }
    return entry


def masking(model, X, y, correct, heatmaps):
    """Return the drop in accuracy when a tenth of the pixels is hidden, by how it is chosen."""
    rng = np.random.default_rng(0)
    relevant = top_pixels(heatmaps, fraction=_FRACTION)
    masks = {
        "relevant": relevant,
        "random": top_pixels(rng.random(X.shape), fraction=_FRACTION),
        "another_image": np.roll(relevant, 1, axis=0),
    }
    samples = rng.integers(len(X), size=(_RESAMPLES, len(X)))
    entry = {"images": len(X), "accuracy": estimate(correct, samples)}
    for fill in _FILLS:
        left = {
            name: model.predict(mask_pixels(X, mask, fill=fill)) == y
            for name, mask in masks.items()
        }
        hit = left.pop("relevant").astype(float)
        entry[fill] = {"relevant": estimate(correct - hit, samples)} | {
            name: {
                "drop": estimate(correct - other.astype(float), samples),
                "relevant_costs_more_by": estimate(other - hit, samples),
            }
            for name, other in left.items()
        }
    return entry


def estimate(values, samples):
    """Return a mean with its 95 % bootstrap interval."""
    means = np.asarray(values, dtype=float)[samples].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"value": float(np.mean(values)), "low": float(low), "high": float(high)}


def shuffled(model, explain, X):
    """Return the rank correlation of maps with those of networks with shuffled weights."""
    original = explain(model, X)
    entry = {"another_image": correlation(original.heatmaps, np.roll(original.heatmaps, 1, 0))}
    n_stages = len(split_stages(model[-1].model_))
    for name, n in {"output_layer": 1, "last_stage": 2, "all_layers": n_stages}.items():
        maps = explain(with_shuffled_weights(model, n), X, target=original.targets).heatmaps
        entry[name] = correlation(original.heatmaps, maps)
    return entry


def with_shuffled_weights(model, n_stages, seed=0):
    """Return a copy in whose last stages the values of each weight array are shuffled."""
    copy = pickle.loads(pickle.dumps(model))
    rng = np.random.default_rng(seed)
    for stage in split_stages(copy[-1].model_)[-n_stages:]:
        for layer in stage:
            layer.set_weights([shuffled_array(array, rng) for array in layer.get_weights()])
    return copy


def shuffled_array(array, rng):
    return rng.permutation(array.ravel()).reshape(array.shape)


def correlation(first, second):
    """Return the mean Spearman correlation of maps over images, 0 if a map is constant."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (first, second)]
    first, second = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(np.mean((first * second).sum(axis=1) / np.where(lengths > 0, lengths, 1)))


def masking_table(models):
    """Compare the drops in accuracy, with 95 % intervals."""
    rows = []
    for model, entry in models.items():
        for method, masked in entry["masking"].items():
            for fill in _FILLS:
                found = masked[fill]
                cells = [points(found["relevant"])]
                for other in ("random", "another_image"):
                    cells.append(f"{100 * found[other]['drop']['value']:.1f}")
                    cells.append(points(found[other]["relevant_costs_more_by"]))
                rows.append([f"`{model}`", method, f"{masked['images']:,}", fill, *cells])
    header = ["model", "map", "images", "hidden by", "most relevant 10 %", "random 10 %"]
    header += ["difference", "another image's 10 %", "difference"]
    return markdown_table(header, rows, "llrl")


def shuffled_table(models):
    """Compare the rank correlations of maps."""
    order = ("output_layer", "last_stage", "all_layers", "another_image")
    rows = [
        [f"`{model}`", method, *(f"{found[name]:.2f}" for name in order)]
        for model, entry in models.items()
        for method, found in entry["shuffled"].items()
    ]
    header = ["model", "map", "output layer shuffled", "and last stage", "all layers"]
    return markdown_table([*header, "another image's map"], rows, "ll")


def region_table(models):
    """Show the importance of each part of the face for `default`, per emotion."""
    drops = models["default"]["regions"]["drops"]
    emotions = list(dict.fromkeys(row["emotion"] for row in drops))
    rows = [
        [region, *(f"{100 * row['mean']:.1f}" for row in drops if row["region"] == region)]
        for region in dict.fromkeys(row["region"] for row in drops)
    ]
    return markdown_table(["part", *emotions], rows)


def points(numbers):
    value, low, high = (100 * number for number in numbers.values())
    return f"{value:.1f} ({low:.1f} to {high:.1f})"


TABLES = {"masking": masking_table, "shuffled": shuffled_table, "regions": region_table}


def draw(model, X, y, path):
    """Plot three correctly classified faces of each emotion under three kinds of maps."""
    is_correct = model.predict(X) == y
    rows = [np.flatnonzero(is_correct & (y == emotion))[:3] for emotion in model.classes_]
    chosen = np.concatenate(rows)
    faces, labels = X[chosen], y[chosen]
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, (explain, _) in methods(None).items():
        heatmaps = explain(model, faces).heatmaps
        figure = plot_heatmaps(faces, heatmaps, labels, n_cols=7, signed=name == "occlusion")
        figure.savefig(path.with_stem(f"{path.stem}_{name}"), dpi=100)
        plt.close(figure)


if __name__ == "__main__":
    main()
