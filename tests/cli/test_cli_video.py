"""`fer-sklearn video` and `fer-sklearn webcam`."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import videos
from running import csv_rows, run, usage_error
from videos import Camera, SquareReader, moving, read_video, squares, write_video

from fer_sklearn.cli import _video

# A video of squares, processed as slowly as real faces, and stopped halfway.
_PROGRAM = """
import sys
from videos import Camera, SquareReader, squares
from fer_sklearn.cli import _video, main

_video.load_reader = lambda *args, **options: SquareReader(seconds=0.02)
if sys.argv[1] == "webcam":
    camera = Camera(rate=50, draw=lambda i: squares((60 + i % 200, 60, "happy")))
    analyze = _video._analyze
    _video._analyze = lambda args, source, **options: analyze(args, camera, **options)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "one.mp4", moving(50))


@pytest.fixture
def square_reader(monkeypatch):
    """Treat squares as faces."""
    monkeypatch.setattr(_video, "load_reader", lambda *args, **options: SquareReader())


@pytest.fixture
def camera(monkeypatch, square_reader):
    """A camera with 100 frames per second that is unplugged after 40 frames."""
    camera = Camera(rate=100, n_frames=40, draw=lambda i: squares((60 + i, 60, "sad")))
    monkeypatch.setattr("fer_sklearn.video._sources._PATIENCE", 0.2)
    monkeypatch.setattr("cv2.VideoCapture", lambda source: camera)
    return camera


@pytest.mark.usefixtures("square_reader")
def test_a_video_is_summarised(video, capsys):
    assert run("video", video) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == f"{video}: 2.0 s, 50 frames, 50 searched, 1 face(s)"
    columns = ["face", "seconds", "first", "last", "emotion", "changes", "happy", "sad"]
    assert lines[1].split() == columns
    assert lines[2].split()[:6] == ["0", "2.0", "0.0", "2.0", "happy", "0"]
    assert [line.split() for line in lines[-3:]] == [
        ["mean", "probabilities"],
        ["face", "happy", "sad"],
        ["0", "90", "%", "10", "%"],
    ]
    assert err == ""


@pytest.mark.usefixtures("square_reader")
def test_all_files_are_written(video, tmp_path, capsys):
    outputs = [tmp_path / name for name in ("a.csv", "a.mp4", "faces.csv", "a.png")]
    options = ["--output", "--annotate", "--faces", "--plot"]
    arguments = [part for pair in zip(options, outputs, strict=True) for part in pair]
    assert run("video", video, *arguments, "--format", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)[0]["emotion"] == "happy"
    assert err.splitlines() == [f"Written to {path}" for path in outputs]
    assert len(csv_rows(outputs[0].read_text())) == 50
    assert len(read_video(outputs[1])) == 50
    (face,) = csv_rows(outputs[2].read_text())
    assert (face["face"], face["happy"], face["mean_happy"]) == ("0", "1.0", "0.9")
    assert outputs[3].stat().st_size > 5000

    assert run("video", video, *arguments) == 1
    assert "exists already" in capsys.readouterr().err
    assert run("video", video, *arguments, "--force", "--stride", "10") == 0
    assert len(csv_rows(outputs[0].read_text())) == 5


@pytest.mark.usefixtures("square_reader")
def test_a_video_without_faces_is_reported(tmp_path, capsys):
    video = write_video(tmp_path / "a.mp4", [squares()] * 5)
    assert run("video", video, "--plot", tmp_path / "a.png", "--format", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == []
    assert err == "No face was found; there is nothing to plot\n"


@pytest.mark.usefixtures("square_reader")
def test_a_truncated_video_is_summarised_and_fails(tmp_path, capsys):
    video = write_video(tmp_path / "cut.avi", moving(75, step=2), codec="MJPG")
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    assert run("video", video, "--output", tmp_path / "a.csv", "--format", "csv") == 1
    out, err = capsys.readouterr()
    (row,) = csv_rows(out)
    assert row["emotion"] == "happy"
    assert err.splitlines()[0] == f"Written to {tmp_path / 'a.csv'}"
    assert err.splitlines()[1].startswith(
        f"fer-sklearn: error: {video}: truncated or damaged after"
    )


@pytest.mark.usefixtures("square_reader")
def test_a_missing_video_is_reported_in_one_line(tmp_path, capfd):
    assert run("video", tmp_path / "a.mp4") == 1
    err = capfd.readouterr().err
    assert err == f"fer-sklearn: error: {tmp_path / 'a.mp4'}: there is no such file\n"


def test_other_files_are_reported_in_one_line(tmp_path):
    """Use a separate process, since FFmpeg reads its log level only once."""
    (tmp_path / "a.mp4").write_bytes(b"no video")
    process = _start(tmp_path, "video", "a.mp4")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert out == ""
    assert err.startswith("fer-sklearn: error: a.mp4: not a video that OpenCV can read")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("square_reader")
def test_a_missing_camera_is_reported_in_one_line(capfd):
    assert run("webcam", "77", "--headless") == 1
    err = capfd.readouterr().err
    assert err.startswith("fer-sklearn: error: camera 77 cannot be opened: it does not exist, ")
    assert err.count("\n") == 1


@pytest.mark.usefixtures("camera")
def test_a_camera_that_disconnects_is_summarised(tmp_path, capsys):
    timeline = tmp_path / "a.csv"
    assert run("webcam", "--headless", "--output", timeline, "--reconnect", 0) == 1
    out, err = capsys.readouterr()
    assert out.startswith("camera 0: ")
    assert "1 face(s)" in out
    assert err.splitlines()[-1].startswith("fer-sklearn: error: camera 0 returns no more frames")
    assert len(csv_rows(timeline.read_text())) > 1


@pytest.mark.usefixtures("camera")
def test_a_lost_camera_is_waited_for(capsys):
    assert run("webcam", "--headless", "--reconnect", "0.3") == 1
    lost, error = capsys.readouterr().err.splitlines()
    assert lost.startswith("fer-sklearn: warning: camera 0 returns no more frames: ")
    assert lost.endswith("; trying to reconnect")
    assert error == "fer-sklearn: error: camera 0 was lost, and did not come back within 0.3 s"


def test_a_camera_is_watched_for_a_duration(camera, capsys):
    assert run("webcam", "0", "--headless", "--duration", "0.2") == 0
    assert camera.n_given < 40
    assert camera.released


@pytest.mark.usefixtures("camera")
def test_a_webcam_is_shown_in_the_browser(capsys):
    assert run("webcam", "--duration", "0.1") == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Open http://127.0.0.1:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--stride", "0"], "'0' is not a whole number above 0"),
        (["--smoothing", "-1"], "'-1' is not a non-negative number of seconds"),
        (["--duration", "0"], "'0' is not a number of seconds above 0"),
        (["--browser", "--headless"], "not allowed with argument"),
        (["--provenance"], "argument --provenance: only with --output"),
        (["--port", "70000"], "'70000' is not a port from 0 to 65535"),
    ],
)
def test_options_are_checked(capsys, options, message):
    assert message in usage_error(capsys, "video", "a.mp4", *options)


def _start(tmp_path, *arguments, streams="", **variables):
    """Start the program in a separate process, from a shell that redirects its streams."""
    paths = [str(Path(videos.__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", _PROGRAM, *map(str, arguments)]
    return subprocess.Popen(
        ["sh", "-c", f'exec "$@" {streams}', "sh", *command] if streams else command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding=variables.get("PYTHONIOENCODING"),
        env=environment | variables,
        cwd=tmp_path,
    )


@pytest.mark.skipif(os.name == "nt", reason="closes streams in a shell")
@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["video", "webcam"])
def test_no_console_is_needed(video, tmp_path, command, streams):
    outputs = ["--output", "a.csv", "--faces", "faces.csv", "--duration", "0.4", "--headless"]
    source = video if command == "video" else "0"
    process = _start(tmp_path, command, source, *outputs, streams=streams)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, "")
    assert ("happy" in out) is (streams == "2>&-")
    assert 1 <= len(csv_rows((tmp_path / "a.csv").read_text())) < 20
    (face,) = csv_rows((tmp_path / "faces.csv").read_text())
    assert face["emotion"] == "happy"


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_a_name_that_the_output_cannot_encode_is_escaped(video, tmp_path, encoding):
    (tmp_path / "日本.mp4").write_bytes(video.read_bytes())
    process = _start(tmp_path, "video", "日本.mp4", "-o", "日本.csv", PYTHONIOENCODING=encoding)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0
    name = "日本" if encoding == "utf-8" else r"\u65e5\u672c"
    assert out.startswith(f"{name}.mp4: 2.0 s")
    assert err == f"Written to {name}.csv\n"
    assert len(csv_rows((tmp_path / "日本.csv").read_text())) == 50


def _wait_for_rows(path, n_rows):
    until = time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < n_rows:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="sends signals to another process")
@pytest.mark.parametrize(
    ("command", "number", "code"),
    [
        ("video", signal.SIGINT, 130),
        ("video", signal.SIGTERM, 143),
        ("webcam", signal.SIGINT, 0),
        ("webcam", signal.SIGTERM, 0),
    ],
)
def test_a_signal_leaves_complete_files_and_a_summary(tmp_path, command, number, code):
    source = "0"
    if command == "video":
        source = write_video(tmp_path / "long.mp4", moving(100, step=1) * 20)
    timeline, annotated = tmp_path / "a.csv", tmp_path / "a.mp4"
    outputs = ["--headless", "--output", timeline, "--annotate", annotated]
    process = _start(tmp_path, command, source, *outputs)
    try:
        _wait_for_rows(timeline, 20)
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == code, err
    assert "happy" in out
    rows = csv_rows(timeline.read_text())
    assert all(len(row) == 12 and None not in row.values() for row in rows)
    n_shown = len(read_video(annotated))
    if command == "video":
        assert n_shown == len({row["frame"] for row in rows}) < 2000
    else:
        assert n_shown > 15
    assert "Traceback" not in err


@pytest.mark.slow
def test_finish_on_the_page_ends_the_command(tmp_path):
    process = _start(tmp_path, "webcam", "0")
    try:
        line = process.stderr.readline()
        address = line.split()[1]
        finish = urllib.request.Request(f"{address}finish", data=b"", method="POST")
        with urllib.request.urlopen(finish, timeout=60) as response:
            assert response.status < 300
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert out.startswith("the capture: ")
