"""`recognize`: one photo, as a list of faces that shows itself."""

import base64
import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from photo_reader import Reader, photo
from PIL import Image
from skimage.data import astronaut

from fer_sklearn import predict_photos, recognize
from fer_sklearn.exceptions import ImageReadError
from fer_sklearn.photos import RecognizedFace
from fer_sklearn.photos._recognize import _map_ahead
from fer_sklearn.weights import shipped_path


def encoded(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_the_faces_are_those_of_predict_photos():
    pixels = astronaut()
    faces, table = recognize(pixels), predict_photos([pixels])
    assert len(faces) == len(table) == 1
    for face, (_, row) in zip(faces, table.iterrows(), strict=True):
        assert (face.emotion, face.score) == (row["emotion"], row["score"])
        assert 0.5 < face.quality == row["quality"] <= 1
        assert face.box == tuple(row[["left", "top", "width", "height"]])
        assert face.probabilities == {name: row[name] for name in face.probabilities}
        assert face.probability == max(face.probabilities.values())
    assert faces.photo is pixels


@pytest.mark.parametrize("n_jobs", [1, 4])
def test_nothing_is_printed_except_the_result(n_jobs):
    code = f"""if True:
        import os, threading
        from skimage.data import astronaut
        from fer_sklearn import recognize
        threads = [threading.Thread(target=recognize, args=(astronaut(),)) for _ in range({n_jobs})]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.write(2, b"an error")
        print(recognize(astronaut())[0].emotion)"""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.stderr) == ("happy\n", "an error")


def test_a_photo_comes_in_every_form(tmp_path):
    data = encoded(photo(2))
    path = tmp_path / "a.png"
    path.write_bytes(data)
    uri = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    for image in (path, str(path), data, io.BytesIO(data), Image.fromarray(photo(2)), uri):
        assert [face.emotion for face in recognize(image, Reader())] == ["happy", "happy"]
    assert [face.emotion for face in recognize(photo(2, 0).tolist(), Reader())] == ["sad", "sad"]


def test_inputs_that_are_not_photos(tmp_path):
    with pytest.raises(ImageReadError, match=r"no\.jpg: there is no such file"):
        recognize("no.jpg", Reader())
    with pytest.raises(ImageReadError, match="this is a folder"):
        recognize(tmp_path, Reader())
    with pytest.raises(ValueError, match=r"image has shape \(2, 8, 8\); expected one photo"):
        recognize(np.zeros((2, 8, 8), np.uint8), Reader())
    with pytest.raises(TypeError, match=r"image is a int; expected"):
        recognize(3, Reader())


def test_a_model_may_be_named():
    face = astronaut()[30:220, 120:310]
    (seven,), (eight,) = (
        recognize(face, name, crop_faces=False) for name in ("tiny", "tiny:ferplus")
    )
    assert set(eight.probabilities) - set(seven.probabilities) == {"contempt"}
    assert seven.box == (0, 0, 190, 190)
    assert (seven.score, seven.quality) == (None, None)


def test_a_file_of_weights_is_read_again_once_it_is_replaced(tmp_path):
    path, face = tmp_path / "own.npz", astronaut()[30:220, 120:310]
    for name in ("default", "tiny", "default"):
        shutil.copyfile(shipped_path(name), path)
        for given in (path, str(path)):
            (found,), (expected,) = (
                recognize(face, model, crop_faces=False) for model in (given, name)
            )
            assert found == expected


def test_probabilities_may_be_unknown():
    reader = Reader()
    reader.predict = lambda crops: (np.full(len(crops), "sad"), np.full((len(crops), 2), np.nan))
    (face,) = recognize(photo(), reader)
    assert face == RecognizedFace("sad", None, {}, (0.0, 1.0, 4.0, 4.0), None, 5.0)


def test_a_terminal_shows_a_table():
    assert repr(recognize(photo(2), Reader())) == (
        "face  emotion  probability  quality  left  top  width  height\n"
        "   0  happy           1.00        –     0    1      4       4\n"
        "   1  happy           1.00        –     1    1      4       4"
    )
    assert repr(recognize(photo(0), Reader())) == "no face was found"


def test_a_label_cannot_break_the_table():
    reader = Reader()
    reader.classes = ["a\nb\x1b[2J", "<b>"]
    reader.predict = lambda crops: (
        np.full(len(crops), reader.classes[0]),
        np.tile([0.8, 0.2], (1, 1)),
    )
    faces = recognize(photo(), reader)
    assert repr(faces).splitlines()[1].split()[1] == r"a\nb\x1b[2J"
    assert faces[0].emotion == reader.classes[0]
    reader.classes.reverse()
    assert "<td>&lt;b&gt;</td>" in recognize(photo(), reader)._repr_html_()


def test_a_notebook_shows_the_photo():
    faces = recognize(astronaut())
    html = faces._repr_html_()
    (shown,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown))))
    assert picture.shape == (512, 512, 3)
    # Some of it is drawn on: the box and the bars.
    changed = np.abs(picture.astype(int) - astronaut()).max(axis=2) > 60
    assert 0.02 < changed.mean() < 0.5
    assert "<td>happy</td>" in html or ">happy<" in html
    assert "no face was found" in recognize(photo(0), Reader())._repr_html_()
    large = recognize(np.zeros((3000, 4000), np.uint8), crop_faces=False)
    assert len(large._repr_html_()) < 100_000


def test_it_is_a_list():
    faces = recognize(photo(2), Reader())
    assert faces == list(faces)
    assert pickle.loads(pickle.dumps(faces)) == faces
    assert [face.emotion for face in faces[1:]] == ["happy"]


def test_a_notebook_shows_the_faces_that_are_left():
    faces = recognize(photo(3), Reader())
    faces.reverse()
    faces.pop()
    html = faces._repr_html_()
    assert html.count("<td>happy</td>") == 2
    assert html.index("<td>2</td>") < html.index("<td>1</td>")  # the left edges of their boxes
    assert 'alt="2 face(s)"' in html
    pictures = [re.findall(r"base64,([^\"]+)", shown._repr_html_()) for shown in _orders()]
    assert pictures[0] == pictures[1] != pictures[2]
    faces.clear()
    assert "no face was found" in faces._repr_html_()


def _orders():
    """Faces of which one was left out in two ways, and both of them."""
    both, first, second = (
        recognize(np.tile(np.uint8([2, 255, 0, 0, 0, 0]), (60, 20)), Reader()) for _ in range(3)
    )
    first.remove(first[1])
    second.reverse()
    second.pop(0)
    return first, second, both


def test_results_need_not_wait_for_a_slow_source():
    taken = []

    def slow():
        for number in range(20):
            taken.append(number)
            yield number
            time.sleep(0.05)

    assert next(_map_ahead(abs, slow(), 2, 100)) == 0
    assert len(taken) < 20
