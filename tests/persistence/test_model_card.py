"""Model cards: their contents, in files too, and their front matter for the hub."""

import json
import re

import numpy as np
import pytest
from running import run
from sklearn.dummy import DummyClassifier

from fer_sklearn import (
    evaluate_predictions,
    load_pretrained,
    make_hog_svm_pipeline,
    model_card,
    save,
)
from fer_sklearn.exceptions import ModelFileError
from fer_sklearn.persistence import describe_data, read_card


@pytest.fixture
def model():
    return DummyClassifier(strategy="prior").fit([[0], [1]], ["happy", "sad"])


CARD = {
    "name": "Smiles",
    "description": "A model\nof smiles.",
    "data": {"name": "Own photos", "subset": "train", "n_images": 1200, "digest": "sha256:12"},
    "scores": {"accuracy": (0.8, 0.75, 0.85), "macro_f1": 0.7},
    "evaluated_on": {"name": "Own photos", "subset": "test", "n_images": 120},
    "license": "MIT",
    "intended_use": "To sort photos.",
    "tags": ["smiles"],
}


def front_matter(page):
    yaml = pytest.importorskip("yaml")
    before, matter, text = page.split("---\n", 2)
    assert before == ""
    return yaml.safe_load(matter), text


def test_what_a_file_keeps(model, tmp_path):
    card = read_card(save(model, tmp_path / "a.fer", card=CARD))
    kept = ("name", "description", "data", "evaluated_on", "license", "intended_use", "tags")
    assert {key: card[key] for key in kept} == {key: CARD[key] for key in kept}
    assert card["labels"] == ["happy", "sad"]
    assert card["scores"]["metrics"] == [
        {"name": "accuracy", "value": 0.8, "low": 0.75, "high": 0.85},
        {"name": "macro_f1", "value": 0.7, "low": None, "high": None},
    ]
    (settings,) = card["settings"]
    assert settings["type"] == "DummyClassifier"
    assert settings["parameters"]["strategy"] == "prior"
    assert card["versions"]["numpy"] == np.__version__
    again = save(model, tmp_path / "b.fer", card=card)
    assert read_card(again) == card


def test_the_page_of_a_file_is_that_of_its_estimator(model, tmp_path):
    page = model_card(model, card=CARD)
    assert model_card(save(model, tmp_path / "model.fer", card=CARD)) == page
    assert "load('own.fer')" in model_card(save(model, tmp_path / "own.fer", card=CARD))


def test_the_front_matter(model):
    matter, text = front_matter(model_card(model, card=CARD))
    assert matter["license"] == "mit"
    assert matter["library_name"] == "fer_sklearn"
    assert matter["pipeline_tag"] == "image-classification"
    assert {"smiles", "facial-expression-recognition"} <= set(matter["tags"])
    assert matter["metrics"] == ["accuracy", "f1"]
    (entry,) = matter["model-index"]
    (result,) = entry["results"]
    assert result["dataset"] == {"name": "Own photos", "type": "own-photos", "split": "test"}
    assert [metric["value"] for metric in result["metrics"]] == [0.8, 0.7]
    assert "| all | accuracy | 0.800 (0.750–0.850) |" in text
    assert "| all | macro F1 | 0.700 |" in text
    assert "To sort photos." in text
    assert "Article 5(1)(f)" in text


def test_the_hub_reads_it(model):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(model_card(model, card=CARD))
    assert card.data.model_name == "Smiles"
    assert card.data.eval_results[0].metric_value == 0.8
    assert card.data.license == "mit"


def test_a_report_with_intervals(model, tmp_path):
    truth = np.array(["happy", "sad"] * 20)
    report = evaluate_predictions(truth, truth[::-1].copy())
    card = read_card(save(model, tmp_path / "a.fer", card={"scores": report}))
    scores = card["scores"]
    assert scores["n_images"] == 40
    assert scores["confidence_level"] == 0.95
    accuracy = next(row for row in scores["metrics"] if row["name"] == "accuracy")
    assert (accuracy["value"], accuracy["low"], accuracy["high"]) == tuple(
        report.overall["accuracy"]
    )
    recall = [row for row in scores["metrics"] if row["name"] == "recall"]
    assert [row["label"] for row in recall] == ["happy", "sad"]
    page = model_card(model, card={"scores": report})
    assert "Values with 95 % intervals, on 40 images" in page


def test_the_card_of_a_bundled_network():
    page = model_card(load_pretrained("tiny"))
    assert "FER2013, training split" in page
    assert re.search(r"\| all \| accuracy: people's majority.* \| 0\.8\d\d \|", page)
    matter, _ = front_matter(page)
    assert matter["metrics"] == ["accuracy"]


def test_the_card_of_a_bundled_network_with_a_new_head(faces):
    X, y = faces
    page = model_card(load_pretrained("tiny").fit(X, y == "happy"))
    assert "PublicTest" not in page
    assert "FER2013, training split" not in page


def test_settings_of_all_steps(tmp_path):
    model = make_hog_svm_pipeline().set_params(classifier__C=3.5)
    settings = read_card(save(model, tmp_path / "a.fer"))["settings"]
    assert [part["step"] for part in settings] == ["", "resize", "hog", "pca", "classifier"]
    assert settings[-1]["parameters"]["C"] == 3.5
    assert "| classifier | HOGSVMClassifier | C=3.5, " in model_card(model)


def test_the_digest_is_that_of_the_data(faces):
    X, y = faces
    described = describe_data(X, y, name="faces", subset="all")
    assert described["n_images"] == 70
    assert sum(described["n_per_label"].values()) == 70
    assert described["subset"] == "all"
    assert describe_data(list(X), list(y), name="faces", subset="all") == described
    changed = X.copy()
    changed[3, 4, 5] ^= 1
    digests = {
        describe_data(images, target, name="a")["digest"]
        for images, target in [(X, y), (changed, y), (X[::-1], y), (X, np.roll(y, 1))]
    }
    assert len(digests) == 4


@pytest.mark.parametrize(
    ("card", "error", "match"),
    [
        ({"licence": "mit"}, ValueError, r"unknown key\(s\) 'licence'.*Did you mean 'license'"),
        ({"data": {"names": "x"}}, ValueError, "Did you mean 'name'"),
        ({"license": 1}, TypeError, r"card\['license'\]=1 is not text"),
        ({"data": 3}, TypeError, "neither text nor a mapping"),
        ({"data": {"name": object()}}, TypeError, "cannot be written as JSON"),
        ({"scores": 0.5}, TypeError, "neither a result of evaluate"),
        ({"scores": {"accuracy": "high"}}, TypeError, "neither a number nor"),
        ({"scores": {"accuracy": (1, 2)}}, TypeError, "neither a number nor"),
        ({"tags": "text"}, TypeError, "is not a list of strings"),
        ([], TypeError, "is not a mapping"),
    ],
)
def test_cards_that_are_refused_before_anything_is_written(model, tmp_path, card, error, match):
    with pytest.raises(error, match=match):
        save(model, tmp_path / "a.fer", card=card)
    assert list(tmp_path.iterdir()) == []


def test_a_card_is_not_for_a_path(model, tmp_path):
    path = save(model, tmp_path / "a.fer")
    with pytest.raises(TypeError, match="is given with a path"):
        model_card(path, card=CARD)


def test_text_cannot_leave_its_place(model):
    text = 'x"\n---\nlicense: none\n| a | b |\x1b[31m <script>alert(1)</script> \u2028'
    card = {"name": text, "license": text, "data": text, "tags": [text], "scores": {text: 1}}
    matter, page = front_matter(model_card(model, card=card))
    assert matter["license"].startswith('x"')
    assert matter["library_name"] == "fer_sklearn"
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "# x" in page.splitlines()[1]


# The command line


def test_info_prints_no_control_characters(tmp_path, capsys):
    model = DummyClassifier().fit([[0], [1]], ["\x1b[31mhappy", "sad"])
    path = save(model, tmp_path / "a.fer", card={"name": "\x1b[2J\x07 name"})
    for form in ("table", "json", "markdown"):
        assert run("info", path, "--format", form) == 0
        assert "\x1b" not in capsys.readouterr().out


def test_info_prints_the_card(model, tmp_path, capsys):
    path = save(model, tmp_path / "a.fer", card=CARD)
    assert run("info", path) == 0
    out = capsys.readouterr().out
    for line in (
        r"card: name +Smiles",
        r"card: license +MIT",
        r"card: accuracy +0\.800 \(0\.750–0\.850\)",
        r"card: intended use +To sort photos\.",
        r"card: data +name Own photos, subset train, n_images 1,200, digest sha256:12",
        r"card: made with +fer_sklearn",
    ):
        assert re.search(f"^{line}", out, re.MULTILINE), out
    assert run("info", path, "--format", "json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["card"] == read_card(path)


def test_info_prints_the_card_as_a_page(model, tmp_path, capsys):
    path = save(model, tmp_path / "a.fer", card=CARD)
    assert run("info", path, "--format", "markdown") == 0
    assert capsys.readouterr().out == model_card(path)
    assert run("info", "tiny", "--format", "markdown") == 0
    assert capsys.readouterr().out.startswith("---\n")
    with pytest.raises(SystemExit):
        run("info", "--format", "markdown")
    assert "only with MODEL" in capsys.readouterr().err


def test_info_prints_the_card_of_a_model_that_is_not_trusted(tmp_path, capsys):
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier().fit([[0], [1]], ["happy", "sad"])
    path = save(tree, tmp_path / "a.fer", card=CARD)
    assert run("info", path) == 0
    out = capsys.readouterr().out
    assert "sklearn.tree._tree.Tree" in out
    assert re.search(r"^card: name +Smiles", out, re.MULTILINE)


def test_info_refuses_a_damaged_file(model, tmp_path, capsys):
    path = save(model, tmp_path / "a.fer")
    path.write_bytes(path.read_bytes()[:-1])
    assert run("info", path) == 1
    assert "truncated or damaged" in capsys.readouterr().err
    with pytest.raises(ModelFileError):
        read_card(path)
