"""Test videos and cameras, and a reader that treats coloured squares as faces."""

import re
import struct
import time
from types import SimpleNamespace

import cv2
import numpy as np

from fer_sklearn.faces._faces import as_faces

COLORS = {"happy": (230, 40, 40), "sad": (40, 40, 230)}
SIDE = 40


def squares(*places, size=(240, 320)):
    """Draw squares, each at (x of its centre, y, label), on grey; later ones cover earlier."""
    image = np.full((*size, 3), 128, np.uint8)
    for x, y, label in places:
        corner = round(x - SIDE / 2), round(y - SIDE / 2)
        cv2.rectangle(image, corner, (corner[0] + SIDE, corner[1] + SIDE), COLORS[label], -1)
    return image


def write_video(path, images, *, rate=25, codec="mp4v"):
    """Write RGB images as a video, and return its path."""
    height, width = images[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    for image in images:
        video.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    video.release()
    return path


def moving(n_frames, *, start=60, step=3, label="happy"):
    """Return images of a square that moves to the right."""
    return [squares((start + step * i, 120, label)) for i in range(n_frames)]


def read_video(path):
    """Return the RGB frames of a video."""
    capture, images = cv2.VideoCapture(str(path)), []
    while True:
        is_whole, image = capture.read()
        if not is_whole:
            return images
        images.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def turn_by_quarter(path):
    """Turn an MP4 file into one filmed with an upright phone, to be rotated for display."""
    set_matrix(path, 0, 1, -1, 0)


def set_matrix(path, a, b, c, d):
    """Make an MP4 file state that pixels move from (x, y) to (ax + cy, bx + dy) for display."""
    data = bytearray(path.read_bytes())
    # In `tkhd` of version 0, the matrix comes 40 bytes after version and flags.
    start = data.index(b"tkhd") + 4 + 40
    numbers = (a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    data[start : start + 36] = struct.pack(">9i", *numbers)
    path.write_bytes(data)


def slow_down(path, n_fast, factor):
    """Make the frames of an MP4 file after the first `n_fast` last `factor` times as long."""
    data = bytearray(path.read_bytes())
    start = data.index(b"stts") - 4
    (n_frames, length) = struct.unpack(">II", data[start + 16 : start + 24])
    table = struct.pack(">IIII", n_fast, length, n_frames - n_fast, length * factor)
    data[start + 12 : start + 24] = struct.pack(">I", 2) + table
    # OpenCV writes the boxes that contain this one last, so only their sizes change.
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stts"):
        size = data.index(name) - 4
        data[size : size + 4] = struct.pack(">I", struct.unpack(">I", data[size : size + 4])[0] + 8)
    # And the edit list of the video ends where it ended before.
    shown = data.index(b"elst") + 12
    (duration,) = struct.unpack(">I", data[shown : shown + 4])
    data[shown : shown + 4] = struct.pack(">I", duration * factor)
    path.write_bytes(data)


def trim(path, *, first=0, n_frames):
    """Make the edit list of an MP4 file show only some frames, as when a phone trims a video."""
    data = bytearray(path.read_bytes())
    shown = data.index(b"elst") + 12
    (duration,) = struct.unpack(">I", data[shown : shown + 4])
    times = data.index(b"stts") + 12
    n_all, length = struct.unpack(">II", data[times : times + 8])
    table = struct.pack(">II", duration * n_frames // n_all, first * length)
    data[shown : shown + 8] = table
    path.write_bytes(data)


def set_pixel_shape(path, width, height):
    """Make an MP4 file state that its pixels are not square (``pasp``)."""
    data = bytearray(path.read_bytes())
    # The box belongs at the end of the sample entry, the last of the names here.
    names = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"mp4v")
    starts = [data.index(name, data.index(b"moov")) for name in names]
    box = struct.pack(">I4sII", 16, b"pasp", width, height)
    end = starts[-1] - 4 + struct.unpack(">I", data[starts[-1] - 4 : starts[-1]])[0]
    for start in starts:
        size = struct.unpack(">I", data[start - 4 : start])[0]
        data[start - 4 : start] = struct.pack(">I", size + len(box))
    data[end:end] = box
    path.write_bytes(data)


def state_n_frames(path, n_frames):
    """Make the header of an AVI file state a different number of frames."""
    data = bytearray(path.read_bytes())
    for start in (data.index(b"avih") + 24, data.index(b"strh") + 40):
        data[start : start + 4] = struct.pack("<I", n_frames)
    path.write_bytes(data)


def state_milliseconds(path):
    """Make an MKV file of 25 frames per second state a rate of 1,000, as screen recorders do."""
    before, after = (struct.pack(">I", nanoseconds) for nanoseconds in (40_000_000, 1_000_000))
    data = path.read_bytes()
    assert data.count(before) == 1
    path.write_bytes(data.replace(before, after))


def state_interlaced(path):
    """Mark the frames of an MPEG-2 file, whose height is a multiple of 32, as interlaced."""
    data = bytearray(path.read_bytes())
    for match in re.finditer(rb"\x00\x00\x01\xb5", bytes(data)):
        start = match.end()
        if data[start] >> 4 == 1:  # the sequence
            data[start + 1] &= ~0x08
        elif data[start] >> 4 == 8:  # a frame
            data[start + 4] &= ~0x80
    path.write_bytes(data)


def drop_frames(path, start, stop):
    """Replace frames of an MKV file by gaps, as if they had never been recorded."""
    data = bytearray(path.read_bytes())
    block = rb"\xa3(?:[\x40-\x7f].|[\x20-\x3f]..|[\x10-\x1f]...)\x81"
    clusters = data.index(b"\x1f\x43\xb6\x75")
    blocks = re.compile(block, re.DOTALL).finditer(bytes(data), clusters)
    for place in [match.start() for match in blocks][start:stop]:
        data[place] = 0xEC
    path.write_bytes(data)


def repeat_frames(path, start, stop):
    """Replace frames of an AVI file with empty ones, which repeat the previous frame."""
    data = bytearray(path.read_bytes())
    first = data.index(b"movi")
    entry = data.rindex(b"idx1") + 8 + 16 * start
    for place in range(entry, entry + 16 * (stop - start), 16):
        offset, size = struct.unpack("<II", data[place + 8 : place + 16])
        data[place + 12 : place + 16] = bytes(4)
        # The frame becomes padding.
        chunks = struct.pack("<4sI4sI", b"00dc", 0, b"JUNK", size - 8)
        data[first + offset : first + offset + 16] = chunks
    path.write_bytes(data)


def damage(path, start, end, *, noise=False):
    """Overwrite a part of a file, given by its start and end as fractions of the file."""
    data = bytearray(path.read_bytes())
    start, end = round(start * len(data)), round(end * len(data))
    random = np.random.default_rng(0)
    data[start:end] = random.bytes(end - start) if noise else bytes(end - start)
    path.write_bytes(data)


class SquareReader:
    """Stands in for a FaceReader: squares are faces, and their colour is the emotion."""

    classes = ("happy", "sad")

    def __init__(self, *, seconds=0.0):
        self.seconds = seconds
        self.widths = []

    def detect(self, photo):
        time.sleep(self.seconds)
        self.widths.append(photo.shape[1])
        boxes = []
        for color in COLORS.values():
            mask = (np.abs(photo.astype(int) - color).sum(axis=2) < 120).astype(np.uint8)
            stats = cv2.connectedComponentsWithStats(mask)[2][1:]
            boxes += [row[:4].astype(float) for row in stats if row[4] > SIDE * SIDE / 3]
        boxes = np.array(boxes).reshape(-1, 4)
        return SimpleNamespace(boxes=boxes, scores=np.full(len(boxes), 5.0))

    def crop(self, photo, faces):
        return [
            photo[int(top) : int(top + height), int(left) : int(left + width)]
            for left, top, width, height in faces.boxes
        ]

    def predict(self, images):
        reds = [image[..., 0].mean() > image[..., 2].mean() for image in images]
        labels = np.array(["happy" if red else "sad" for red in reds])
        probabilities = [[0.9, 0.1] if red else [0.2, 0.8] for red in reds]
        return labels, np.array(probabilities).reshape(-1, 2)


class FollowingReader(SquareReader):
    """A SquareReader that can follow faces, and counts how often it searches completely."""

    def __init__(self, **options):
        super().__init__(**options)
        self.n_searched = self.n_followed = 0

    def detect(self, photo):
        self.n_searched += 1
        return as_faces(super().detect(photo).boxes, "squares")

    def refind(self, photo, faces):
        self.n_followed += 1
        now = super().detect(photo).boxes
        near = [box for box in now if (np.abs(faces.boxes - box).max(axis=1) < SIDE / 2).any()]
        return as_faces(near, "squares")


class Camera:
    """Stands in for the ``cv2.VideoCapture`` of a camera.

    Its frames are black, with the number of the frame in the red channel.

    Parameters
    ----------
    rate : float
        Frames per second, by the clock.
    n_frames : int or None
        Frames after which it is unplugged; None for never.
    bad : collection of int
        Readings, from 0, that fail although it is still there.
    draw : callable or None
        From the number of a frame to an RGB image.
    is_open : bool
        Whether it can be opened.
    """

    def __init__(self, *, rate=100, n_frames=None, bad=(), draw=None, is_open=True):
        self.rate, self.n_frames, self.bad, self.draw = rate, n_frames, set(bad), draw
        self.n_read = self.n_given = 0
        self.released = False
        self.is_open = is_open

    def isOpened(self):
        return self.is_open

    def get(self, name):
        return {cv2.CAP_PROP_FPS: float(self.rate)}.get(name, 0.0)

    def read(self):
        time.sleep(1 / self.rate)
        self.n_read += 1
        if self.n_read - 1 in self.bad or self.n_given == self.n_frames:
            return False, None
        image = np.zeros((24, 32, 3), np.uint8)
        image[..., 0] = self.n_given % 256
        if self.draw is not None:
            image = self.draw(self.n_given)
        self.n_given += 1
        return True, image[..., ::-1].copy()

    def retrieve(self):
        raise NotImplementedError("cameras are read frame by frame")

    def release(self):
        self.released = True


class VideoFile(Camera):
    """Stands in for the capture of a video, and counts the frames that are converted."""

    def __init__(self, n_frames, *, times=None, stated=None, bad=()):
        super().__init__(rate=25, n_frames=n_frames, bad=bad)
        self.times = times
        self.stated = n_frames if stated is None else stated
        self.n_retrieved = 0

    def get(self, name):
        if name == cv2.CAP_PROP_FRAME_COUNT:
            return float(self.stated)
        if name == cv2.CAP_PROP_POS_MSEC and self.times is not None:
            return self.times[self.n_given - 1]
        return super().get(name)

    def grab(self):
        self.n_read += 1
        if self.n_read - 1 in self.bad or self.n_given == self.n_frames:
            return False
        self.n_given += 1
        return True

    def retrieve(self):
        self.n_retrieved += 1
        return True, np.full((24, 32, 3), (self.n_given - 1) % 256, np.uint8)
