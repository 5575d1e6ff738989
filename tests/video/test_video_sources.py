"""Frames from videos, in order, and from cameras, the newest one."""

import threading
import time

import numpy as np
import pytest
from videos import Camera, VideoFile, moving, slow_down, squares, turn_by_quarter, write_video

from fer_sklearn.exceptions import VideoReadError
from fer_sklearn.video import _sources
from fer_sklearn.video._sources import open_source


def _read(source, **options):
    with open_source(source, **options) as frames:
        return list(frames)


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "fer_sklearn video"]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "mp4v"), ("a.webm", "VP80")]
)
def test_a_video_is_read_in_order_and_in_rgb(tmp_path, name, codec):
    video = write_video(tmp_path / name, moving(20), codec=codec)
    frames = _read(video)
    assert [frame.index for frame in frames] == list(range(20))
    assert [frame.seconds for frame in frames] == pytest.approx([i / 25 for i in range(20)])
    assert frames[0].image.dtype == np.uint8
    assert frames[0].image.shape == (240, 320, 3)
    red, _, blue = frames[10].image[120, 90].astype(int)
    assert red - blue > 100


def test_a_source_has_a_rate_and_a_length(tmp_path):
    with open_source(write_video(tmp_path / "a.mp4", moving(12), rate=10)) as frames:
        assert (frames.rate, frames.n_frames, frames.drops_frames) == (10, 12, False)


def test_a_rotated_video_is_turned_upright(tmp_path):
    video = write_video(tmp_path / "a.mp4", [squares((60, 60, "happy"))] * 3)
    turn_by_quarter(video)
    image = _read(video)[0].image
    assert image.shape == (320, 240, 3)
    # Clockwise: the top left moves to the top right.
    assert image[60, 180, 0] > 200 > image[60, 60, 0]


def test_frames_keep_the_irregular_times_of_a_video(tmp_path):
    video = write_video(tmp_path / "a.mp4", moving(20))
    slow_down(video, 10, 5)
    times = [frame.seconds for frame in _read(video)]
    assert np.diff(times[:11]) == pytest.approx(0.04)
    assert np.diff(times[10:]) == pytest.approx(0.2)


@pytest.mark.parametrize("time_", [0.0, np.nan, -1.0])
def test_times_are_counted_if_a_video_has_none(time_):
    frames = _read(VideoFile(5, times=[time_] * 5))
    assert [frame.seconds for frame in frames] == pytest.approx([i / 25 for i in range(5)])


def test_times_never_decrease():
    times = [frame.seconds for frame in _read(VideoFile(4, times=[0.0, 40.0, 20.0, 120.0]))]
    assert times == pytest.approx([0, 0.04, 0.08, 0.12])


def test_skipped_frames_are_grabbed_but_not_converted():
    video = VideoFile(20)
    assert [frame.index for frame in _read(video, stride=6)] == [0, 6, 12, 18]
    assert video.n_retrieved == 4
    assert len(_read(VideoFile(20), stride=6, yield_all_frames=True)) == 20


def test_no_more_than_a_few_frames_are_read_ahead():
    video = VideoFile(100)
    with open_source(video) as frames:
        taken = iter(frames)
        next(taken)
        time.sleep(0.5)
        assert video.n_given <= 6
        assert sum(1 for _ in taken) == 99


def test_a_video_is_released_if_it_is_not_read_to_the_end(tmp_path):
    video = write_video(tmp_path / "a.mp4", moving(60))
    with open_source(video) as frames:
        next(iter(frames))
    assert not _threads()


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "mp4v")])
def test_a_truncated_video_is_read_up_to_its_end(tmp_path, name, codec):
    video = write_video(tmp_path / name, moving(75), codec=codec)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    frames = []
    with (
        pytest.raises(VideoReadError, match=r"truncated or damaged after 1\.\d of 3\.0 s"),
        open_source(video) as source,
    ):
        frames += source
    assert 30 < len(frames) < 45


def test_a_header_that_only_estimates_is_not_an_error():
    assert len(_read(VideoFile(97, stated=100))) == 97


def test_a_video_without_frames_is_an_error():
    with pytest.raises(VideoReadError, match="the video contains no decodable frame"):
        _read(VideoFile(0, stated=3))


def test_errors_distinguish_what_cannot_be_opened(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video " * 100)
    cut = write_video(tmp_path / "cut.mp4", moving(20))
    cut.write_bytes(cut.read_bytes()[:2000])
    for name, message in [
        ("none.mp4", "there is no such file"),
        ("", "is a folder; name a video in it"),
        ("text.mp4", "not a video that OpenCV can read, or a truncated one"),
        ("cut.mp4", "not a video that OpenCV can read, or a truncated one"),
    ]:
        with pytest.raises(VideoReadError, match=message):
            open_source(tmp_path / name)


def test_a_missing_camera_says_what_to_try():
    with pytest.raises(VideoReadError, match=r"^camera 77 cannot be opened: .* Try another number"):
        open_source(77)


def test_an_address_that_does_not_respond():
    with pytest.raises(VideoReadError, match="x cannot be opened: nothing responds there"):
        open_source("http://127.0.0.1:9/x")


def test_a_source_of_another_type_is_refused():
    with pytest.raises(TypeError, match="source is a list; expected the path of a video"):
        open_source([1])


def test_a_camera_yields_the_newest_frame():
    camera = Camera(rate=100)
    with open_source(camera) as frames:
        taken = iter(frames)
        first = next(taken)
        for _ in range(3):
            time.sleep(0.2)
            before = camera.n_given
            frame = next(taken)
            assert before - 3 <= frame.index <= before + 1
            assert frame.image[0, 0, 0] == frame.index % 256
            assert frame.seconds == pytest.approx(0.01 * (frame.index - first.index), rel=0.8)
    assert not _threads()
    assert not camera.released  # it is the caller's


def test_a_camera_that_loses_frames_is_read_on(monkeypatch):
    monkeypatch.setattr(_sources, "_PATIENCE", 2)
    camera = Camera(rate=200, n_frames=40, bad=range(10, 20))
    frames = []
    with (
        pytest.raises(VideoReadError, match="the capture returns no more frames: it was unplugged"),
        open_source(camera) as source,
    ):
        frames += source
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert indices[-1] == 39


def test_a_camera_without_any_frame_is_reported(monkeypatch):
    monkeypatch.setattr(_sources, "_PATIENCE", 0.1)
    with pytest.raises(VideoReadError, match="is open but returns no frame; another program"):
        _read(Camera(n_frames=0))


def test_a_camera_that_hangs_is_reported(monkeypatch):
    monkeypatch.setattr(_sources, "_SILENCE", 0.3)
    with pytest.raises(VideoReadError, match="has returned no frame for"):
        _read(Camera(rate=0.5))


@pytest.mark.parametrize("make", [lambda: Camera(rate=0.5), lambda: VideoFile(10**6)])
def test_waiting_ends_on_request(make):
    start = time.monotonic()
    assert len(_read(make(), should_stop=lambda: time.monotonic() - start > 0.2)) < 10**6
    assert time.monotonic() - start < 3


def test_a_file_can_be_read_like_a_camera():
    with open_source(VideoFile(5), drop_frames=True) as source:
        assert source.drops_frames
        assert source.n_frames is None


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3), (8, 9, 4)])
def test_grey_and_transparent_frames_become_rgb(shape):
    image = np.zeros(shape, np.uint8)
    if len(shape) == 3 and shape[2] > 1:
        image[..., 2] = 255
    else:
        image[...] = 255
    rgb = _sources._to_rgb(image)
    assert rgb.shape == (8, 9, 3)
    assert (rgb[..., 0] == 255).all()
