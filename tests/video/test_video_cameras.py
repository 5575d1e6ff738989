"""Frames from cameras: the newest one, even after the camera was lost."""

import itertools
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from videos import Camera, VideoFile

from fer_sklearn.exceptions import CameraWarning, VideoReadError
from fer_sklearn.video import _sources
from fer_sklearn.video._sources import open_source


def _read(source, **options):
    with open_source(source, **options) as frames:
        return list(frames)


def _threads():
    return [thread for thread in threading.enumerate() if thread.name == "fer_sklearn video"]


def test_a_missing_camera_says_what_to_try():
    with pytest.raises(VideoReadError, match=r"^camera 77 cannot be opened: .* Try another number"):
        open_source(77)
    with pytest.raises(VideoReadError, match=r"^camera 2147483648 does not exist; try 0"):
        open_source(2**31)


def test_an_address_that_does_not_respond():
    with pytest.raises(VideoReadError, match="x cannot be opened: nothing responds there"):
        open_source("http://127.0.0.1:9/x")


def test_a_camera_yields_the_newest_frame():
    camera = Camera(rate=100)
    start = time.monotonic()
    with open_source(camera) as frames:
        taken = iter(frames)
        first = next(taken)
        for _ in range(3):
            time.sleep(0.2)
            before = camera.n_given
            frame = next(taken)
            assert before - 3 <= frame.index <= before + 1
            assert frame.image[0, 0, 0] == frame.index % 256
            # Each frame takes a hundredth of a second, and longer on a busy machine.
            least = 0.009 * (frame.index - first.index)
            assert least < frame.seconds < time.monotonic() - start
            assert frame.seconds == pytest.approx(frame.arrived - first.arrived)
    assert not _threads()
    assert not camera.released  # it is the caller's


@pytest.mark.slow
def test_reading_continues_when_a_camera_drops_frames(monkeypatch):
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


class _Cameras:
    """Stands in for ``cv2.VideoCapture``: each connection is the next camera, or fails."""

    def __init__(self, *cameras):
        self.cameras = list(cameras)
        self.n_opened = 0

    def __call__(self, source):
        self.n_opened += 1
        return self.cameras.pop(0) if self.cameras else Camera(is_open=False)


@pytest.fixture
def short_waits(monkeypatch):
    monkeypatch.setattr(_sources, "_PATIENCE", 0.1)
    monkeypatch.setattr(_sources, "_FIRST_WAIT", 0.05)


@pytest.mark.usefixtures("short_waits")
def test_a_lost_camera_reconnects_and_says_so(monkeypatch):
    cameras = _Cameras(Camera(n_frames=5), Camera(is_open=False), Camera(n_frames=0), Camera())
    monkeypatch.setattr("cv2.VideoCapture", cameras)
    frames = []
    with open_source(0, reconnect_seconds=30) as source, pytest.warns(CameraWarning) as warned:
        frames += itertools.takewhile(lambda frame: frame.index < 8, source)
    assert cameras.n_opened == 4
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    # By the clock: two attempts, each after a pause, and the time limit for two cameras.
    assert np.diff([frame.seconds for frame in frames]).max() > 0.3
    lost, back = [str(warning.message) for warning in warned]
    assert lost.startswith("camera 0 returns no more frames: it was unplugged, or the stream has")
    assert lost.endswith("; trying to reconnect")
    assert back.startswith("camera 0 is back after ")


@pytest.mark.usefixtures("short_waits")
def test_intervals_between_attempts_grow(monkeypatch):
    waits = []

    class Waits(_sources.LiveSource):
        def _wait_for_camera(self, error, wait):
            waits.append(wait)
            super()._wait_for_camera(error, min(wait, 0.01))

    monkeypatch.setattr("cv2.VideoCapture", _Cameras(Camera(n_frames=3)))
    monkeypatch.setattr(_sources, "_LONGEST_WAIT", 0.3)
    with (
        pytest.warns(CameraWarning, match="trying to reconnect"),
        pytest.raises(VideoReadError, match=r"did not come back within 0\.5"),
        Waits(1, reconnect_seconds=0.5) as source,
    ):
        list(source)
    assert waits[:5] == [0.05, 0.1, 0.2, 0.3, 0.3]


@pytest.mark.usefixtures("short_waits")
def test_a_video_at_an_address_does_not_start_again(monkeypatch):
    cameras = _Cameras(VideoFile(5), VideoFile(5))
    monkeypatch.setattr("cv2.VideoCapture", cameras)
    with (
        pytest.raises(VideoReadError, match="the stream has ended"),
        open_source("http://localhost/a.mp4", reconnect_seconds=30) as source,
    ):
        list(source)
    assert cameras.n_opened == 1


def test_a_paused_camera_is_released(monkeypatch):
    cameras = _Cameras(first := Camera(), Camera())
    monkeypatch.setattr("cv2.VideoCapture", cameras)
    with open_source(0) as source:
        taken = iter(source)
        next(taken)
        source.pause()
        while not first.released:
            time.sleep(0.01)
        assert cameras.n_opened == 1
        source.resume()
        while cameras.n_opened == 1:
            next(taken)
        assert next(taken).index > 0


@pytest.mark.parametrize("make", [lambda: Camera(rate=0.5), lambda: VideoFile(10**6)])
def test_waiting_ends_on_request(make):
    start = time.monotonic()
    assert len(_read(make(), should_stop=lambda: time.monotonic() - start > 0.2)) < 10**6
    assert time.monotonic() - start < 3


def test_a_file_can_be_read_like_a_camera():
    with open_source(VideoFile(5), drop_frames=True) as source:
        assert source.drops_frames
        assert source.n_frames is None


_UNCLOSED = """
import cv2
from videos import Camera
from fer_sklearn.video._sources import open_source

class Loud(Camera):
    def release(self):
        print("released")

cv2.VideoCapture = lambda source: Loud()
source = open_source(0)
next(iter(source))
"""


def test_a_camera_is_released_when_the_process_ends():
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", _UNCLOSED]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    assert process.stdout == "released\n"
