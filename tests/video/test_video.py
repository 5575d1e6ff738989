"""From videos and cameras to results, files and a summary."""

import csv
import gc
import json
import math
import os
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest
from videos import Camera, SquareReader, moving, read_video, squares, write_video

from fer_sklearn.exceptions import VideoReadError
from fer_sklearn.video import TIMELINE_COLUMNS, TrackedFace, VideoFrame, analyze_video, iter_video
from fer_sklearn.video._outputs import (
    Counter,
    TimelineWriter,
    VideoSummary,
    VideoWriter,
    plot_timeline,
)

# The timeline of a video of squares: two faces, one of which turns sad.
_TURNS = 30


def _two_faces(n_frames=50):
    return [
        squares(
            (60 + 2 * i, 60, "happy" if i < _TURNS else "sad"),
            (260 - 2 * i, 180, "sad"),
        )
        for i in range(n_frames)
    ]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_video(tmp_path_factory.mktemp("videos") / "two.mp4", _two_faces())


def _rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class Viewer:
    """Stands in for a page: records the frames it gets, and closes after some of them."""

    def __init__(self, n_frames=10**6):
        self.n_frames = n_frames
        self.shown, self.statuses = [], []
        self.is_open = None

    def __enter__(self):
        self.is_open = True
        return self

    def __exit__(self, *exception):
        self.is_open = False

    @property
    def closed(self):
        return len(self.shown) >= self.n_frames

    def show(self, frame, *, arrived):
        self.shown.append(frame)
        self.arrived = arrived

    def update(self, status):
        self.statuses.append(status)


def test_each_frame_has_its_faces(video):
    frames = list(iter_video(video, SquareReader()))
    assert [frame.index for frame in frames] == list(range(50))
    assert all([face.number for face in frame.faces] == [0, 1] for frame in frames)
    assert frames[10].seconds == pytest.approx(0.4)
    tops = {face.number: face.box[1] for face in frames[10].faces}
    upper = min(tops, key=tops.get)
    emotions = [{face.number: face.emotion for face in frame.faces} for frame in frames]
    assert emotions[20] == {upper: "happy", 1 - upper: "sad"}
    assert emotions[-1] == {upper: "sad", 1 - upper: "sad"}
    # Half a second of smoothing: the change is reported a few frames late.
    assert emotions[_TURNS] == emotions[20]


def test_without_smoothing_frames_are_independent(video):
    frames = list(iter_video(video, SquareReader(), smoothing_seconds=0))
    assert {face.emotion for face in frames[_TURNS].faces} == {"sad"}


def test_skipped_frames_show_the_faces_of_the_last_searched_one(video):
    reader = SquareReader()
    frames = list(iter_video(video, reader, stride=5, yield_all_frames=True))
    assert len(frames) == 50
    assert [frame.index for frame in frames if frame.is_searched] == list(range(0, 50, 5))
    assert len(reader.widths) == 10
    assert frames[7].faces == []
    assert [face.box[0] for face in frames[7].shown] == [face.box[0] for face in frames[5].faces]
    assert [frame.index for frame in iter_video(video, SquareReader(), stride=5)] == list(
        range(0, 50, 5)
    )


def test_the_newest_frame_is_used_if_processing_is_slow():
    camera = Camera(rate=100, draw=lambda i: squares((60, 60, "happy")))
    reader = SquareReader(seconds=0.2)
    with iter_video(camera, reader) as frames:
        for _ in range(4):
            frame = next(frames)
            assert camera.n_given - frame.index < 60
    assert frame.index > 30


def test_an_abandoned_stream_releases_its_source(video):
    frames = iter_video(video, SquareReader())
    next(frames)
    del frames
    gc.collect()
    assert "fer_sklearn video" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride=0; expected an int of at least 1"),
        ({"stride": 1.5}, "stride=1.5; expected an int"),
        (
            {"smoothing_seconds": -1},
            "smoothing_seconds=-1; expected a non-negative number of seconds",
        ),
        (
            {"max_lost_seconds": None},
            "max_lost_seconds=None; expected a non-negative number of seconds",
        ),
    ],
)
def test_parameters_are_checked_at_once(video, options, message):
    with pytest.raises(ValueError, match=message):
        iter_video(video, SquareReader(), **options)


def test_a_video_gives_a_timeline_an_annotated_video_and_a_summary(video, tmp_path):
    timeline, annotated = tmp_path / "a.csv", tmp_path / "a.mp4"
    summary = analyze_video(video, SquareReader(), output=timeline, annotated_video=annotated)
    rows = _rows(timeline)
    assert list(rows[0]) == [*TIMELINE_COLUMNS, "happy", "sad"]
    assert len(rows) == 100
    assert (rows[20]["frame"], rows[20]["seconds"], rows[20]["face"]) == ("10", "0.4", "0")
    assert float(rows[20]["happy"]) + float(rows[20]["sad"]) == pytest.approx(1, abs=1e-3)
    shown = read_video(annotated)
    assert len(shown) == 50
    assert shown[0].shape == (240, 320, 3)
    plain = read_video(video)
    assert np.abs(shown[20].astype(int) - plain[20]).max() > 100

    assert (summary.n_frames, summary.n_searched, summary.problem) == (50, 50, None)
    assert summary.seconds == pytest.approx(2)
    fractions = {face.emotion: face.fractions for face in summary.faces}
    assert fractions["sad"] == {"happy": 0, "sad": 1}
    assert 0.6 < fractions["happy"]["happy"] < 0.95
    assert all(face.seconds == pytest.approx(2) for face in summary.faces)
    first, *_ = str(summary).splitlines()
    assert first == f"{video}: 2.0 s, 50 frames, 50 searched, 2 face(s)"
    assert [row["face"] for row in summary.rows()] == [0, 1]


def test_a_table_has_one_row_per_face(video, tmp_path):
    path = tmp_path / "faces.csv"
    summary = analyze_video(video, SquareReader(), faces_path=path, smoothing_seconds=0)
    rows = _rows(path)
    assert list(rows[0]) == [
        *("face", "seconds", "first", "last", "emotion", "n_changes"),
        *("happy", "sad", "mean_happy", "mean_sad"),
    ]
    turning = max(summary.faces, key=lambda face: face.n_changes)
    fraction = _TURNS / 50
    assert (turning.emotion, turning.n_changes) == ("happy", 1)
    assert turning.fractions == pytest.approx({"happy": fraction, "sad": 1 - fraction})
    assert turning.mean_probabilities["happy"] == pytest.approx(
        0.9 * fraction + 0.2 * (1 - fraction)
    )
    (other,) = [face for face in summary.faces if face is not turning]
    assert (other.emotion, other.n_changes) == ("sad", 0)
    assert other.mean_probabilities == pytest.approx({"happy": 0.2, "sad": 0.8})
    row = rows[turning.face]
    assert (row["n_changes"], row["happy"], row["first"], row["last"]) == (
        "1",
        "0.6",
        "0.0",
        "1.96",
    )


def test_a_table_of_a_video_without_faces_has_a_header(tmp_path):
    video = write_video(tmp_path / "empty.mp4", [squares()] * 3)
    analyze_video(video, SquareReader(), faces_path=tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == (
        "face,seconds,first,last,emotion,n_changes,happy,sad,mean_happy,mean_sad\n"
    )


def test_labels_without_probabilities_have_no_means(video, tmp_path):
    class Labels(SquareReader):
        def predict(self, images):
            labels, y_proba = super().predict(images)
            return labels, np.full_like(y_proba, np.nan)

    path = tmp_path / "a.csv"
    summary = analyze_video(video, Labels(), faces_path=path)
    assert "mean" not in str(summary)
    assert {row["mean_happy"] for row in _rows(path)} == {""}
    assert summary.rows()[0]["mean_sad"] is None


def _frame(seconds, emotion="happy"):
    unknown = np.full(4, np.nan)
    face = TrackedFace(0, unknown, unknown, 1.0, emotion, 0.7, np.array([0.7, 0.3]))
    return VideoFrame(round(25 * seconds), seconds, None, [face], [face], True)


@pytest.mark.parametrize(("max_gap", "expected"), [(math.inf, 60.04), (2.0, 2.04)])
def test_time_without_a_camera_is_not_counted(max_gap, expected):
    counter = Counter(["happy", "sad"], 0.04, max_gap=max_gap)
    for seconds in (0.0, 60.0):
        counter.add(_frame(seconds))
    (face,) = counter.summary().faces
    assert face.seconds == pytest.approx(expected)
    assert face.last == 60.0


def test_a_frame_counts_until_the_next_one():
    counter = Counter(["happy", "sad"], 0.04)
    for seconds, emotion in [(0.0, "happy"), (10.0, "sad"), (10.04, "sad")]:
        counter.add(_frame(seconds, emotion))
        (face,) = counter.summary().faces  # as a viewer asks for it
    assert face.seconds == pytest.approx(10.08)
    assert face.fractions == pytest.approx({"happy": 10 / 10.08, "sad": 0.08 / 10.08})


def test_an_annotated_video_may_have_any_name(video, tmp_path):
    name = os.fsdecode(b"12:30 100%03d \xff.mp4")
    (tmp_path / name).mkdir()
    for annotated in (tmp_path / name / "a.mp4", tmp_path / name / name):
        analyze_video(video, SquareReader(), annotated_video=annotated)
        with iter_video(annotated, SquareReader()) as frames:
            assert len(list(frames)) == 50


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_timeline_that_is_a_pipe_can_be_plotted(video, tmp_path):
    """The plot is made from the timeline, but a pipe cannot be read again."""
    pipe, plot, received = tmp_path / "pipe", tmp_path / "a.png", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: received.append(pipe.read_text()), daemon=True)
    reader.start()
    analyze_video(video, SquareReader(), output=pipe, plot_path=plot)
    reader.join()
    assert received[0].count("\n") > 50
    assert sorted(tmp_path.iterdir()) == [plot, pipe]


def test_frames_with_the_same_time_are_counted():
    counter = Counter(["happy", "sad"], 0.04)
    for seconds, emotion in [(0.0, "happy"), (0.0, "sad"), (0.0, "happy")]:
        counter.add(_frame(seconds, emotion))
    (face,) = counter.summary().faces
    assert face.n_changes == 2
    assert face.fractions["happy"] == pytest.approx(1, abs=1e-3)


def test_a_stride_of_five_keeps_the_length_and_frame_rate(video, tmp_path):
    annotated = tmp_path / "a.avi"
    summary = analyze_video(video, SquareReader(), annotated_video=annotated, stride=5)
    assert (summary.n_frames, summary.n_searched) == (50, 10)
    assert len(read_video(annotated)) == 50
    assert all(face.seconds == pytest.approx(2) for face in summary.faces)


def test_a_stride_does_not_shorten_a_video(video):
    summary = analyze_video(video, SquareReader(), stride=20)
    assert (summary.n_frames, summary.n_searched) == (50, 3)
    assert summary.seconds == pytest.approx(2)
    assert all(face.seconds == pytest.approx(2) for face in summary.faces)
    for options in ({"duration": 0.5}, {"should_stop": iter([False, True, True]).__next__}):
        assert analyze_video(video, SquareReader(), stride=20, **options).seconds < 1


def test_a_plot_is_made_from_the_timeline(video, tmp_path):
    plot = tmp_path / "a.png"
    analyze_video(video, SquareReader(), plot_path=plot)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("rate", [25, 29.97])
def test_the_plot_of_a_long_video_leaves_short_gaps(tmp_path, monkeypatch, rate):
    timeline, absent, n_frames = tmp_path / "a.csv", [(900, 927), (3000, 3012)], 4500
    with TimelineWriter(timeline, ["happy", "sad"]) as writer:
        for i in range(n_frames):
            frame = _frame(i / rate)
            if any(start <= i < stop for start, stop in absent):
                frame.faces.clear()
            writer.write(replace(frame, index=i))
    drawn = []
    monkeypatch.setattr("matplotlib.pyplot.close", lambda figure: drawn.append(figure))
    summary = VideoSummary("a", n_frames / rate, n_frames, n_frames)
    plot_timeline(timeline, tmp_path / "a.png", summary, ["happy", "sad"])
    times = drawn[0].axes[0].lines[0].get_xdata()
    (gaps,) = np.nonzero(np.isnan(times))
    assert len(times) < 1600
    for gap, (start, stop) in zip(gaps, absent, strict=True):
        assert times[gap - 1] == pytest.approx(start / rate, abs=0.1)
        assert times[gap + 1] == pytest.approx(stop / rate, abs=0.1)


def test_a_video_without_faces(tmp_path):
    video = write_video(tmp_path / "empty.mp4", [squares()] * 10)
    timeline, plot = tmp_path / "a.csv", tmp_path / "a.png"
    summary = analyze_video(video, SquareReader(), output=timeline, plot_path=plot)
    assert summary.faces == summary.rows() == []
    assert str(summary).endswith("10 searched, 0 face(s)")
    rows = _rows(timeline)
    assert [row["frame"] for row in rows] == [str(i) for i in range(10)]
    assert rows[1]["seconds"] == "0.04"
    assert {row[name] for row in rows for name in list(row)[2:]} == {""}
    assert not plot.exists()


def test_each_frame_has_a_row_and_each_face_its_quality(tmp_path):
    class Reader(SquareReader):
        def quality(self, photo, faces, crops):
            return np.linspace(0.5, 0.7, len(crops)) if len(crops) else np.empty(0)

    images = moving(10) + [squares()] * 100 + moving(10)
    video = write_video(tmp_path / "a.mp4", images)
    timeline, plot = tmp_path / "a.csv", tmp_path / "a.png"
    analyze_video(
        video, Reader(), output=timeline, plot_path=plot, annotated_video=tmp_path / "b.mp4"
    )
    rows = _rows(timeline)
    assert [row["frame"] for row in rows] == [str(i) for i in range(120)]
    assert {row["quality"] for row in rows if row["face"]} == {"0.5"}
    # In the first frame after the gap, the face is new; it has to be seen twice.
    assert [i for i, row in enumerate(rows) if row["face"]] == [*range(10), *range(111, 120)]
    analyze_video(video, Reader(), output=timeline, stride=4)
    assert [row["frame"] for row in _rows(timeline)] == [str(i) for i in range(0, 120, 4)]


def test_a_timeline_can_include_provenance(video, tmp_path):
    timeline = tmp_path / "a.csv"
    analyze_video(video, SquareReader(), output=timeline, provenance=True, duration=0.2)
    beside = json.loads((tmp_path / "a.csv.provenance.json").read_text(encoding="utf-8"))
    assert beside == {"model": "<videos.SquareReader object>"}
    analyze_video(video, SquareReader(), output=timeline, duration=0.2)
    assert not (tmp_path / "a.csv.provenance.json").exists()
    with pytest.raises(ValueError, match=r"^provenance=True needs output"):
        analyze_video(video, SquareReader(), provenance=True)


def test_rows_are_on_disk_as_soon_as_they_are_computed(video, tmp_path):
    timeline = tmp_path / "a.csv"
    seen = []

    def stop():
        seen.append(len(timeline.read_text().splitlines()) if timeline.exists() else 0)
        return len(seen) > 20

    analyze_video(video, SquareReader(), output=timeline, should_stop=stop)
    assert seen == sorted(seen)
    # The header, and two faces for each frame before the requested one.
    assert len(_rows(timeline)) == 2 * (len(seen) - 1)


def test_the_results_of_a_truncated_video_are_kept(tmp_path):
    video = write_video(tmp_path / "cut.avi", moving(75, step=2), codec="MJPG")
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    timeline, annotated = tmp_path / "a.csv", tmp_path / "a.mp4"
    summary = analyze_video(video, SquareReader(), output=timeline, annotated_video=annotated)
    assert "truncated or damaged after" in summary.problem
    assert "ended early: " in str(summary)
    assert len(_rows(timeline)) == len(read_video(annotated)) == summary.n_frames > 30


@pytest.mark.slow
def test_a_camera_that_disconnects_leaves_complete_files(tmp_path, monkeypatch):
    monkeypatch.setattr("fer_sklearn.video._sources._PATIENCE", 0.2)
    camera = Camera(rate=50, n_frames=60, draw=lambda i: squares((100 + i, 60, "happy")))
    timeline, annotated = tmp_path / "a.csv", tmp_path / "a.mp4"
    summary = analyze_video(camera, SquareReader(), output=timeline, annotated_video=annotated)
    assert "returns no more frames" in summary.problem
    assert summary.n_frames == 60
    assert len(_rows(timeline)) == summary.n_searched
    # As long as the clock says, however many frames were processed.
    assert len(read_video(annotated)) == pytest.approx(50 * summary.seconds, abs=2)


def test_the_analysis_stops_after_the_duration(video, tmp_path):
    summary = analyze_video(video, SquareReader(), output=tmp_path / "a.csv", duration=0.4)
    assert summary.n_frames == 10
    with pytest.raises(ValueError, match="duration=0; expected a number of seconds above 0"):
        analyze_video(video, SquareReader(), duration=0)


def test_a_viewer_sees_all_frames_and_ends_the_analysis(video):
    viewer = Viewer(n_frames=12)
    summary = analyze_video(video, SquareReader(), viewer=lambda: viewer)
    assert summary.n_frames == len(viewer.shown) == 12
    *statuses, last = viewer.statuses
    assert len(statuses) == 12
    assert list(last) == ["table"]
    assert [row["face"] for row in last["table"]] == [0, 1]
    assert statuses[0]["table"][0]["n_changes"] == 0
    # A file has no latency.
    assert viewer.arrived is None
    assert viewer.is_open is False
    assert viewer.shown[0].shape == (240, 320, 3)
    status = statuses[-1]
    assert status["seconds"] == 0.44
    assert status["fps"] > 0
    face = status["faces"][0]
    assert face["face"] == 0
    assert face["probability"] == max(face["probabilities"].values())


class _PausingViewer(Viewer):
    """Presses "Stop" after some frames, and "Start" when the camera has been released."""

    def __init__(self, cameras, **options):
        super().__init__(**options)
        self.cameras = cameras

    @property
    def paused(self):
        return len(self.shown) == 5 and not self.cameras[0].released


def test_a_paused_viewer_releases_the_camera(monkeypatch):
    cameras = [Camera(draw=lambda i: squares((60, 60, "happy"))) for _ in range(2)]
    opened = iter(cameras)
    monkeypatch.setattr("cv2.VideoCapture", lambda source: next(opened))
    viewer = _PausingViewer(cameras, n_frames=10)
    summary = analyze_video(0, SquareReader(), viewer=lambda: viewer)
    assert len(viewer.shown) == 10
    assert summary.problem is None
    assert [camera.released for camera in cameras] == [True, True]
    assert 0 <= time.monotonic() - viewer.arrived < 60


@pytest.mark.filterwarnings("ignore::fer_sklearn.exceptions.CameraWarning")
def test_a_viewer_is_told_that_a_camera_is_lost(monkeypatch):
    monkeypatch.setattr("fer_sklearn.video._sources._PATIENCE", 0.1)
    monkeypatch.setattr("fer_sklearn.video._sources._FIRST_WAIT", 0.2)
    cameras = iter([Camera(n_frames=5), Camera()])
    monkeypatch.setattr("cv2.VideoCapture", lambda source: next(cameras))
    viewer = Viewer(n_frames=8)
    analyze_video(0, SquareReader(), viewer=lambda: viewer)
    (message,) = [status["message"] for status in viewer.statuses if "message" in status]
    assert message == "camera 0 is lost; trying to reconnect"


def test_no_viewer_is_opened_for_a_missing_source():
    viewer = Viewer()
    with pytest.raises(VideoReadError):
        analyze_video(77, SquareReader(), viewer=lambda: viewer)
    assert viewer.is_open is None


def test_progress_wraps_the_frames(video):
    calls = []

    def progress(frames, **options):
        calls.append(options)
        return frames

    analyze_video(video, SquareReader(), progress=progress, stride=4)
    assert calls == [{"total": 13, "unit": "frame"}]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"annotated_video": "a.gif"}, r"annotated_video='a\.gif' ends in .* \.mp4, "),
        ({"plot_path": "a.bmp"}, r"plot_path='a\.bmp' ends in .* \.png, "),
        ({"output": "a.mp4", "annotated_video": "a.mp4"}, "must be different files"),
        (
            {"output": "a.parquet"},
            r"output='a.parquet' ends in '.parquet', but it is written as CSV",
        ),
        ({"faces_path": "a.JSON"}, r"ends in '.JSON', .* End its name in '.csv'"),
    ],
)
def test_outputs_are_checked_before_any_work(video, options, message):
    with pytest.raises(ValueError, match=message):
        analyze_video(video, SquareReader(), **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["output", "annotated_video"])
def test_two_analyses_do_not_write_the_same_file(video, tmp_path, name):
    outputs = {name: tmp_path / ("a.csv" if name == "output" else "a.avi")}
    refused = []

    def stop():
        with pytest.raises(BlockingIOError, match=rf"being written by process {os.getpid()}\."):
            analyze_video(video, SquareReader(), **outputs)
        refused.append(True)
        return len(refused) > 3

    summary = analyze_video(video, SquareReader(), should_stop=stop, **outputs)
    assert summary.n_frames > 0
    assert [path.name for path in tmp_path.iterdir()] == [outputs[name].name]
    assert analyze_video(video, SquareReader(), **outputs).n_frames == 50


def test_two_outputs_are_not_one_file_by_a_link(video, tmp_path):
    link = tmp_path / "b.csv"
    link.symlink_to("a.csv")
    with pytest.raises(ValueError, match="must be different files"):
        analyze_video(video, SquareReader(), output=tmp_path / "a.csv", faces_path=link)


def test_a_video_does_not_overwrite_itself(video):
    size = video.stat().st_size
    with pytest.raises(ValueError, match="is the video itself; choose another file"):
        analyze_video(video, SquareReader(), annotated_video=video)
    assert video.stat().st_size == size


def test_a_missing_folder_is_reported_before_any_work(video, tmp_path):
    with pytest.raises(FileNotFoundError, match="is in a folder that does not exist"):
        analyze_video(video, SquareReader(), output=tmp_path / "none" / "a.csv")


def test_a_full_disk_ends_the_analysis_with_a_summary(video, tmp_path, monkeypatch):
    from fer_sklearn.video._outputs import TimelineWriter

    def write(self, frame):
        if frame.index == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(TimelineWriter, "write", write)
    summary = analyze_video(video, SquareReader(), output=tmp_path / "a.csv")
    assert "No space left on device" in summary.problem
    assert summary.n_frames == 6


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".mp4", ".mkv", ".webm", ".avi"])
def test_a_disk_that_fills_up_is_a_problem(video, tmp_path, suffix):
    resource = pytest.importorskip("resource")
    name = "output" if suffix == ".csv" else "annotated_video"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        summary = analyze_video(video, SquareReader(), **{name: tmp_path / f"a{suffix}"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = "File too large" if suffix == ".csv" else "could not write the whole video; is the"
    assert message in summary.problem
    assert summary.faces


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi"])
def test_videos_are_written_in_each_format(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with VideoWriter(path, 12.5) as video:
        for i, image in enumerate(moving(20)):
            video.write(image[:201, :301], i / 12.5)
    images = read_video(path)
    assert len(images) == 20
    # These codecs support only even sizes.
    assert images[0].shape == (200, 300, 3)
    red, _, blue = images[10][120, 90].astype(int)
    assert red - blue > 100


@pytest.mark.parametrize("rate", [23.976, 123.4567, 238.1234])
def test_a_video_may_have_any_rate(tmp_path, rate):
    with VideoWriter(tmp_path / "a.mp4", rate) as video:
        for i, image in enumerate(moving(12)):
            video.write(image, i / rate)
    with iter_video(tmp_path / "a.mp4", SquareReader()) as frames:
        assert [frame.seconds * rate for frame in frames] == pytest.approx(range(12), abs=0.1)


def test_a_video_keeps_the_times_of_irregular_frames(tmp_path):
    path = tmp_path / "a.avi"
    with VideoWriter(path, 10) as video:
        for seconds, image in zip((0, 0.1, 0.5, 0.52, 0.6), moving(5, step=40), strict=True):
            video.write(image, seconds)
    places = [int(np.argmax(image[120, :, 0] > 200)) for image in read_video(path)]
    assert np.round((np.array(places) - 40) / 40).tolist() == [0, 1, 2, 2, 2, 2, 4]


def test_a_clock_jump_does_not_fill_the_disk(tmp_path):
    path = tmp_path / "a.avi"
    with VideoWriter(path, 10) as video:
        for seconds in (0, 36000, 36000.1):
            video.write(np.zeros((16, 16, 3), np.uint8), seconds)
    assert len(read_video(path)) == 102


def test_frames_of_another_size_are_scaled(tmp_path):
    path = tmp_path / "a.avi"
    with VideoWriter(path, 10) as video:
        video.write(np.zeros((32, 48, 3), np.uint8), 0)
        video.write(np.full((64, 96, 3), 255, np.uint8), 0.1)
    images = read_video(path)
    assert [image.shape for image in images] == [(32, 48, 3)] * 2
    assert images[1].mean() > 250


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video(tmp_path):
    """Two thousand frames of 640×480 would be 1.8 GB."""
    camera = Camera(rate=10**5, draw=lambda i: big)
    big = np.full((480, 640, 3), 128, np.uint8)
    process = psutil.Process()
    sizes = []

    def stop():
        sizes.append(process.memory_info().rss)
        return len(sizes) > 2000

    analyze_video(camera, _Nothing(), output=tmp_path / "a.csv", should_stop=stop)
    assert max(sizes[200:]) - sizes[200] < 40e6


class _Nothing(SquareReader):
    def detect(self, photo):
        time.sleep(0.0005)
        return super().detect(photo[:8, :8])
