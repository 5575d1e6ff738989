"""Weights files: reading, writing, and errors for damaged files."""

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from fer_sklearn import FERCNNClassifier, weights
from fer_sklearn.weights import average_weights, read_litert, read_weights, write_weights

ARRAYS = [np.linspace(-2, 2, 5, dtype=np.float32), np.ones((2, 3), np.float32)]
DESCRIPTION = {
    "architecture": "conv3",
    "image_shape": [16, 16],
    "classes": ["happy", "sad", "surprise"],
    "pixel_range": [0.0, 1.0],
}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "network.npz"
    write_weights(path, ARRAYS, DESCRIPTION, litert=b"a network")
    return path


def rewrite(path, **changes):
    """Change entries of a file without updating its checksum."""
    with np.load(path) as file:
        entries = dict(file)
    np.savez(path, **(entries | changes))


def test_written_weights_are_rounded_to_half_precision(path):
    read = read_weights(path)
    for got, expected in zip(read.arrays, ARRAYS, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_array_equal(got, expected.astype(np.float16).astype(np.float32))
    assert {name: read.description[name] for name in DESCRIPTION} == DESCRIPTION


def test_the_litert_model_is_read_exactly(path):
    model, description = read_litert(path)
    assert model == b"a network"
    assert description["classes"] == DESCRIPTION["classes"]


def test_a_file_without_a_litert_model(path):
    write_weights(path, ARRAYS, DESCRIPTION)
    with pytest.raises(ValueError, match=r"without a LiteRT model. Choose runtime='keras'"):
        read_litert(path)


@pytest.mark.parametrize(("part", "read"), [("weights", read_weights), ("litert", read_litert)])
def test_a_modified_entry_fails_its_checksum(path, part, read):
    with np.load(path) as file:
        changed = file[part] ^ 1
    rewrite(path, **{part: changed})
    with pytest.raises(ValueError, match=r"network\.npz.*do not match their checksum.*Copy it"):
        read(path)


@pytest.mark.parametrize("position", [0.1, 0.3])
def test_a_flipped_byte(path, position):
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"(cannot be read|do not match their checksum)"):
        read_weights(path)


def test_a_truncated_file(path):
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"cannot be read.*corrupt or was not written by"):
        read_weights(path)


def test_a_foreign_archive(tmp_path):
    np.savez(tmp_path / "foreign.npz", x=np.zeros(3))
    with pytest.raises(ValueError, match=r"foreign\.npz.*was not written by fer_sklearn"):
        read_weights(tmp_path / "foreign.npz")


@pytest.mark.parametrize(
    ("version", "remedy"), [(3, "pip install --upgrade"), (1, "Write it again")]
)
def test_another_version(path, version, remedy):
    description = read_weights(path).description | {"format": version}
    rewrite(path, description=np.array(json.dumps(description)))
    with pytest.raises(ValueError, match=rf"format {version}; this version.*format 2\. .*{remedy}"):
        read_weights(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.npz' do not exist"):
        read_weights(tmp_path / "gone.npz")


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(ValueError, match=r"no weights named 'defualt'.*Did you mean 'default'\?"):
        read_weights("defualt")


def test_weights_beyond_half_precision_are_rejected(tmp_path):
    with pytest.raises(ValueError, match="beyond the range of half precision"):
        write_weights(tmp_path / "x.npz", [np.array([1e6])], DESCRIPTION)


def test_writing_that_fails_keeps_the_previous_file(path, monkeypatch):
    def fail(file, **entries):
        file.write(b"half a file")
        raise OSError("the disk is full")

    before = path.read_bytes()
    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="the disk is full"):
        write_weights(path, ARRAYS, DESCRIPTION)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"path='.*network\.bin' must end in '\.npz'"):
        write_weights(tmp_path / "network.bin", ARRAYS, DESCRIPTION)
    assert list(tmp_path.iterdir()) == []


def test_importing_it_loads_neither_scikit_learn_nor_scipy_nor_pandas():
    code = """
        import sys
        import fer_sklearn.weights
        print(*{"sklearn", "scipy", "pandas", "keras", "tensorflow"} & set(sys.modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_all_bundled_files_are_complete_and_small():
    files = [weights.shipped_path(name) for name in weights.SHIPPED]
    assert sorted(files) == sorted(files[0].parent.glob("*"))
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    for name in weights.SHIPPED:
        assert read_weights(name).description["classes"] == [
            *("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
        ]


# In the estimator


@pytest.fixture(scope="module")
def own(tmp_path_factory, small_faces):
    """A custom network, trained on three of the emotions, and its weights file."""
    X, y = small_faces
    kept = np.isin(y, DESCRIPTION["classes"])
    parameters = {"epochs": 8, "batch_size": 16, "learning_rate": 2e-3, "random_state": 0}
    classifier = FERCNNClassifier(**parameters).fit(X[kept], y[kept])
    path = tmp_path_factory.mktemp("weights") / "own.npz"
    description = DESCRIPTION | {"image_shape": [24, 24]}
    write_weights(path, classifier.model_.get_weights(), description)
    return classifier, path, (X[kept], y[kept])


def test_fit_starts_from_the_weights(own):
    classifier, path, (X, y) = own
    still = FERCNNClassifier(initial_weights=path, epochs=1, learning_rate=1e-9, random_state=0)
    got = still.fit(X, y).predict_proba(X)
    np.testing.assert_allclose(got, classifier.predict_proba(X), atol=5e-3)


@pytest.mark.slow
def test_a_subset_of_the_labels_reduces_the_head_to_them(own):
    classifier, path, (X, y) = own
    kept = y != "sad"
    still = FERCNNClassifier(initial_weights=path, epochs=1, learning_rate=1e-9, random_state=0)
    still.fit(X[kept], y[kept])
    assert still.classes_.tolist() == [c for c in DESCRIPTION["classes"] if c != "sad"]
    # The probabilities of the three labels, given that it is not the third one.
    columns = [classifier.classes_.tolist().index(c) for c in still.classes_]
    given = classifier.predict_proba(X)[:, columns]
    given /= given.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(still.predict_proba(X), given, atol=2e-2)


@pytest.mark.parametrize("trainable", ["head", "last_stage", "all"])
def test_labels_the_weights_were_not_trained_on(own, trainable):
    _, path, (X, y) = own
    renamed = np.where(y == "sad", "contempt", y)
    classifier = FERCNNClassifier(
        initial_weights=path, trainable=trainable, epochs=1, learning_rate=1e-9, random_state=0
    ).fit(X, renamed)
    assert classifier.classes_.tolist() == sorted(np.unique(renamed))
    # Training more starts from the head that is learned alone, not from random weights.
    assert classifier.score(X, renamed) > 0.8


@pytest.mark.slow
def test_the_first_of_several_batches_need_not_have_all_labels(own):
    _, path, (X, y) = own
    kept = y != "sad"
    classifier = FERCNNClassifier(initial_weights=path, random_state=0)
    classifier.partial_fit(X[kept], y[kept])
    assert classifier.classes_.tolist() == DESCRIPTION["classes"]
    classifier.partial_fit(X, y)
    other = FERCNNClassifier(initial_weights=path, random_state=0)
    other.partial_fit(X[kept], y[kept], classes=["a", *DESCRIPTION["classes"]])
    assert other.predict_proba(X[:2]).shape == (2, 4)


def test_faces_of_another_size(own):
    _, path, (X, y) = own
    with pytest.raises(ValueError, match=r"images of 12×12 pixels.*24×24.*GrayscaleResizer"):
        FERCNNClassifier(initial_weights=path).fit(X[:, ::2, ::2], y)


def test_faces_in_colour(own):
    _, path, (X, y) = own
    with pytest.raises(ValueError, match=r"3 channels.*GrayscaleResizer"):
        FERCNNClassifier(initial_weights=path).fit(np.stack([X] * 3, axis=3), y)


def test_weights_of_another_architecture(own):
    _, path, (X, y) = own
    with pytest.raises(
        ValueError, match=r"trained with architecture='conv3', but architecture='resnet_se'"
    ):
        FERCNNClassifier(architecture="resnet_se", initial_weights=path).fit(X, y)


def test_frozen_stages_need_weights(small_faces):
    with pytest.raises(ValueError, match=r"trainable='head' .*never trained.*initial_weights"):
        FERCNNClassifier(trainable="head").fit(*small_faces)


def test_frozen_stages_stay(own):
    _, path, (X, y) = own
    tuned = FERCNNClassifier(initial_weights=path, trainable="last_stage", epochs=2, random_state=0)
    tuned.fit(X, y)
    before = read_weights(path).arrays
    after = tuned.model_.get_weights()
    same = [np.array_equal(a, b) for a, b in zip(after, before, strict=True)]
    assert same == [True] * 4 + [False] * (len(same) - 4)  # two convolutions, their biases


def test_frozen_stages_are_unfrozen(own):
    _, path, (X, y) = own
    tuned = FERCNNClassifier(
        initial_weights=path, trainable="head", unfreeze_after=1, epochs=3, random_state=0
    ).fit(X, y)
    assert tuned.n_iter_ == len(tuned.history_["loss"]) == 3
    before = read_weights(path).arrays
    assert not np.array_equal(tuned.model_.get_weights()[0], before[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"unfreeze_after": 1}, "unfreeze_after=1 was given, but trainable='all'"),
        ({"unfreeze_after": 4, "trainable": "head", "epochs": 4}, "must be less than epochs=4"),
    ],
)
def test_impossible_unfreeze_after(own, parameters, message):
    _, path, (X, y) = own
    with pytest.raises(ValueError, match=message):
        FERCNNClassifier(initial_weights=path, **parameters).fit(X, y)


def test_loaded_as_they_are(own):
    classifier, path, (X, _) = own
    loaded = FERCNNClassifier(initial_weights=path).load_weights()
    np.testing.assert_allclose(loaded.predict_proba(X), classifier.predict_proba(X), atol=5e-3)
    assert loaded.n_iter_ == 0


def test_loaded_weights_can_be_trained(own):
    _, path, (X, y) = own
    loaded = FERCNNClassifier(initial_weights=path, random_state=0).load_weights()
    loaded.partial_fit(X, y)
    assert loaded.n_iter_ == 1


def test_average_of_several_networks(path, tmp_path):
    other = tmp_path / "other.npz"
    write_weights(other, [array + 1 for array in ARRAYS], DESCRIPTION | {"seed": 1})
    averaged = average_weights([path, other])
    for got, expected in zip(averaged.arrays, ARRAYS, strict=True):
        np.testing.assert_allclose(got, expected + 0.5, atol=1e-3)
    assert {name: averaged.description[name] for name in DESCRIPTION} == DESCRIPTION


def test_average_has_a_single_head(tmp_path):
    averaged = average_weights(["tiny", "tiny"])
    for got, expected in zip(averaged.arrays, read_weights("tiny").arrays, strict=True):
        np.testing.assert_array_equal(got, expected)
    write_weights(tmp_path / "average.npz", *vars(averaged).values())
    for got, expected in zip(
        read_weights(tmp_path / "average.npz").arrays, averaged.arrays, strict=True
    ):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


def test_networks_of_different_kinds_have_no_average(path, tmp_path):
    other = tmp_path / "other.npz"
    write_weights(other, ARRAYS, DESCRIPTION | {"classes": ["happy", "sad", "fear"]})
    with pytest.raises(ValueError, match=r"other\.npz' have classes=\[.*'fear'\], but '.*network"):
        average_weights([path, other])
    with pytest.raises(ValueError, match=r"names has 1 name\(s\); expected at least two"):
        average_weights([path])


TWO_HEADS = DESCRIPTION | {
    "heads": {"few": ["happy", "sad"], "many": ["angry", "happy", "sad"]},
    "label_sets": {
        "both": {
            "classes": ["happy", "sad"],
            "blend": {"few": 0.25, "many": 0.75},
            "temperature": 2.0,
        },
        "many": {
            "classes": ["angry", "happy", "sad"],
            "blend": {"many": 1.0},
            "temperature": 1.0,
        },
    },
    "outputs": {"many": 3, "embedding": 4, "few": 2},
}


@pytest.fixture
def two_heads(tmp_path):
    body = np.ones(2, np.float32)
    few, many = np.full((4, 2), 1.0), np.arange(12.0).reshape(4, 3)
    path = tmp_path / "two.npz"
    write_weights(path, [body, few, np.array([1.0, 2]), many, np.array([3.0, 4, 5])], TWO_HEADS)
    return path


def test_a_label_set_blends_the_heads_into_one(two_heads):
    read = read_weights(two_heads)
    body, kernel, bias = read.arrays
    assert body.tolist() == [1, 1]
    # The columns of "happy" and "sad" in both heads, weighted and divided by the temperature.
    np.testing.assert_allclose(kernel[:, 0], (0.25 * 1 + 0.75 * np.array([1, 4, 7, 10])) / 2)
    np.testing.assert_allclose(bias, (0.25 * np.array([1, 2]) + 0.75 * np.array([4, 5])) / 2)
    assert (read.description["labels"], read.description["classes"]) == ("both", ["happy", "sad"])


def test_a_label_set_is_chosen_after_a_colon(two_heads):
    read = read_weights(f"{two_heads}:many")
    assert read.description["classes"] == ["angry", "happy", "sad"]
    np.testing.assert_array_equal(read.arrays[-1], [3, 4, 5])


def test_logits_blend_as_weights_do(two_heads):
    description = read_weights(two_heads).description
    embedding = np.array([[1.0, 2, 3, 4]])
    values = {"few": embedding @ np.full((4, 2), 1.0) + [1, 2]}
    values["many"] = embedding @ np.arange(12.0).reshape(4, 3) + [3, 4, 5]
    outputs = np.hstack([values["many"], embedding, values["few"]])
    split = weights.split_outputs(outputs, description)
    np.testing.assert_array_equal(split["embedding"], embedding)
    *_, kernel, bias = read_weights(two_heads).arrays
    np.testing.assert_allclose(
        weights.blend_heads(split, description), embedding @ kernel + bias, rtol=1e-6
    )


def test_an_unknown_label_set_gets_a_suggestion(two_heads, path):
    with pytest.raises(ValueError, match=r"no labels 'mani'.*'both', 'many'.*mean 'many'"):
        read_weights(f"{two_heads}:mani")
    with pytest.raises(ValueError, match=r"no labels 'many'; expected no label set"):
        read_weights(f"{path}:many")
