import io
import re
import shutil
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from skimage.feature import hog
from sklearn.model_selection import cross_val_score
from sklearn.svm import LinearSVC

from fer_sklearn import (
    GrayscaleResizer,
    fetch_fer2013,
    load_dataset,
    load_fer2013,
    load_image_folder,
    make_faces,
)
from fer_sklearn.datasets import _fer2013
from fer_sklearn.emotions import EMOTIONS
from fer_sklearn.exceptions import DatasetFormatError, ImageReadError
from fer_sklearn.images import write_image

FACES = make_faces(7, random_state=0)


def put(folder, names, shape=None):
    """Write faces to files with these names, in order."""
    for name, face in zip(names, FACES.images, strict=False):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, face if shape is None else face[: shape[0], : shape[1]])
    return folder


# -- folders ----------------------------------------------------------------------------


def test_folder_maps_synonyms_and_keeps_unknown_labels(tmp_path):
    put(tmp_path, ["Anger/a.png", "contempt/b.png", "fearful/c.jpg", "anger/d.png"])
    data = load_image_folder(tmp_path)
    assert data.target.tolist() == ["angry", "angry", "contempt", "fear"]
    assert data.target_names.tolist() == ["angry", "contempt", "fear"]
    assert data.filenames.tolist() == [
        "Anger/a.png",
        "anger/d.png",
        "contempt/b.png",
        "fearful/c.jpg",
    ]
    assert set(data.subset.tolist()) == {"all"}
    np.testing.assert_array_equal(data.images[:3], FACES.images[[0, 3, 1]])
    assert np.shares_memory(data.data, data.images)
    assert data.data.shape == (4, 2304)


@pytest.mark.parametrize(
    ("names", "targets", "subsets"),
    [
        (["CK+48/anger/1.png", "CK+48/joy/1.png"], ["angry", "happy"], ["all"] * 2),
        (["joy/S1/1.png", "joy/S2/1.png"], ["happy"] * 2, ["all"] * 2),
        (["x/test/sad/1.png", "x/train/sad/1.png"], ["sad"] * 2, ["test", "train"]),
        (["train/a/1.png", "train/b/1.png"], ["a", "b"], ["train"] * 2),
        (["mine/1.png", "mine/2.png"], ["mine"] * 2, ["all"] * 2),
        (["train_set/sad/1.png", "Test-Set/sad/1.png"], ["sad"] * 2, ["Test-Set", "train_set"]),
        (["fold1/joy/1.png", "fold2/joy/1.png"], ["happy"] * 2, ["fold1", "fold2"]),
        (["images/train/joy/1.png", "images/val/joy/1.png"], ["happy"] * 2, ["train", "val"]),
        (["TrainingSet/joy/1.png", "valid/joy/1.png"], ["happy"] * 2, ["TrainingSet", "valid"]),
        (["joy/train/1.png", "sad/Test/1.png"], ["happy", "sad"], ["train", "Test"]),
        (["x/joy/fold1/a/1.png", "x/joy/fold2/1.png"], ["happy"] * 2, ["fold1", "fold2"]),
        (["joy/train/1.png", "sad/1.png", "sad/test/1.png"], ["happy", *["sad"] * 2], ["all"] * 3),
        (["train/joy/test/1.png", "val/joy/test/1.png"], ["happy"] * 2, ["train", "val"]),
        (
            ["a/train/0_angry/1.png", "a/train/1-Sadness/1.png", "a/train/neutrality/1.png"],
            ["angry", "sad", "neutral"],
            ["train"] * 3,
        ),
        (["joy/1.png", "__MACOSX/joy/1.png", "@eaDir/sad/1.png"], ["happy"], ["all"]),
        ([".ipynb_checkpoints/a/1.png", "joy/1.png", "joy/.1.png"], ["happy"], ["all"]),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_layouts(tmp_path, names, targets, subsets, zipped):
    path = put(tmp_path / "data", names)
    if zipped:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.write(tmp_path / "data" / name, name)
    data = load_image_folder(path)
    assert data.target.tolist() == targets
    assert data.subset.tolist() == subsets


@pytest.mark.parametrize(
    ("names", "targets", "subsets", "warning"),
    [
        (
            ["a/1.png", "b/1.png", "cover.png"],
            ["a", "b"],
            ["all", "all"],
            r"left out 1 image\(s\) outside label folders, such as 'cover.png'",
        ),
        (
            ["happy/1.png", "sad/1.png", "unlabeled/1.png"],
            ["happy", "sad"],
            ["all", "all"],
            r"left out 1 image\(s\) outside label folders, such as 'unlabeled/1.png'",
        ),
        (
            ["samples/sad/1.png", "train/sad/1.png", "test/joy/1.png"],
            ["sad", "happy", "sad"],
            ["samples", "test", "train"],
            "treated 'samples' as a subset like 'test'",
        ),
    ],
)
def test_folders_that_users_should_know_about(tmp_path, names, targets, subsets, warning):
    put(tmp_path, names)
    with pytest.warns(UserWarning, match=warning) as caught:
        data = load_image_folder(tmp_path)
    assert [caught[0].filename, len(caught)] == [__file__, 1]
    assert data.target.tolist() == targets
    assert data.subset.tolist() == subsets


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["mine/joy/1.png", "yours/joy/1.png"], "folders 'mine', 'yours', which are not emotions"),
        (["train/joy/1.png", "cats/1.png"], "folders 'cats', 'train', which are not emotions"),
        (["train/cat/1.png", "dog/1.png"], "folders of subsets, 'train', next to other folders"),
        (["images/sad/1.png", "sad/1.png", "happy/1.png"], "folders of emotions in 'images' too"),
        (["train/sad/1.png", "sad/1.png"], "folders of subsets, 'train', next to other folders"),
        (["a/" * 60 + "joy/1.png"], "no label folders in the first 50 levels"),
    ],
)
def test_ambiguous_folders_are_refused(tmp_path, names, message):
    put(tmp_path, names)
    with pytest.raises(DatasetFormatError, match=message):
        load_image_folder(tmp_path)


def test_labels_that_are_not_emotions_are_listed(tmp_path):
    put(tmp_path, ["happy/1.png", "pain/1.png", "bored/1.png", "contempt/1.png"])
    assert "Labels that are not emotions: bored, pain." in load_image_folder(tmp_path).DESCR
    assert "not emotions" not in load_image_folder(put(tmp_path / "x", ["sad/1.png"])).DESCR


def test_a_stray_folder_next_to_emotions_is_named_once(tmp_path):
    put(tmp_path, ["train/happy/1.png", "train/sad/1.png", "train/raw/1.png", "test/raw/1.png"])
    with pytest.warns(UserWarning, match=r"'raw' \(2 image\(s\)\) are not emotions") as warned:
        load_image_folder(tmp_path)
    assert len(warned) == 1


def test_images_of_other_suffixes_are_read_or_counted(tmp_path):
    put(tmp_path, ["sad/1.png", "sad/2.jpg"])
    (tmp_path / "sad/2.jpg").rename(tmp_path / "sad/2.jfif")
    shutil.copy(tmp_path / "sad/1.png", tmp_path / "sad/3.backup")
    (tmp_path / "sad/4.nef").write_bytes(b"raw")
    for name in ("Thumbs.db", "notes.txt", "desktop.ini", ".DS_Store"):
        (tmp_path / "sad" / name).write_bytes(b"no image")
    message = r"left out 2 image\(s\) .* not read \(1 .backup, 1 .nef\)\. Convert them"
    with pytest.warns(UserWarning, match=message) as caught:
        data = load_image_folder(tmp_path)
    assert len(caught) == 1
    assert data.filenames.tolist() == ["sad/1.png", "sad/2.jfif"]


def test_images_of_several_sizes(tmp_path):
    put(tmp_path, ["a/1.png"])
    put(tmp_path, ["b/1.png"], shape=(48, 30))
    data = load_image_folder(tmp_path)
    assert data.images.dtype == object
    assert [image.shape for image in data.images] == [(48, 48), (48, 30)]
    assert "data" not in data
    assert load_image_folder(tmp_path, size=24).images.shape == (2, 24, 24)
    assert load_image_folder(tmp_path, size=(24, 60)).images.shape == (2, 24, 60)


def test_shrinking_averages(tmp_path):
    (tmp_path / "a").mkdir()
    write_image(tmp_path / "a/1.png", np.kron(np.eye(8), np.full((2, 2), 200)).astype(np.uint8))
    image = load_image_folder(tmp_path, size=8).images[0]
    np.testing.assert_array_equal(image, 200 * np.eye(8))


@pytest.mark.parametrize("size", [72, (48, 96), (24, 96)])
def test_images_are_resized_as_the_resizer_does(tmp_path, size):
    put(tmp_path, [f"a/{i}.png" for i in range(7)])
    data = load_image_folder(tmp_path, size=size)
    np.testing.assert_array_equal(data.images, GrayscaleResizer(size).transform(FACES.images))


def test_colour(tmp_path):
    (tmp_path / "a").mkdir()
    red = np.zeros((4, 5, 3), np.uint8) + np.array([255, 0, 0], np.uint8)
    write_image(tmp_path / "a/1.png", red)
    write_image(tmp_path / "a/2.png", red[..., 0])
    data = load_image_folder(tmp_path, grayscale=False)
    assert data.images.shape == (2, 4, 5, 3)
    np.testing.assert_array_equal(data.images[0], red)
    X, y = load_image_folder(tmp_path, return_X_y=True)
    assert X.shape == (2, 4, 5)
    assert X[0, 0, 0] == 76
    assert y.tolist() == ["a", "a"]


def test_broken_image_raises_or_warns(tmp_path):
    put(tmp_path, ["a/1.png", "a/2.png", "b/1.png"])
    (tmp_path / "a/2.png").write_bytes(b"no image at all")
    message = f"{tmp_path / 'a/2.png'}: not an image in a known format"
    with pytest.raises(ImageReadError, match=re.escape(message)):
        load_image_folder(tmp_path)
    with pytest.warns(UserWarning, match=r"Left out 1 of 3 image\(s\)") as caught:
        data = load_image_folder(tmp_path, on_error="warn")
    assert message in str(caught[0].message)
    assert caught[0].filename == __file__
    assert data.filenames.tolist() == ["a/1.png", "b/1.png"]
    assert data.target.tolist() == ["a", "b"]


def test_only_broken_images(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/1.png").write_bytes(b"")
    with pytest.raises(ImageReadError, match=r"None of 1 image\(s\) can be read\. First: .*a/1\.p"):
        load_image_folder(tmp_path, on_error="warn")


def test_empty_label_folder_is_reported(tmp_path):
    put(tmp_path, ["a/1.png"])
    (tmp_path / "b").mkdir()
    with pytest.warns(UserWarning, match=r"no image in the label folder\(s\) 'b'; these") as caught:
        load_image_folder(tmp_path)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("names", [[], ["1.png"]])
def test_folder_without_labelled_images(tmp_path, names):
    put(tmp_path, names)
    message = rf"no images in label folders: found {len(names)} image\(s\).*such as happy/1\.png"
    with pytest.raises(DatasetFormatError, match=message):
        load_image_folder(tmp_path)


@pytest.mark.parametrize("size", [0, -3, 2.5, (4,), (4, 4, 4), True, "48"])
def test_wrong_size(tmp_path, size):
    with pytest.raises(ValueError, match=re.escape(f"size={size!r} must be None, a positive")):
        load_image_folder(tmp_path, size=size)


def test_wrong_on_error(tmp_path):
    with pytest.raises(ValueError, match=r"on_error='warm' is unknown.*Did you mean 'warn'\?"):
        load_image_folder(tmp_path, on_error="warm")


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"does not exist\. Check the spelling"):
        load_image_folder(tmp_path / "nowhere")


# -- any layout -------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    """A folder with the subsets Train and test, of three and two images."""
    names = ["Train/contempt/1.png", "Train/joy/1.png", "Train/joy/2.png", "test/joy/1.png"]
    return put(tmp_path / "folders", [*names, "test/fear/1.png"])


def test_fer2013_is_recognised(tmp_path):
    path = put(tmp_path, ["train/sad/Training_1.png", "test/joy/PublicTest_1.png"])
    for subset, part in (("Public", "public"), (None, "all"), (["training", "train"], "train")):
        data = load_dataset(path, subset=subset)
        assert (data.layout, data.part) == ("FER2013 layout", part)
        expected = load_fer2013(path, subset=part)
        np.testing.assert_array_equal(data.images, expected.images)
        np.testing.assert_array_equal(data.subset, expected.subset)


@pytest.mark.parametrize(
    ("subset", "part", "targets"),
    [
        (None, "all", ["contempt", "happy", "happy", "fear", "happy"]),
        ("all", "all", ["contempt", "happy", "happy", "fear", "happy"]),
        ("train", "Train", ["contempt", "happy", "happy"]),
        (["dev", "test"], "test", ["fear", "happy"]),
        ("training", "Train", ["contempt", "happy", "happy"]),
        (["dev", "valid"], "all", ["contempt", "happy", "happy", "fear", "happy"]),
    ],
)
def test_label_folders_are_recognised(folders, subset, part, targets):
    data = load_dataset(folders, subset=subset)
    assert (data.layout, data.part) == ("label folders", part)
    assert data.target.tolist() == targets
    assert data.target_names.tolist() == sorted(set(targets))
    assert len(data.images) == len(data.data) == len(data.filenames) == len(targets)
    assert set(data.subset.tolist()) == ({"Train", "test"} if part == "all" else {part})
    X, y = load_dataset(folders, subset=subset, return_X_y=True)
    np.testing.assert_array_equal(X, data.images)
    assert y.tolist() == targets


def test_a_subset_of_images_of_several_sizes(folders):
    put(folders / "Train" / "fear", ["1.png"], shape=(48, 30))
    data = load_dataset(folders, subset="train")
    assert data.images.dtype == object
    assert "data" not in data


def test_an_unknown_subset(folders):
    message = r"has no subset 'tests'; it has Train, test\. .* Did you mean 'test'\?"
    with pytest.raises(DatasetFormatError, match=message):
        load_dataset(folders, subset="tests")
    with pytest.raises(DatasetFormatError, match=r"As label folders: .* has no subset 'private'"):
        load_dataset(folders, subset="private")


def test_neither_layout(tmp_path):
    put(tmp_path, ["1.png"])
    message = r"cannot be used\. As FER2013: .* not named after .* As label folders: .* no images"
    with pytest.raises(DatasetFormatError, match=message):
        load_dataset(tmp_path)


def test_a_table_is_fer2013(tmp_path):
    path = tmp_path / "fer2013.csv"
    path.write_text("emotion,pixels,Usage\n0,1 2 3,Training\n")
    with pytest.raises(DatasetFormatError, match="row 1 below the header: 3 pixels"):
        load_dataset(path)
    with pytest.raises(ValueError, match="subset='test' is not a subset of FER2013"):
        load_dataset(path, subset="test")


def test_unreadable_images_of_label_folders(folders):
    (folders / "test/joy/1.png").write_bytes(b"")
    with pytest.raises(ImageReadError, match="test/joy"):
        load_dataset(folders)
    with pytest.warns(UserWarning, match="Left out 1 of 5"):
        assert len(load_dataset(folders, on_error="warn").images) == 4
    with pytest.raises(ValueError, match="on_error='skip' is unknown"):
        load_dataset(folders, on_error="skip")


# -- fetching ---------------------------------------------------------------------------


BY_HAND = "open https://www.kaggle.com/datasets/msambare/fer2013 , choose 'Download', put"


@pytest.fixture
def kaggle(monkeypatch, tmp_path_factory):
    """A server that offers a tiny FER2013 through a redirect, like Kaggle."""
    names = [f"train/{e}/Training_1.png" for e in EMOTIONS[:5]]
    names += ["test/sad/PublicTest_1.png", "test/sad/PrivateTest_1.png"]
    folder = put(tmp_path_factory.mktemp("served"), names)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.write(folder / name, name)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            calls.append(self.path)
            self.send_response(302 if self.path == "/api" else server.status)
            self.send_header("Location", "/storage")
            self.send_header("Content-Length", str(len(server.content)))
            self.end_headers()
            if self.path != "/api":
                self.wfile.write(server.content)

        def log_message(self, *args):
            pass

    calls = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.calls, server.content, server.status = calls, content.getvalue(), 200
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(_fer2013, "_URL", f"http://127.0.0.1:{server.server_port}/api")
    monkeypatch.setattr(_fer2013, "_COUNTS", {"train": 5, "public": 1, "private": 1})
    yield server
    server.shutdown()
    server.server_close()


def test_fetch_downloads_once(kaggle, tmp_path):
    home = tmp_path / "home"
    for subset, n_samples in (("train", 5), ("private", 1)):
        assert len(fetch_fer2013(home, subset=subset).images) == n_samples
    assert kaggle.calls == ["/api", "/storage"]
    assert [path.name for path in home.iterdir()] == ["fer2013.zip"]
    assert (home / "fer2013.zip").read_bytes() == kaggle.content


def test_fetch_finds_what_was_put_there_by_hand(kaggle, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_SKLEARN_DATA", str(tmp_path / "home"))
    put(tmp_path / "home" / "fer2013", ["train/joy/Training_1.png"])
    X, y = fetch_fer2013(return_X_y=True)
    np.testing.assert_array_equal(X, FACES.images[:1])
    assert y.tolist() == ["happy"]
    assert kaggle.calls == []


def test_fetch_finds_an_unpacked_archive(kaggle, tmp_path):
    put(tmp_path, ["train/joy/Training_1.png"])
    assert fetch_fer2013(tmp_path).target.tolist() == ["happy"]
    assert kaggle.calls == []


def test_fetch_refuses_an_incomplete_download(kaggle, tmp_path, monkeypatch):
    monkeypatch.setattr(_fer2013, "_COUNTS", {"train": 6, "public": 1, "private": 1})
    with pytest.raises(
        DatasetFormatError, match=r"'train': 5, .*; expected {'train': 6,"
    ) as caught:
        fetch_fer2013(tmp_path / "home")
    assert BY_HAND in str(caught.value)
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (403, b"", "403 Client Error: Forbidden"),
        (200, b"<html>Sign in</html>", "Kaggle sent something that is not a zip archive"),
    ],
)
def test_fetch_says_what_to_do_if_kaggle_sends_no_archive(
    kaggle, tmp_path, status, content, message
):
    kaggle.status, kaggle.content = status, content
    with pytest.raises(ConnectionError, match=message) as caught:
        fetch_fer2013(tmp_path / "home")
    assert BY_HAND in str(caught.value)
    assert list((tmp_path / "home").iterdir()) == []


def test_fetch_without_network_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(_fer2013, "_URL", "http://127.0.0.1:9/api")
    with pytest.raises(ConnectionError, match="could not be downloaded from Kaggle") as caught:
        fetch_fer2013(tmp_path / "home")
    assert BY_HAND in str(caught.value)
    assert f"into {tmp_path / 'home'} without unpacking it" in str(caught.value)
    assert list((tmp_path / "home").iterdir()) == []


def test_fetch_checks_the_subset_first(tmp_path):
    with pytest.raises(ValueError, match="subset='test' is unknown"):
        fetch_fer2013(tmp_path, subset="test")


# -- synthetic faces --------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 28, 48, 96])
def test_faces_bunch(size):
    data = make_faces(15, size, random_state=0)
    assert data.images.shape == (15, size, size)
    assert data.images.dtype == np.uint8
    assert data.data.shape == (15, size * size)
    assert data.target_names.tolist() == list(EMOTIONS)
    assert sorted(np.unique(data.target, return_counts=True)[1].tolist()) == [2] * 6 + [3]
    assert set(data.subset.tolist()) == {"train"}
    assert data.images.std(axis=(1, 2)).min() > 10


def test_same_seed_same_faces():
    X, y = make_faces(9, random_state=3, return_X_y=True)
    again = make_faces(9, random_state=3)
    np.testing.assert_array_equal(X, again.images)
    np.testing.assert_array_equal(y, again.target)
    assert not np.array_equal(X, make_faces(9, random_state=4).images)


def test_random_state_instance_advances():
    rng = np.random.RandomState(0)
    first, second = make_faces(3, random_state=rng), make_faces(3, random_state=rng)
    assert not np.array_equal(first.images, second.images)


def test_noise():
    clean, noisy = (make_faces(9, noise=noise, random_state=0).images for noise in (0, 20))
    assert 12 < (noisy.astype(int) - clean).std() < 22


def test_expressions_can_be_learned():
    X, y = make_faces(280, random_state=0, return_X_y=True)
    features = [hog(face, pixels_per_cell=(8, 8), cells_per_block=(2, 2)) for face in X]
    assert cross_val_score(LinearSVC(C=0.1), features, y, cv=3).mean() > 0.85


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_samples": 0}, "n_samples=0 must be an integer of at least 1."),
        ({"n_samples": 2.0}, "n_samples=2.0 must be an integer"),
        ({"size": 15}, "size=15 must be an integer of at least 16."),
        ({"size": True}, "size=True must be an integer"),
        ({"noise": -1}, "noise=-1 must be a finite number"),
        ({"noise": float("nan")}, "noise=nan must be a finite number"),
    ],
)
def test_invalid_faces_are_rejected(parameters, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_faces(**parameters)
