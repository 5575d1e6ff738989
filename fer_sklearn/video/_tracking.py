"""Find and track faces from frame to frame, and smooth their probabilities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from numpy.typing import ArrayLike

from .._utils.typing import FloatArray, LabelArray, PixelArray
from ..face_reader import ReadsFaces
from ..faces import Faces
from ..faces._faces import joined, without_copies

__all__ = ["FaceSearch", "FaceTracker", "TrackedFace", "VideoFrame"]

# Time constants in seconds: of the boxes that are drawn, of the speed of a face, and of how long
# a face that is not seen is expected to keep moving.
_BOX_TIME, _SPEED_TIME, _INERTIA = 0.08, 0.25, 1.0
# Detectors blink: a face is drawn for this many seconds after it was last seen.
_LINGER = 0.25
# Maximum distance of a face from its expected position, in units of its width: at once,
# additionally per second, and in all.
_REACH, _REACH_PER_SECOND, _REACH_MOST = 0.75, 1.0, 2.0
# Two boxes whose sides differ by a larger factor are different faces.
_GROWTH = 2.0
_FORBIDDEN = 1e6
# Frames are searched completely after this many frames, and after this many seconds.
_DETECT_EVERY, _LONGEST_UNSEARCHED = 25, 1.0
# A cut changes pixels by this many levels on average, and by this many times as much as other
# frames do. This many rows of pixels are compared.
_CUT_LEVELS, _CUT_TIMES, _CUT_ROWS = 15, 4, 36
# Number of detections that make a face; what a detector sees only once is often not a face.
_ENOUGH = 2


@dataclass(frozen=True)
class TrackedFace:
    """One face in one frame.

    Attributes
    ----------
    number : int
        The same for the same face in all frames, from 0.
    box : ndarray of shape (4,), float64
        Left, top, width and height in pixels, as detected.
    smooth_box : ndarray of shape (4,), float64
        The same box without the jitter of the detector, for drawing.
    score : float
        Detection score; NaN if the detector has none.
    emotion : str
        The label that is most probable over time.
    probability : float
        Probability of `emotion`, in [0, 1]; NaN if the estimator has none.
    probabilities : ndarray of shape (n_classes,), float64
        Smoothed over time, in the order of the classes; NaN if the estimator has none.
    quality : float
        How well the face can be seen, in [0, 1], as measured by
        :meth:`FaceReader.quality <fer_sklearn.FaceReader.quality>`; NaN if unknown.
    """

    number: int
    box: FloatArray
    smooth_box: FloatArray
    score: float
    emotion: str
    probability: float
    probabilities: FloatArray
    quality: float = math.nan


@dataclass(frozen=True)
class VideoFrame:
    """One frame and the faces in it.

    Attributes
    ----------
    index : int
        Position among all frames of the source, from 0.
    seconds : float
        Time from the start: according to the file, or to the clock for a camera.
    image : ndarray of shape (h, w, 3), uint8
        RGB.
    faces : list of TrackedFace
        Faces detected in this frame; empty if it was not searched.
    shown : list of TrackedFace
        Faces to draw: those of the last searched frame, and those lost a moment ago.
    is_searched : bool
        False for the frames that `stride` skips.
    arrived : float
        When the frame was read, by ``time.monotonic``.
    """

    index: int
    seconds: float
    image: PixelArray
    faces: list[TrackedFace]
    shown: list[TrackedFace]
    is_searched: bool
    arrived: float = math.nan


class FaceSearch:
    """Find the faces in each frame: everywhere from time to time, else near the known ones.

    Known faces are followed in every frame, and a complete search only adds others, so the position
    of a face does not depend on how often frames are searched completely.

    Parameters
    ----------
    reader : ReadsFaces
        Its method `refind`, if it has one, follows faces.
    detect_every : int or "auto"
        As in :func:`~fer_sklearn.iter_video`.

    Raises
    ------
    ValueError
        If the reader cannot follow faces, but should search only some frames.
    """

    def __init__(self, reader: ReadsFaces, detect_every: int | str):
        self._reader = reader
        self._refind = getattr(reader, "refind", None)
        if self._refind is None and detect_every not in ("auto", 1):
            raise ValueError(
                f"detect_every={detect_every!r}, but the detector cannot follow faces: it has no "
                f"method `refind`. Expected 1 or 'auto'; stride=… skips frames."
            )
        self._detect_every = detect_every
        self._known: Faces | None = None
        self._n_followed = 0
        self._searched = -math.inf
        self._is_cut = _CutDetector()

    def __call__(self, image: PixelArray, seconds: float) -> Faces:
        """Find the faces in the next frame.

        Parameters
        ----------
        image : ndarray of shape (h, w, 3), uint8
        seconds : float
            Its time.

        Returns
        -------
        Faces
        """
        if self._refind is None:
            return self._reader.detect(image)
        is_cut = self._is_cut(image)
        known = Faces.none() if self._known is None else self._known
        found = self._refind(image, known) if len(known) else known
        self._n_followed += 1
        every = self._detect_every
        if not isinstance(every, Integral):
            every = _DETECT_EVERY
        is_due = self._n_followed >= every or seconds - self._searched >= _LONGEST_UNSEARCHED
        if is_due or is_cut or self._known is None or len(found) < len(known):
            self._n_followed, self._searched = 0, seconds
            found = without_copies(joined([found, self._reader.detect(image)]))
        self._known = found
        return found


class _CutDetector:
    """Detect whether a frame shows a different scene from the previous one."""

    def __init__(self):
        self._last = None
        self._usual = 0.0

    def __call__(self, image):
        step = max(1, image.shape[0] // _CUT_ROWS)
        small = image[::step, ::step].astype(np.int16)
        last, self._last = self._last, small
        if last is None or last.shape != small.shape:
            return True
        change = float(np.abs(small - last).mean())
        usual, self._usual = self._usual, self._usual + 0.1 * (change - self._usual)
        return change > max(_CUT_LEVELS, _CUT_TIMES * usual)


class FaceTracker:
    """Number faces across frames, and smooth their probabilities.

    The position of each face is predicted from its speed. Detections are assigned to predicted
    positions one to one, by overlap and distance (the assignment problem [1]_). Lost faces keep
    their track for `max_lost_seconds`; detections seen in a single frame, except the first one, are
    discarded.

    Parameters
    ----------
    classes : sequence of str
        The labels, in the order of the columns of probabilities.
    smoothing_seconds : float, default=0.5
        Time constant, in seconds, of an exponential average of the probabilities, which does not
        depend on the frame rate; 0 disables smoothing.
    max_lost_seconds : float, default=2.0
        Number of seconds for which a lost face keeps its number.

    Raises
    ------
    ValueError
        If a time is negative, infinite or not a number.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Research Logistics
       Quarterly 2, 1955.

    Examples
    --------
    >>> import numpy as np
    >>> tracker = FaceTracker(["happy", "sad"])
    >>> for frame in range(3):
    ...     box = np.array([[10.0 + frame, 10, 40, 40]])
    ...     (face,) = tracker.update(frame / 25, box, [9.0], ["happy"], [[0.7, 0.3]])
    >>> face.number, face.emotion, round(face.probability, 2)
    (0, 'happy', 0.7)
    """

    def __init__(
        self,
        classes: Sequence[str],
        *,
        smoothing_seconds: float = 0.5,
        max_lost_seconds: float = 2.0,
    ):
        times = {"smoothing_seconds": smoothing_seconds, "max_lost_seconds": max_lost_seconds}
        for name, value in times.items():
            if not (isinstance(value, Real) and 0 <= value < math.inf):
                raise ValueError(f"{name}={value!r}; expected a non-negative number of seconds.")
        self.classes = list(classes)
        self.smoothing_seconds = smoothing_seconds
        self.max_lost_seconds = max_lost_seconds
        self._tracks: list[_Track] = []
        self._n_faces = 0
        self._previous: float | None = None

    def update(
        self,
        seconds: float,
        boxes: ArrayLike,
        scores: ArrayLike,
        labels: Sequence[str] | LabelArray,
        y_proba: ArrayLike,
        quality: ArrayLike | None = None,
    ) -> list[TrackedFace]:
        """Process the detections of the next frame.

        Parameters
        ----------
        seconds : float
            Time of the frame; not before that of the previous one.
        boxes : array-like of shape (n_faces, 4)
            Left, top, width and height in pixels.
        scores : array-like of shape (n_faces,)
            Detection scores; NaN if the detector has none.
        labels : sequence of n_faces str
            The predicted label of each face.
        y_proba : array-like of shape (n_faces, n_classes)
            Class probabilities; rows of NaN if the estimator has none, in which case labels are
            counted instead.
        quality : array-like of shape (n_faces,) or None, default=None
            How well each face can be seen; None if unknown.

        Returns
        -------
        list of TrackedFace
            The faces in this frame, by number; possibly fewer than `n_faces`.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        scores = np.asarray(scores, dtype=np.float64)
        y_proba = np.asarray(y_proba, dtype=np.float64)
        if quality is None:
            quality = np.full(len(boxes), math.nan)
        quality = np.asarray(quality, dtype=np.float64)
        interval = math.inf if self._previous is None else seconds - self._previous
        self._previous = seconds
        self._forget(seconds, interval)
        for track, i in self._match(seconds, boxes):
            if track is None:
                track = _Track(seconds, boxes[i])
                self._tracks.append(track)
            track.see(seconds, boxes[i], float(scores[i]), float(quality[i]))
            track.average(*self._votes(labels[i], y_proba[i]), self.smoothing_seconds)
            # In the first frame, and if frames are far apart, one detection has to suffice.
            is_enough = track.n_seen >= _ENOUGH or interval > self.max_lost_seconds
            if track.number is None and is_enough:
                track.number = self._n_faces
                self._n_faces += 1
        # A detection that is not confirmed in the next frame was not a face.
        self._tracks = [t for t in self._tracks if t.number is not None or t.seen == seconds]
        return self._faces(lambda track: track.seen == seconds)

    def shown(self, seconds: float) -> list[TrackedFace]:
        """Return the faces to draw: those of the last frame, and those lost a moment ago.

        Parameters
        ----------
        seconds : float
            The current time.

        Returns
        -------
        list of TrackedFace
        """
        newest = self._previous
        return self._faces(
            lambda track: track.seen == newest or seconds - track.seen <= _LINGER,
        )

    def _faces(self, is_wanted):
        faces = [
            track.to_face(track.number, self.classes)
            for track in self._tracks
            if track.number is not None and is_wanted(track)
        ]
        return sorted(faces, key=lambda face: face.number)

    def _forget(self, seconds, interval):
        """Drop faces that have been lost for too long, but not after a single frame."""
        longest = max(self.max_lost_seconds, 1.5 * interval)
        self._tracks = [track for track in self._tracks if seconds - track.seen <= longest]

    def _match(self, seconds, boxes):
        """Return pairs of a track, or None for a new face, and the index of its box."""
        from scipy.optimize import linear_sum_assignment

        taken = {}
        if self._tracks and len(boxes):
            costs = np.array([_costs(track, seconds, boxes) for track in self._tracks])
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                if costs[row, column] < _FORBIDDEN:
                    taken[int(column)] = self._tracks[row]
        # From left to right, so that new faces are numbered in that order.
        return [(taken.get(i), i) for i in np.argsort(boxes[:, 0], kind="stable").tolist()]

    def _votes(self, label, probabilities):
        """Return the values to average, and whether these are probabilities rather than labels."""
        if np.isfinite(probabilities).all():
            return probabilities, True
        return np.array([float(label == name) for name in self.classes]), False


class _Track:
    """The state of one face."""

    number: int | None = None  # until there are enough detections
    votes: FloatArray | None = None  # None only before the first call of `average`

    def __init__(self, seconds, box):
        self.n_seen = 0
        self.seen = seconds
        self.box = self.smooth_box = box
        self.speed = np.zeros(2)
        self.score = self.quality = math.nan
        self.has_probabilities = False
        self._averaged = seconds

    def expected(self, seconds):
        """Return the box at a later time, extrapolated with a decreasing speed."""
        box = self.box.copy()
        box[:2] += self.speed * _INERTIA * _weight(seconds - self.seen, _INERTIA)
        return box

    def see(self, seconds, box, score, quality):
        elapsed = seconds - self.seen
        if elapsed > 0:
            speed = (_centers(box) - _centers(self.box)) / elapsed
            self.speed = self.speed + _weight(elapsed, _SPEED_TIME) * (speed - self.speed)
            weight = _weight(elapsed, _BOX_TIME)
            self.smooth_box = self.smooth_box + weight * (box - self.smooth_box)
        self.box, self.score, self.quality, self.seen = box, score, quality, seconds
        self.n_seen += 1

    def average(self, votes, has_probabilities, smoothing_seconds):
        """Average the votes: arithmetically at first, then exponentially."""
        elapsed = self.seen - self._averaged
        weight = max(_weight(elapsed, smoothing_seconds), 1 / self.n_seen)
        self.votes = votes if self.votes is None else self.votes + weight * (votes - self.votes)
        self.has_probabilities = has_probabilities
        self._averaged = self.seen

    def to_face(self, number, classes):
        assert self.votes is not None
        best = int(np.argmax(self.votes))
        unknown = np.full(len(classes), math.nan)
        probabilities = self.votes if self.has_probabilities else unknown
        return TrackedFace(
            number=number,
            box=self.box,
            smooth_box=self.smooth_box,
            score=self.score,
            emotion=str(classes[best]),
            probability=float(probabilities[best]),
            probabilities=probabilities,
            quality=self.quality,
        )


def _weight(elapsed, time_constant):
    """Return the weight of a new value in an exponential average."""
    return 1.0 if time_constant == 0 else 1 - math.exp(-elapsed / time_constant)


def _centers(boxes):
    return boxes[..., :2] + boxes[..., 2:] / 2


def _costs(track, seconds, boxes):
    """Return the cost of assigning each box to a track, from 0 for an identical one to 2."""
    expected = track.expected(seconds)
    reach = min(_REACH + _REACH_PER_SECOND * (seconds - track.seen), _REACH_MOST)
    sides = np.sqrt(boxes[:, 2] * boxes[:, 3])
    side = math.sqrt(expected[2] * expected[3])
    distances = np.linalg.norm(_centers(boxes) - _centers(expected), axis=1)
    distances /= reach * (sides + side) / 2
    growth = np.maximum(sides / side, side / sides)
    costs = 1 + distances - _overlaps(expected, boxes)
    return np.where((distances <= 1) & (growth <= _GROWTH), costs, _FORBIDDEN)


def _overlaps(box, boxes):
    """Return the intersection over union of one box with each of several others."""
    corner = np.minimum(box[:2] + box[2:], boxes[:, :2] + boxes[:, 2:])
    sides = np.clip(corner - np.maximum(box[:2], boxes[:, :2]), 0, None)
    common = sides.prod(axis=1)
    return common / (box[2:].prod() + boxes[:, 2:].prod(axis=1) - common)
