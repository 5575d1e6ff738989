"""How often do the 95 % intervals contain the true value?

    python benchmarks/intervals.py --data fer2013.zip --votes ferplus.csv

Draws samples of images from populations whose metrics are known, evaluates each, and counts how
often an interval contains the true value. Two populations are the predictions of the bundled
networks for PublicTest, scored on FER2013's labels and on people's majority; two are simulated:
models that are nearly always correct, and models that are perfectly calibrated. Means over labels
are compared with the true mean over the labels that occur in the sample.

Writes benchmarks/results/intervals.json, and intervals.md with the lowest coverage over populations
and labels. About half an hour of CPU time.
"""

from collections import defaultdict

import numpy as np
from _common import argument_parser, markdown_table, write_result

from fer_sklearn import EMOTIONS, compare, evaluate_predictions, load_fer2013, load_pretrained
from fer_sklearn.datasets import majority_vote

SAMPLES = {100: 2000, 300: 2000, 3589: 1000}
MEANS = {"balanced_accuracy": "recall", "macro_f1": "f1"}
_SIMULATED = 100_000


class Population:
    """Images of which samples are drawn: labels, what two models predict, and votes or None."""

    def __init__(self, y, probas, votes=None, calibration_error=None):
        self.y, self.probas, self.votes = y, probas, votes
        self.truth = self.evaluate(np.arange(len(y)))
        self._calibration_error = calibration_error

    def evaluate(self, rows):
        """Return a report for each model."""
        votes = None if self.votes is None else self.votes[rows]
        return [
            evaluate_predictions(
                self.y[rows],
                np.array(EMOTIONS)[proba[rows].argmax(axis=1)],
                y_proba=proba[rows],
                votes=votes,
                labels=EMOTIONS,
            )
            for proba in self.probas
        ]

    def outcomes(self, rows):
        """Yield (kind, what, whether the interval contains the true value) for a sample."""
        reports = self.evaluate(rows)
        report, truth = reports[0], self.truth[0]
        true = self._true_values(report, truth)
        for name, estimate in report.overall.items():
            yield name, "", contains(estimate, true[name])
        for label, estimates in report.per_emotion.items():
            for name, estimate in estimates.items():
                value = truth.per_emotion[label][name].value
                yield f"{name} of a label", label, contains(estimate, value)
        expected = truth.confusion_matrix / truth.n_samples * report.n_samples
        within = (report.confusion_interval[0] <= expected) & (
            expected <= report.confusion_interval[1]
        )
        for cell in np.argwhere(expected > 0).tolist():
            yield "count of the confusion matrix", str(cell), bool(within[tuple(cell)])
        if report.people is not None:
            for name, estimate in report.people.estimates().items():
                value = truth.people.estimates()[name].value
                yield f"people's votes: {name}", "", contains(estimate, value)
        other = self._true_values(reports[1], self.truth[1])
        for difference in compare(reports).differences:
            name = difference.metric
            ends = (difference.value, difference.low, difference.high)
            yield f"difference in {name}", "", contains(ends, true[name] - other[name])

    def _true_values(self, report, truth):
        values = {name: estimate.value for name, estimate in truth.overall.items()}
        for name, metric in MEANS.items():
            values[name] = np.mean(
                [
                    truth.per_emotion[label][metric].value
                    for label, estimates in report.per_emotion.items()
                    if not np.isnan(estimates[metric].value)
                ]
            )
        if self._calibration_error is not None:
            values["expected_calibration_error"] = self._calibration_error
        return values


def contains(estimate, value):
    """Return whether an interval contains a value; None if it is not published."""
    _, low, high = estimate
    return None if np.isnan(low) else bool(low - 1e-12 <= value <= high + 1e-12)


def bundled_populations(args):
    public = load_fer2013(args.data, subset="public", votes=args.votes)
    probas = {
        labels: [
            load_pretrained(name, labels=labels, runtime="litert").predict_proba(public.images)
            for name in ("default", "tiny")
        ]
        for labels in ("fer2013", "people")
    }
    majority = majority_vote(public.votes)
    rows = np.isin(majority, EMOTIONS)
    people = [proba[rows] for proba in probas["people"]]
    return {
        "PublicTest, FER2013's labels": Population(public.target, probas["fer2013"], public.votes),
        "PublicTest, people's majority": Population(majority[rows], people),
    }


def simulated_populations(rng):
    labels = np.array(EMOTIONS)
    codes = rng.integers(7, size=_SIMULATED)
    nearly_right = [sharp_probabilities(codes, accuracy, rng) for accuracy in (0.98, 0.97)]
    calibrated = rng.dirichlet(np.full(7, 0.3), _SIMULATED)
    drawn = (calibrated.cumsum(axis=1) > rng.random((_SIMULATED, 1))).argmax(axis=1)
    blurred = (calibrated + 0.05) / 1.35
    return {
        "98 % correct": Population(labels[codes], nearly_right),
        "perfectly calibrated": Population(
            labels[drawn], [calibrated, blurred], calibration_error=0.0
        ),
    }


def sharp_probabilities(codes, accuracy, rng):
    """Return confident probabilities, a fraction of which favour the correct label."""
    right = rng.random(len(codes)) < accuracy
    predicted = np.where(right, codes, (codes + rng.integers(1, 7, len(codes))) % 7)
    confidence = rng.uniform(0.9, 1, len(codes))
    proba = np.repeat((1 - confidence[:, np.newaxis]) / 6, 7, axis=1)
    proba[np.arange(len(codes)), predicted] = confidence
    return proba


def main():
    args = argument_parser(__doc__, votes=True).parse_args()
    rng = np.random.default_rng(0)
    populations = bundled_populations(args) | simulated_populations(rng)
    coverage = {}
    for name, population in populations.items():
        for size, n_samples in SAMPLES.items():
            coverage.setdefault(name, {})[str(size)] = measure(population, size, n_samples, rng)
            print(name, size, flush=True)
    result = {"confidence_level": 0.95, "samples": SAMPLES, "coverage": coverage}
    write_result("intervals", result, args.output, table(coverage))


def measure(population, size, n_samples, rng):
    """Return the coverage of every kind of interval: the lowest of its labels or cells."""
    counts = defaultdict(lambda: defaultdict(list))
    for _ in range(n_samples):
        rows = rng.integers(len(population.y), size=size)
        for kind, what, is_within in population.outcomes(rows):
            if is_within is not None:
                counts[kind][what].append(is_within)
    return {
        # Of a label that hardly ever occurs, too few intervals are known.
        kind: min(float(np.mean(each)) for each in of_kind.values() if len(each) >= n_samples / 2)
        for kind, of_kind in counts.items()
    }


def table(coverage):
    """Return the lowest coverage of each kind over all populations."""
    kinds = dict.fromkeys(
        kind for sizes in coverage.values() for found in sizes.values() for kind in found
    )
    rows = []
    for kind in kinds:
        cells = []
        for size in SAMPLES:
            found = [sizes[str(size)].get(kind) for sizes in coverage.values()]
            found = [value for value in found if value is not None]
            cells.append(f"{100 * min(found):.1f}" if found else "–")
        rows.append([kind.replace("_", " "), *cells])
    return markdown_table(["interval of", *(f"{size:,} images" for size in SAMPLES)], rows)


if __name__ == "__main__":
    main()
