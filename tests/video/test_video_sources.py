"""Frames from video files: in order, at their times, even if the file is damaged."""

import os
import threading
import time
import wave
from contextlib import suppress

import cv2
import numpy as np
import pytest
from PIL import Image
from running import limited_memory
from videos import (
    VideoFile,
    damage,
    drop_frames,
    moving,
    repeat_frames,
    set_matrix,
    set_pixel_shape,
    slow_down,
    squares,
    state_interlaced,
    state_milliseconds,
    state_n_frames,
    trim,
    turn_by_quarter,
    write_video,
)

from fer_sklearn.exceptions import VideoReadError
from fer_sklearn.video._capture import Clock, to_rgb
from fer_sklearn.video._containers import is_complete, is_sound, shown_seconds
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


@pytest.mark.parametrize(
    ("matrix", "shape", "corner", "pixels"),
    [
        ((-1, 0, 0, 1), (240, 320), (60, 260), (1, 1)),
        ((1, 0, 0, -1), (240, 320), (180, 60), (1, 1)),
        ((0, 1, 1, 0), (320, 240), (60, 60), (1, 1)),
        ((0, -1, -1, 0), (320, 240), (260, 180), (1, 1)),
        ((0, 1, 1, 0), (640, 240), (120, 60), (2, 1)),
    ],
)
def test_a_mirrored_video_is_turned_upright(tmp_path, matrix, shape, corner, pixels):
    video = write_video(tmp_path / "a.mp4", [squares((60, 60, "happy"), (260, 60, "sad"))] * 3)
    set_matrix(video, *matrix)
    set_pixel_shape(video, *pixels)
    image = _read(video)[0].image
    assert image.shape == (*shape, 3)
    red, _, blue = image[corner].astype(int)
    assert red - blue > 100


def test_interlaced_frames_are_read_or_refused(tmp_path):
    images = [squares((60 + 2 * i, 60, "happy"), size=(256, 320)) for i in range(10)]
    video = write_video(tmp_path / "a.mpg", images, codec="MPG2")
    state_interlaced(video)
    frames, problem = [], None
    try:
        with open_source(video) as source:
            frames += source
    except VideoReadError as error:
        problem = str(error)
    if problem is None:  # OpenCV before 4.13
        assert [frame.image[60, 60, 0] > 200 for frame in frames[:5]] == [True] * 5
    else:
        assert "a.mpg: OpenCV 4" in problem
        assert "probably interlaced" in problem
        assert len(frames) <= 1


class _Unconverted(VideoFile):
    """A capture whose frames are what the memory happened to contain."""

    def __init__(self, first, later=0):
        super().__init__(20)
        self.first, self.later = first, later

    def set(self, name, value):
        self.n_given = int(value)

    def retrieve(self):
        return True, np.full((24, 32, 3), self.later if self.n_given > 4 else self.first, np.uint8)

    def read(self):
        return self.grab(), self.retrieve()[1]


@pytest.mark.parametrize(
    ("captures", "is_error"),
    [
        ([_Unconverted(7, 7), _Unconverted(9, 9)], True),
        ([_Unconverted(0), _Unconverted(0)], True),
        # A still image, and a video that starts black.
        ([_Unconverted(7, 7), _Unconverted(7, 7)], False),
        ([_Unconverted(0, 50), _Unconverted(0, 50)], False),
    ],
)
def test_memory_that_is_not_an_image_is_refused(tmp_path, monkeypatch, captures, is_error):
    (tmp_path / "a.ts").write_bytes(b"G" * 188)
    opened = iter(captures)
    monkeypatch.setattr("cv2.VideoCapture", lambda source: next(opened))
    if is_error:
        with pytest.raises(
            VideoReadError, match=r"returns no image.*ffmpeg -i a\.ts -vf yadif"
        ) as error:
            _read(tmp_path / "a.ts")
        # A film that is black, as behind a lens cap, cannot be told from one.
        assert ("unless it is black throughout" in str(error.value)) == (captures[0].first == 0)
    else:
        assert len(_read(tmp_path / "a.ts")) == 20


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


def test_a_repeated_time_does_not_shift_later_ones():
    times = [frame.seconds for frame in _read(VideoFile(5, times=[0.0, 40.0, 40.0, 80.0, 120.0]))]
    assert times == pytest.approx([0, 0.04, 0.08, 0.08, 0.12])


def test_a_missing_time_does_not_shift_later_ones():
    clock = Clock(25)
    stamps = [0.0, 2.0, 4.0, 0.0, 4.08, np.nan, 4.16]
    assert [clock.time(stamp) for stamp in stamps] == pytest.approx(
        [0, 2, 4, 4.04, 4.08, 4.12, 4.16]
    )


def test_times_continue_after_a_clock_is_set_back():
    clock = Clock(25)
    stamps = [0.0, 3.0, 6.0, 0.0, 0.1, 0.2]
    assert [clock.time(stamp) for stamp in stamps] == pytest.approx([0, 3, 6, 6.04, 6.14, 6.24])


@pytest.mark.parametrize("first", [0, 5])
def test_a_trimmed_video_is_not_truncated(tmp_path, first):
    video = write_video(tmp_path / "a.mp4", moving(75))
    trim(video, first=first, n_frames=20)
    frames = _read(video)
    assert len(frames) == 20
    assert [frames[0].seconds, frames[-1].seconds] == pytest.approx([0, 19 / 25])
    column = int(np.argmax(frames[0].image[120, :, 0] > 200))
    assert column == pytest.approx(40 + 3 * first, abs=2)


@pytest.mark.parametrize("stated", [5000, 5, 0])
def test_a_wrong_number_of_frames_is_not_an_error(tmp_path, stated):
    video = write_video(tmp_path / "a.avi", moving(50), codec="MJPG")
    state_n_frames(video, stated)
    with open_source(video) as source:
        assert len(list(source)) == 50
        assert source.n_damaged == 0


def test_a_rate_that_is_the_resolution_of_the_clock(tmp_path):
    video = write_video(tmp_path / "a.mkv", moving(50))
    state_milliseconds(video)
    assert cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FPS) == 1000
    with open_source(video) as source:
        assert source.rate == 25
        frames = list(source)
    assert [frame.seconds for frame in frames] == pytest.approx([i / 25 for i in range(50)])


@pytest.mark.parametrize(
    ("pixel", "shape"), [((2, 1), (240, 640)), ((8, 9), (270, 320)), ((1000, 1), (240, 320))]
)
def test_pixels_become_squares(tmp_path, pixel, shape):
    video = write_video(tmp_path / "a.mp4", [squares((60, 60, "happy"))] * 3)
    set_pixel_shape(video, *pixel)
    image = _read(video)[0].image
    assert image.shape == (*shape, 3)
    width, height = shape[1] / 320, shape[0] / 240
    assert image[round(45 * height), round(75 * width), 0] > 200
    assert image[round(60 * height), round(95 * width), 0] < 160


def test_pixels_of_a_rotated_video_become_squares(tmp_path):
    video = write_video(tmp_path / "a.mp4", [squares((60, 60, "happy"))] * 3)
    turn_by_quarter(video)
    set_pixel_shape(video, 2, 1)
    image = _read(video)[0].image
    assert image.shape == (640, 240, 3)
    assert image[120, 180, 0] > 200 > image[60, 60, 0]


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize(
    ("name", "codec", "n_damaged"),
    [("a.mp4", "mp4v", 1), ("a.avi", "MJPG", 4), ("b.avi", "mp4v", 9)],
)
def test_damaged_frames_are_skipped_and_counted(tmp_path, name, codec, n_damaged, noise):
    video = write_video(tmp_path / name, moving(75, step=2), codec=codec)
    damage(video, 0.45, 0.5, noise=noise)
    with open_source(video) as source:
        frames = list(source)
    assert source.n_damaged == n_damaged
    assert len(frames) == 75 - n_damaged
    # The others keep their places and times.
    assert [frame.index for frame in frames[-30:]] == list(range(45, 75))
    assert [frame.seconds for frame in frames] == pytest.approx([f.index / 25 for f in frames])
    column = int(np.argmax(frames[-1].image[120, :, 0] > 200))
    assert column == pytest.approx(40 + 2 * 74, abs=2)


def test_frames_that_a_video_of_constant_rate_lacks_are_counted(tmp_path):
    video = write_video(tmp_path / "a.mkv", moving(75, step=2), codec="MJPG")
    drop_frames(video, 30, 36)
    check_gap_in_75_frames(video, 30, 36, n_damaged=6)


def check_gap_in_75_frames(video, start, stop, *, n_damaged):
    with open_source(video) as source:
        frames = list(source)
    assert source.n_damaged == n_damaged
    assert len(frames) == 75 - (stop - start)
    times = [i / 25 for i in range(75) if not start <= i < stop]
    assert [frame.seconds for frame in frames] == pytest.approx(times)


@pytest.mark.parametrize(
    ("steps", "n_missing"),
    [
        ([1] * 60 + [4] + [1] * 30, 3),
        ([1] * 60 + [0, 4] + [1] * 30, 2),
        ([1, 1, 3] * 30, 0),
        ([1] * 60 + [1.5, 2] + [1] * 30, 0),
    ],
)
def test_gaps_count_only_at_a_constant_rate(steps, n_missing):
    clock = Clock(25)
    for stamp in np.cumsum([0, *steps]) / 25:
        clock.time(stamp)
    assert clock.n_missing == n_missing


@pytest.mark.parametrize("is_part", [True, False])
def test_parts_after_damage_are_counted_as_missing(tmp_path, is_part):
    video = write_video(tmp_path / "a.mp4", moving(10))
    name = b"moof" if is_part else b"trash"
    with open(video, "ab") as file:
        file.write(b"\xff" * 100 + b"\0\0\0\x10" + name + bytes(8))
    frames = []
    with open_source(video) as source:
        if is_part:
            with pytest.raises(VideoReadError, match=r"truncated or damaged after 0\.4 s$"):
                frames += source
        else:
            frames += source
    assert len(frames) == 10


@pytest.mark.parametrize("scale", [1, 10])
def test_the_time_before_the_first_frame_is_not_missing(tmp_path, scale):
    video = write_video(tmp_path / "a.mkv", moving(75))
    assert shown_seconds(video, 3.0, 25) == pytest.approx(3)
    data = video.read_bytes()
    start = data.index(b"\xe7\x81\x00", data.index(b"\x1f\x43\xb6\x75"))
    data = data[: start + 2] + b"\xfa" + data[start + 3 :]
    unit = (scale * 1_000_000).to_bytes(3, "big")
    data = data.replace(b"\x2a\xd7\xb1\x83\x0f\x42\x40", b"\x2a\xd7\xb1\x83" + unit)
    video.write_bytes(data)
    assert shown_seconds(video, 3.0, 25) == pytest.approx((74 / 25 - 0.25) * scale + 1 / 25)
    # Of one that is truncated, the header says more.
    video.write_bytes(data[:-100])
    assert shown_seconds(video, 3.0, 25) == pytest.approx(3 - 0.25 * scale)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.mkv", "mp4v"), ("a.webm", "VP80"), ("a.ogv", "VP80")),
        *(("a.flv", "FLV1"), ("a.wmv", "WMV2")),
    ],
)
def test_sound_longer_than_the_video_is_not_damage(tmp_path, name, codec):
    video = write_video(tmp_path / name, moving(75), codec=codec)
    data = video.read_bytes()
    for after in (b"", b"\n", b"some text" * 20):
        video.write_bytes(data + after)
        assert is_complete(video)
        # A header states the length of the longest track.
        assert shown_seconds(video, 9.0, 25) in (None, pytest.approx(3, abs=0.05))
    video.write_bytes(data[:-1000])
    assert is_complete(video) is False
    # An Ogg file states no length, and FFmpeg returns that of what is left.
    assert shown_seconds(video, 9.0, 25) == (None if name == "a.ogv" else 9)


def test_an_ogg_file_that_was_cut_is_truncated(tmp_path):
    video = write_video(tmp_path / "a.ogv", _noise(25, (120, 160)), codec="VP80")
    data = video.read_bytes()
    for end in (0.3, 0.6, 0.97, 1 - 1 / len(data)):
        video.write_bytes(data[: round(end * len(data))])
        with pytest.raises(VideoReadError, match=r"truncated or damaged after \d\.\d s$"):
            _read(video)
    video.write_bytes(data)
    assert len(_read(video)) == 25


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_an_animation_that_was_cut_is_truncated(tmp_path, name):
    images = [Image.fromarray(image) for image in _noise(8, (40, 60))]
    durations = [100] * 4 + [300] * 4
    path = tmp_path / name
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations)
    times = [frame.seconds for frame in _read(path)]
    assert times == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.7, 1.0, 1.3], abs=0.02)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(VideoReadError, match=r"truncated or damaged after \d\.\d s$"):
        _read(path)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.gif", ""), ("a.png", ""), ("a.ogv", "VP80"), ("a.wmv", "WMV2")),
        *(("a.flv", "FLV1"), ("a.mkv", "mp4v"), ("a.mp4", "mp4v"), ("a.avi", "MJPG")),
    ],
)
@pytest.mark.parametrize(
    "after",
    [
        *(b"some text", bytes(50_000)),
        *(pytest.param(x, marks=pytest.mark.slow) for x in (b"\n", b"\xa5" * 50_000, b"x" * 100)),
    ],
)
def test_bytes_after_the_end_of_a_video_are_no_damage(tmp_path, name, codec, after):
    path, images = tmp_path / name, _noise(8, (40, 60))
    if codec:
        write_video(path, images, codec=codec)
    else:
        first, *others = map(Image.fromarray, images)
        first.save(path, save_all=True, append_images=others, duration=40)
    with open(path, "ab") as file:
        file.write(after)
    assert len(_read(path)) == 8
    assert is_complete(path)


def test_a_video_that_lacks_its_last_frame_is_truncated(tmp_path):
    video = write_video(tmp_path / "a.webm", _noise(25, (120, 160)), codec="VP80")
    video.write_bytes(video.read_bytes()[:-2000])
    with pytest.raises(VideoReadError, match=r"1\.0 of 1\.0 s \(24 of 25 frames\)"):
        _read(video)


def test_an_ogg_file_that_ffmpeg_gives_up_is_damaged(tmp_path):
    video = write_video(tmp_path / "a.ogv", _noise(50, (120, 160)), codec="VP80")
    damage(video, 0.3, 0.7)
    assert is_complete(video)
    with pytest.raises(VideoReadError, match=r"truncated or damaged after 0\.\d of 2\.0 s"):
        _read(video)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        *(("a.avi", "MJPG"), ("a.mkv", "MJPG"), ("a.ogv", "VP80"), ("a.webm", "VP80")),
        *(("a.flv", "FLV1"), ("a.wmv", "WMV2"), ("a.ts", "MPG2"), ("a.mpg", "MPG1")),
    ],
)
def test_data_that_was_never_written_is_noticed(tmp_path, name, codec):
    """A copy that was interrupted may have its full length, and zeros in place of the rest."""
    video = write_video(tmp_path / name, _noise(25, (120, 160)), codec=codec)
    frames = []
    for start in (0.8, 0.5):
        damage(video, start, 1)
        with (
            pytest.raises(VideoReadError, match="truncated or damaged after"),
            open_source(video) as source,
        ):
            frames += source
    assert 0 < len(frames) < 40


def test_an_flv_file_that_was_cut_between_frames_is_truncated(tmp_path):
    video = write_video(tmp_path / "a.flv", _noise(40), codec="FLV1")
    data, end = video.read_bytes(), 9 + 4
    while end < 0.7 * len(data):
        end += 11 + int.from_bytes(data[end + 1 : end + 4], "big") + 4
    video.write_bytes(data[:end])
    with pytest.raises(VideoReadError, match=r"truncated or damaged after \d\.\d of 1\.6 s"):
        _read(video)


@pytest.mark.parametrize("value", ["7ff8000000000000", "7ff0000000000000", "0000000000000000"])
def test_a_size_in_an_flv_file_may_be_no_size(tmp_path, value):
    video = write_video(tmp_path / "a.flv", moving(10), codec="FLV1")
    _patched(video, b"\0\x08filesize\0", 11, bytes.fromhex(value))
    assert len(_read(video)) == 10
    assert is_complete(video)


def _patched(video, name, offset, value):
    data = bytearray(video.read_bytes())
    start = data.index(name) + offset
    data[start : start + len(value)] = value
    video.write_bytes(data)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("name", "offset", "value"),
    [
        (b"elst", 8, b"\xff\xff\xff\xff"),  # four billion edits
        (b"tkhd", 0, b"none"),
        (b"moov", -4, b"\xff\xff\xff\xff"),
        (b"mvhd", 0, b"none"),
    ],
)
def test_a_damaged_header_neither_fills_the_memory_nor_raises_another_error(
    tmp_path, name, offset, value
):
    video = write_video(tmp_path / "a.mp4", moving(20))
    _patched(video, name, offset, value)
    with limited_memory(12), suppress(VideoReadError):
        assert len(_read(video)) <= 20


def test_frames_that_are_missing_at_the_end_are_counted(tmp_path):
    video = write_video(tmp_path / "a.mp4", _noise(60))
    end = video.read_bytes().index(b"moov") / video.stat().st_size
    damage(video, 0.9 * end, end - 0.001)
    with open_source(video) as source:
        n_read = len(list(source))
    assert 50 < n_read < 57
    assert source.n_damaged == 60 - n_read


NAMES = ("12:30.mp4", "cam1:front.mp4", "concat:a|b.mp4", "x\ny.mp4", "f%02d.mp4", "é😀.mp4")


@pytest.mark.parametrize("name", [*NAMES, "a" * 251 + ".mp4", os.fsdecode(b"\xff\xfe.mp4")])
def test_a_video_may_have_any_name(tmp_path, monkeypatch, name):
    """FFmpeg takes a colon for the end of a protocol, and OpenCV crashes without UTF-8."""
    monkeypatch.chdir(tmp_path)
    os.replace(write_video(tmp_path / "a.mp4", moving(3)), name)
    assert len(_read(name)) == 3


@pytest.mark.parametrize("folder", ["a", "100%03d", os.fsdecode(b"\xff")])
@pytest.mark.parametrize("name", ["a_01.png", "a%02d.png"])
def test_an_animation_may_be_in_a_folder_of_any_name(tmp_path, folder, name):
    """FFmpeg takes a percent sign in the path of an image for a pattern."""
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / name
    images = [Image.fromarray(image) for image in _noise(4, (40, 60))]
    images[0].save(path, save_all=True, append_images=images[1:], duration=40)
    assert len(_read(path)) == 4


@pytest.mark.parametrize("folder", ["a", "100%03d"])
def test_images_that_a_pattern_names_are_a_video(tmp_path, folder):
    (tmp_path / folder).mkdir()
    for number, image in enumerate(_noise(3, (40, 60))):
        Image.fromarray(image).save(tmp_path / folder / f"a_{number:02}.png")
    assert len(_read(tmp_path / folder / "a_%02d.png")) == 3


def test_the_length_of_a_damaged_mkv_file_is_that_of_its_header(tmp_path):
    video = write_video(tmp_path / "a.mkv", moving(75))
    damage(video, 0.5, 0.8)
    assert is_complete(video)
    assert shown_seconds(video, 3.0, 25) == 3


def test_repeated_frames_of_an_avi_file_are_not_damaged(tmp_path):
    video = write_video(tmp_path / "a.avi", moving(75), codec="MJPG")
    repeat_frames(video, 30, 36)
    check_gap_in_75_frames(video, 30, 36, n_damaged=0)


def test_an_avi_file_keeps_its_index_if_bytes_follow(tmp_path):
    video = write_video(tmp_path / "a.avi", moving(50), codec="MJPG")
    damage(video, 0.3, 0.6)
    with open_source(video) as source:
        times = [frame.seconds for frame in source]
    n_damaged = source.n_damaged
    assert n_damaged > 0
    video.write_bytes(video.read_bytes() + b"x" * 100)
    with open_source(video) as source:
        assert [frame.seconds for frame in source] == times
    assert source.n_damaged == n_damaged


def test_a_damaged_frame_does_not_disturb_the_stride(tmp_path):
    video = VideoFile(20, bad=[6])
    with open_source(video, stride=3) as source:
        assert [frame.index for frame in source] == [0, 3, 7, 10, 13, 16, 19]
        assert source.n_damaged == 1


def test_a_damaged_frame_does_not_end_a_video_that_is_processed_slowly(monkeypatch):
    monkeypatch.setattr("fer_sklearn.video._sources._PATIENCE", 0.2)
    n_read = 0
    with open_source(VideoFile(12, bad=[7])) as source:
        for frame in source:
            n_read += 1
            if frame.index == 2:
                time.sleep(0.5)
    assert (n_read, source.n_damaged) == (12, 1)


def test_a_video_that_cannot_be_read_to_its_end_is_an_error(tmp_path):
    video = write_video(tmp_path / "a.mp4", moving(75))
    size = video.stat().st_size
    data = video.read_bytes()
    end = data.index(b"moov") / size
    damage(video, 0.3 * end, end - 0.001)
    with pytest.raises(VideoReadError, match=r"truncated or damaged after \d\.\d of 3\.0 s"):
        _read(video)


def test_a_recording_that_was_killed_is_truncated(tmp_path):
    video = write_video(tmp_path / "a.mkv", _noise(20, (120, 160)), codec="MJPG")
    data = bytearray(video.read_bytes())
    # Neither size, nor duration, nor an index: they would be written at the end.
    segment, duration = data.index(b"\x18\x53\x80\x67") + 4, data.index(b"\x44\x89\x88")
    data[segment : segment + 8] = b"\x01" + b"\xff" * 7
    data[duration : duration + 11] = b"\xec\x89" + bytes(9)
    end = data.rindex(b"\x1c\x53\xbb\x6b")
    video.write_bytes(data[:end])
    assert len(_read(video)) == 20
    assert is_complete(video) is None
    video.write_bytes(data[: end - 100])
    with pytest.raises(VideoReadError, match=r"truncated or damaged after 0\.8 s$"):
        _read(video)


def test_an_mkv_file_that_says_when_it_ends_is_checked(tmp_path):
    video = write_video(tmp_path / "a.mkv", moving(75))
    assert is_complete(video)
    video.write_bytes(video.read_bytes()[:-100])
    assert is_complete(video) is False
    assert len(_read(video)) == 75  # the index at the end is not needed


def _sound(path):
    """Write a second of silence, or imitations of other audio files."""
    if path.suffix == ".wav":
        with wave.open(str(path), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(bytes(16000))
    elif path.suffix == ".mp4":
        write_video(path, moving(5))
        path.write_bytes(path.read_bytes().replace(b"vide", b"soun"))
    else:
        cover = cv2.imencode(".jpg", squares())[1].tobytes()
        picture = b"\0image/jpeg\0\x03\0" + cover
        tag = b"APIC" + len(picture).to_bytes(4, "big") + b"\0\0" + picture
        length = bytes(len(tag) >> shift & 127 for shift in (21, 14, 7, 0))
        path.write_bytes(b"ID3\x03\0\0" + length + tag + (b"\xff\xfb\x90\0" + bytes(413)) * 50)
    return path


@pytest.mark.parametrize("name", ["a.wav", "a.mp4", "cover.mp3"])
def test_audio_is_not_a_video(tmp_path, name):
    path = _sound(tmp_path / name)
    with pytest.raises(VideoReadError, match=r"contains only sound, and no video$"):
        open_source(path)


_HEADERS = {
    "a.aiff": b"FORM\0\0\1\0AIFF",
    "a.amr": b"#!AMR\n",
    "a.ac3": b"\x0b\x77\0\0",
    "a.avi": b"RIFF\0\1\0\0AVI LIST\0\0\0\0strlstrh8\0\0\0auds",
    "a.mka": b"\x1a\x45\xdf\xa3\x80 V_ \x86\x85A_AAC cover",
    "a.ogg": b"OggS".ljust(28, b"\0") + b"\x01vorbis",
    "a.wma": bytes.fromhex("3026b2758e66cf11 409e69f84d5bcf11"),
}


@pytest.mark.parametrize("name", list(_HEADERS))
def test_other_audio_files_are_recognised(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(_HEADERS[name])
    assert is_sound(path)
    for tail in (
        b"strh8\0\0\0vids",
        b"\x86\x85V_VP8",
        b"\x80theora",
        bytes.fromhex("c0ef19bc4d5bcf11"),
    ):
        with open(path, "ab") as file:
            file.write(tail)
    assert is_sound(path) is (path.suffix in (".aiff", ".amr", ".ac3"))


def _noise(n_frames, size=(240, 320)):
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(n_frames)]


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_video_that_grows_while_it_is_read(tmp_path, is_finished):
    video = write_video(tmp_path / "a.mkv", _noise(40), codec="MJPG")
    data = video.read_bytes()
    half, most = len(data) // 2, len(data) * 3 // 5
    video.write_bytes(data[:half])
    frames = []
    with open_source(video) as source:
        reading = iter(source)
        frames.append(next(reading))
        with open(video, "ab") as file:
            file.write(data[half:] if is_finished else data[half:most])
        if is_finished:
            frames += reading
            assert len(frames) == 40
        else:
            with pytest.raises(VideoReadError, match=r"is still being written; read .* of 1\.6 s"):
                frames += reading
            assert 20 < len(frames) < 40


@pytest.mark.parametrize("is_growing", [True, False])
def test_a_video_of_unknown_length_that_grows(tmp_path, is_growing):
    video = write_video(tmp_path / "a.ts", moving(75), codec="MPG2")
    data = video.read_bytes()
    half = len(data) // 2 // 188 * 188
    video.write_bytes(data[:half])
    with open_source(video) as source:
        reading = iter(source)
        next(reading)
        with open(video, "ab") as file:
            file.write(data[half : half * 3 // 2])
        if is_growing:
            with pytest.raises(VideoReadError, match=r"is still being written; read \d\.\d s$"):
                list(reading)
        else:
            # Its writer has long finished when its end is reached.
            os.utime(video, (0, 0))
            list(reading)


@pytest.mark.skipif(os.name == "nt", reason="open files cannot be deleted on Windows")
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG")])
def test_a_video_that_is_deleted_while_it_is_read(tmp_path, name, codec):
    video = write_video(tmp_path / name, moving(30), codec=codec)
    with open_source(video) as source:
        reading = iter(source)
        next(reading)
        video.unlink()
        assert len(list(reading)) == 29


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


@pytest.mark.parametrize("source", ["rtsp://\udcff", "\udcff%03d.png"])
def test_a_name_with_which_opencv_would_crash_is_refused(source):
    with pytest.raises(VideoReadError, match=r"\\udcff.*: OpenCV cannot open .* not UTF-8"):
        open_source(source)


def test_a_failing_disk_is_reported(tmp_path, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("fer_sklearn.video._capture.is_sound", fail)
    (tmp_path / "a.mp4").write_bytes(b"")
    with pytest.raises(VideoReadError, match=r"a\.mp4: cannot be read \(Input/output error\)$"):
        open_source(tmp_path / "a.mp4")


def test_a_source_of_another_type_is_refused():
    with pytest.raises(TypeError, match="source is a list; expected the path of a video"):
        open_source([1])


@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 1), (8, 9, 3), (8, 9, 4)])
def test_grey_and_transparent_frames_become_rgb(shape):
    image = np.zeros(shape, np.uint8)
    if len(shape) == 3 and shape[2] > 1:
        image[..., 2] = 255
    else:
        image[...] = 255
    rgb = to_rgb(image)
    assert rgb.shape == (8, 9, 3)
    assert (rgb[..., 0] == 255).all()
