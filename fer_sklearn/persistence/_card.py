"""The model card: the data, settings, scores and intended use of a model."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._utils.pixels import split_batch
from .._utils.tables import heading, markdown_table, to_json_value, with_interval
from .._utils.typing import ArrayLike, Estimator, ImagesLike, PathLike
from .._utils.validation import check_known_keys
from ..exceptions import ModelFileError
from ..images import as_photo
from ._archive import current_versions, parse_json, read_archive

__all__ = ["card_lines", "complete_card", "describe_data", "model_card", "read_card"]

_GIVEN = (
    *("name", "description", "data", "scores", "evaluated_on", "license", "intended_use"),
    *("limitations", "tags"),
)
# Known from the estimator and its packages. A card that was read contains them too.
_KNOWN = ("labels", "settings", "versions")
_OF_DATA = ("name", "subset", "digest", "n_images", "n_per_label", "url", "description")
_INTENDED_USE = (
    "To label the facial expression in photos of faces like those it was trained on, where a "
    "person checks whatever follows from a label."
)
_LIMITATIONS = (
    "A facial expression does not prove what someone feels. Accuracy differs between people, "
    "emotions, light and angles: measure it on photos like yours. In the European Union, emotion "
    "recognition at work and in education is prohibited, with few exceptions (AI Act, Article "
    "5(1)(f))."
)
_TAGS = ("facial-expression-recognition", "emotion-recognition", "scikit-learn", "fer_sklearn")
_CONFIDENCE_LEVEL = 0.95
# The names that Hugging Face gives to metrics.
_HUB_METRICS = {"macro_f1": "f1", "weighted_f1": "f1"}
_MAX_REPR = 100


class _Score(NamedTuple):
    """A metric with the ends of its interval, for tables."""

    value: float
    low: float
    high: float


def model_card(model: Estimator | PathLike, *, card: Mapping[str, Any] | None = None) -> str:
    """Return the model card of an estimator or a saved model as a Markdown page.

    It begins with the front matter that Hugging Face reads (``license``, ``library_name``,
    ``tags``, ``metrics``, ``model-index``): a folder with this page as ``README.md`` next to the
    saved model can be pushed to its hub as it is.

    Parameters
    ----------
    model : estimator object, str or Path
        An estimator, or the path of a file that :func:`save` wrote, which is not loaded.
    card : mapping or None, default=None
        Information that the estimator does not contain. All entries are optional:

        ``name``, ``description``
            Text.
        ``data``
            The training data: text, or a mapping such as
            :func:`~fer_sklearn.persistence.describe_data` returns, with some of ``name``,
            ``subset``, ``digest``, ``n_images``, ``n_per_label``, ``url`` and ``description``.
        ``scores``
            The result of :func:`~fer_sklearn.evaluate`, or a mapping from names of metrics to a
            number or to ``(value, low, high)``, with the ends of the 95 % interval.
        ``evaluated_on``
            The test data, as in ``data``.
        ``license``
            An SPDX identifier, such as ``"mit"``.
        ``intended_use``, ``limitations``
            Text to use instead of the default text.
        ``tags``
            List of text, in addition to the usual tags.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If `card` has an unknown entry.
    TypeError
        If an entry has the wrong type, or `card` is given with a path.
    FileNotFoundError, ModelFileError
        For a path, as in :func:`load`.

    See Also
    --------
    save : Takes the same `card`, and keeps it in the file.

    Examples
    --------
    >>> from sklearn.dummy import DummyClassifier
    >>> from fer_sklearn import model_card
    >>> model = DummyClassifier().fit([[0], [1]], ["happy", "sad"])
    >>> page = model_card(model, card={"license": "mit", "scores": {"accuracy": (0.5, 0.1, 0.9)}})
    >>> print(page[:46])
    ---
    license: "mit"
    library_name: "fer_sklearn"
    """
    if hasattr(model, "get_params"):
        return _page(complete_card(model, card, current_versions()))
    if card is not None:
        raise TypeError(
            f"card={card!r} is given with a path, whose file has a card. Load the model, and pass "
            f"it instead of its path."
        )
    return _page(read_card(model), Path(model).name)


def read_card(path: PathLike) -> dict[str, Any]:
    """Read the model card in a saved model, without loading the model.

    Parameters
    ----------
    path : str or Path
        A file of :func:`~fer_sklearn.save`.

    Returns
    -------
    dict
        The entries of `card` in :func:`~fer_sklearn.model_card`, with the scores as a mapping
        with ``n_images``, ``confidence_level`` and ``metrics``; and ``labels``, ``settings`` and
        ``versions``. You can pass it to :func:`~fer_sklearn.save` again.

    Raises
    ------
    FileNotFoundError, ModelFileError
        As in :func:`~fer_sklearn.load`.
    """
    parts, _ = read_archive(Path(path))
    try:
        return _checked(parse_json(parts["card.json"], "card.json"))
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"path={str(path)!r} has no usable model card: {error}") from error


def describe_data(
    images: ImagesLike, target: ArrayLike, *, name: str, subset: str | None = None
) -> dict[str, Any]:
    """Describe a data set for a model card.

    Parameters
    ----------
    images : array-like of shape (n, ...), or list of photos
    target : array-like of shape (n,)
        Labels.
    name : str
        Such as ``"FER2013"``, or the name of a folder.
    subset : str or None, default=None
        Such as ``"train"``.

    Returns
    -------
    dict
        ``name``, ``subset``, ``n_images``, ``n_per_label``, and ``digest``: SHA-256 of all pixels
        and labels in their order, which is the same only for the same data.

    Examples
    --------
    >>> from fer_sklearn import make_faces
    >>> from fer_sklearn.persistence import describe_data
    >>> X, y = make_faces(14, random_state=0, return_X_y=True)
    >>> describe_data(X, y, name="synthetic faces")["n_images"]
    14
    """
    labels = [str(label) for label in np.asarray(target).tolist()]
    digest = hashlib.sha256(json.dumps(labels).encode())
    is_stacked = isinstance(images, np.ndarray) and images.dtype.kind in "biuf"
    for image in images if is_stacked else split_batch(images, name="images"):
        pixels = np.ascontiguousarray(image if hasattr(image, "dtype") else as_photo(image))
        digest.update(f"{pixels.shape}{pixels.dtype.str}".encode())
        digest.update(pixels.data)
    return {
        "name": name,
        **({} if subset is None else {"subset": subset}),
        "n_images": len(labels),
        "n_per_label": {label: labels.count(label) for label in sorted(set(labels))},
        "digest": f"sha256:{digest.hexdigest()}",
    }


def complete_card(
    estimator: Estimator, card: Mapping[str, Any] | None, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return a card with the information that the estimator contains.

    Parameters
    ----------
    estimator : estimator object
    card : mapping or None
        As in :func:`model_card`.
    versions : dict of str to str
        Versions of the packages here.

    Returns
    -------
    dict
        Plain data for JSON.
    """
    if card is not None and not isinstance(card, Mapping):
        raise TypeError(
            f"card={card!r} is not a mapping; expected one such as {{'license': 'mit'}}."
        )
    given = _checked(_of_bundled(estimator) | dict(card or {}))
    classes = getattr(estimator, "classes_", None)
    return given | {
        "labels": [] if classes is None else [str(label) for label in classes],
        "settings": list(_settings(estimator, "")),
        "versions": dict(versions),
    }


def _of_bundled(estimator):
    """Return the information in the weights file of a network that was not trained further."""
    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    if getattr(last, "n_iter_", 0):  # it has another head, on the same body
        return {}
    network = getattr(last, "_litert", None)
    description = getattr(last, "description_", None) or getattr(network, "description", None)
    if not isinstance(description, Mapping) or "trained_on" not in description:
        return {}
    scores = description.get("accuracy")
    return {
        "data": {"description": str(description["trained_on"])},
        "scores": {
            f"accuracy: {name}": value
            for name, value in (scores if isinstance(scores, Mapping) else {}).items()
        },
    }


def _settings(estimator, name):
    """Yield the type and the parameters of an estimator, and of those in it."""
    try:
        parameters = estimator.get_params(deep=False)
    except Exception:  # from the code of any object with this method
        parameters = {}
    parts = {} if not hasattr(estimator, "steps") else dict(estimator.steps)
    inner = {key: value for key, value in parameters.items() if hasattr(value, "get_params")}
    plain = {
        key: _plain(value)
        for key, value in parameters.items()
        if key not in inner and not (parts and key == "steps")
    }
    yield {"step": name, "type": type(estimator).__name__, "parameters": plain}
    for key, value in {**parts, **inner}.items():
        if hasattr(value, "get_params"):
            yield from _settings(value, f"{name}__{key}" if name else key)


def _plain(value):
    value = to_json_value(value)
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        value = _short(repr(value))
    return value if not isinstance(value, (list, dict)) else _short(json.dumps(value))


def _short(text):
    return text if len(text) <= _MAX_REPR else f"{text[: _MAX_REPR - 1]}…"


# Entries from a caller or a file


def _checked(card):
    """Return a card in its stored form; also one that was read from a file."""
    if not isinstance(card, Mapping):
        raise TypeError(f"card={card!r} is not a mapping.")
    check_known_keys("card", card, (*_GIVEN, *_KNOWN))
    checked = {key: value for key, value in card.items() if value is not None}
    for key in ("name", "description", "license", "intended_use", "limitations"):
        if not isinstance(checked.get(key, ""), str):
            raise TypeError(f"card[{key!r}]={checked[key]!r} is not text; expected a string.")
    for key in ("data", "evaluated_on"):
        if key in checked:
            checked[key] = _checked_data(checked[key], key)
    if "tags" in checked:
        if isinstance(checked["tags"], str) or not isinstance(checked["tags"], Iterable):
            raise TypeError(f"card['tags']={checked['tags']!r} is not a list of strings.")
        checked["tags"] = [str(tag) for tag in checked["tags"]]
    if not _is_well_formed(checked):
        raise TypeError(
            f"card has {' or '.join(map(repr, _KNOWN))} of another form; expected them as "
            f"read_card returns them."
        )
    if "scores" in checked:
        checked["scores"] = _checked_scores(checked["scores"])
    return checked


def _is_well_formed(card):
    settings = card.get("settings", [])
    return (
        isinstance(card.get("labels", []), list)
        and isinstance(card.get("versions", {}), Mapping)
        and isinstance(settings, list)
        and all(
            isinstance(part, Mapping)
            and {"step", "type", "parameters"} <= part.keys()
            and isinstance(part["parameters"], Mapping)
            for part in settings
        )
    )


def _checked_data(data, key):
    if isinstance(data, str):
        return {"name": data}
    if not isinstance(data, Mapping):
        raise TypeError(f"card[{key!r}]={data!r} is neither text nor a mapping.")
    check_known_keys(f"card[{key!r}]", data, _OF_DATA)
    return _jsonable(data, f"card[{key!r}]")


def _jsonable(value, name):
    value = to_json_value(value)
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        raise TypeError(f"{name}={value!r} cannot be written as JSON.") from None
    return value


def _checked_scores(scores):
    if hasattr(scores, "overall") and hasattr(scores, "to_dict"):
        report = scores.to_dict()
        metrics = [_row(name, value) for name, value in report["overall"].items()]
        metrics += [
            _row(name, value, str(label))
            for label, values in report["per_emotion"].items()
            for name, value in values.items()
            if name != "support"
        ]
        return {
            "n_images": report["n_samples"],
            "confidence_level": report["confidence_level"],
            "metrics": [row for row in metrics if row["value"] is not None],
        }
    if not isinstance(scores, Mapping):
        raise TypeError(
            f"card['scores']={scores!r} is neither a result of evaluate nor a mapping from metrics "
            f"to numbers."
        )
    if isinstance(scores.get("metrics"), list):  # from a file
        rows = [
            _row(row.get("name"), row, row.get("label"))
            for row in scores["metrics"]
            if isinstance(row, Mapping)
        ]
        level = _number(scores.get("confidence_level"))
        n_images = _number(scores.get("n_images"))
        return {"n_images": n_images, "confidence_level": level, "metrics": rows}
    rows = [_row(name, value) for name, value in scores.items()]
    return {"n_images": None, "confidence_level": _CONFIDENCE_LEVEL, "metrics": rows}


def _row(name, value, label=None):
    if isinstance(value, Mapping):
        value = value.get("value"), value.get("low"), value.get("high")
    numbers = list(value) if isinstance(value, (Sequence, np.ndarray)) else [value, None, None]
    numbers = [_number(number) for number in numbers]
    if len(numbers) != 3 or isinstance(value, str):
        raise TypeError(
            f"card['scores'][{name!r}]={value!r} is neither a number nor (value, low, high)."
        )
    row = {"name": str(name), **dict(zip(("value", "low", "high"), numbers, strict=True))}
    return row if label is None else row | {"label": str(label)}


def _number(value):
    """Return a number that JSON can represent, or None."""
    value = to_json_value(value)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


# The page


def card_lines(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the entries of a card that was read, as names and one line of text each."""
    for key in _GIVEN:
        if key == "scores":
            for row in (card.get("scores") or {}).get("metrics", []):
                if "label" not in row:
                    yield heading(row["name"]), _score_text(row)
        elif key in card:
            value = card[key]
            shown = ", ".join(map(str, value)) if isinstance(value, list) else _shown(value)
            yield key.replace("_", " "), _line(shown)
    yield "made with", _line(_shown(card["versions"]))


def _page(card, file="model.fer"):
    name = _line(card.get("name") or _title(card))
    parts = [f"---\n{_front_matter(card, name)}---", f"# {name}"]
    if description := card.get("description"):
        parts.append(_text(description))
    parts.append(
        f"## Use\n\n```python\nfrom fer_sklearn import load\n\nmodel = load({_text(file)!r})\n"
        f"model.predict(faces)\n```"
    )
    parts.append(f"## Intended use\n\n{_text(card.get('intended_use', _INTENDED_USE))}")
    parts.append(f"## Limitations\n\n{_text(card.get('limitations', _LIMITATIONS))}")
    for key, title in (("data", "Training data"), ("evaluated_on", "Evaluation data")):
        if key in card:
            parts.append(f"## {title}\n\n{_list(card[key])}")
    if labels := card.get("labels"):
        parts.append(f"## Labels\n\n{', '.join(map(_line, labels))}")
    if (scores := card.get("scores")) and scores["metrics"]:
        parts.append(f"## Scores\n\n{_scores_table(scores)}")
    if settings := card.get("settings"):
        parts.append(f"## Settings\n\n{_settings_table(settings)}")
    parts.append(f"## Versions\n\n{_list(card.get('versions', {}))}")
    return "\n\n".join(parts) + "\n"


def _title(card):
    settings = card.get("settings") or [{}]
    return f"Facial expression recognition: {settings[-1].get('type', 'estimator')}"


def _line(value):
    """Return text for one line: no line breaks, control characters or tags of HTML."""
    text = " ".join(str(value).split())
    return "".join(c for c in text if c.isprintable()).replace("<", "&lt;")


def _text(value):
    lines = str(value).splitlines()
    return "\n".join("".join(c for c in line if c.isprintable()) for line in lines).strip()


def _list(values):
    return "\n".join(
        f"- {_line(key).replace('_', ' ')}: {_line(_shown(value))}" for key, value in values.items()
    )


def _shown(value):
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_shown(item)}" for key, item in value.items())
    return f"{value:,}" if isinstance(value, int) else value


def _scores_table(scores):
    level = scores.get("confidence_level")
    caption = f"Values with {100 * level:g} % intervals" if level else "Values"
    if scores.get("n_images"):
        caption += f", on {scores['n_images']:,} images"
    rows = []
    for row in scores["metrics"]:
        label = _line(row.get("label", "all"))
        rows.append([label, _line(heading(row["name"])), _score_text(row)])
    return markdown_table(caption, ("label", "metric", "value"), rows)


def _score_text(row):
    score = _Score(*(math.nan if row[key] is None else row[key] for key in _Score._fields))
    return with_interval(score).removesuffix(" (–)")


def _settings_table(settings):
    rows = []
    for part in settings:
        given = ", ".join(f"{key}={value!r}" for key, value in part["parameters"].items())
        rows.append([_line(part["step"] or "model"), _line(part["type"]), _line(given)])
    return markdown_table("Parameters", ("step", "type", "parameters"), rows)


def _front_matter(card, name):
    scores = (card.get("scores") or {}).get("metrics", [])
    overall = [row for row in scores if "label" not in row and row["value"] is not None]
    matter: dict[str, Any] = {}
    if "license" in card:
        matter["license"] = card["license"].lower()
    matter["library_name"] = "fer_sklearn"
    matter["pipeline_tag"] = "image-classification"
    matter["tags"] = list(dict.fromkeys([*_TAGS, *card.get("tags", ())]))
    if overall:
        matter["metrics"] = list(dict.fromkeys(map(_hub_metric, overall)))
        tested = card.get("evaluated_on") or card.get("data") or {}
        data = _line(tested.get("name") or tested.get("description") or "not stated")
        dataset = {"name": data, "type": re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-")}
        if tested.get("subset"):
            dataset["split"] = tested["subset"]
        task = {"type": "image-classification", "name": "Facial expression recognition"}
        metrics = [
            {"type": _hub_metric(row), "name": heading(row["name"]), "value": row["value"]}
            for row in overall
        ]
        result = {"task": task, "dataset": dataset, "metrics": metrics}
        matter["model-index"] = [{"name": name, "results": [result]}]
    return _yaml(matter, 0)


def _hub_metric(row):
    name = row["name"].partition(":")[0]
    return _HUB_METRICS.get(name, name)


def _yaml(value, depth):
    """Return lists and dictionaries as YAML, whose text and numbers may be those of JSON."""
    indent = "  " * depth
    if isinstance(value, dict):
        pairs = value.items()
        return "".join(f"{indent}{key}:{_yaml_value(item, depth)}" for key, item in pairs)
    return "".join(
        f"{indent}- {_yaml(item, depth + 1).lstrip()}"
        if isinstance(item, dict)
        else f"{indent}-{_yaml_value(item, depth)}"
        for item in value
    )


def _yaml_value(value, depth):
    if isinstance(value, (dict, list)) and value:
        return f"\n{_yaml(value, depth + 1)}"
    shown = _line(value) if isinstance(value, str) else value
    return f" {json.dumps(shown, ensure_ascii=False)}\n"
