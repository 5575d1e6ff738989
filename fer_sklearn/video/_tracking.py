"""Follow faces from frame to frame, and smooth what is said of them over time."""

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np

__all__ = ["FaceTracker", "TrackedFace"]

# Time constants in seconds: of the boxes that are drawn, of the speed of a face, and of how
# long one that is not seen is believed to go on.
_BOX_TIME, _SPEED_TIME, _INERTIA = 0.08, 0.25, 1.0
# A face is drawn on for so long after it was last seen: detectors blink.
_LINGER = 0.25
# How far a face may be from where it was expected, in widths of it: at once, and more a second.
_REACH, _REACH_PER_SECOND, _REACH_MOST = 0.75, 1.0, 2.0
# Two faces whose sides differ by more are not the same.
_GROWTH = 2.0
_FORBIDDEN = 1e6
# Sightings that make a face; what a detector sees only once is often none.
_ENOUGH = 2


@dataclass(frozen=True)
class TrackedFace:
    """One face in one frame.

    Attributes
    ----------
    number : int
        The same for the same face in all frames, from 1.
    box : ndarray of shape (4,), float64
        Left, top, width and height in pixels, as the detector told them.
    smooth_box : ndarray of shape (4,), float64
        The same without the detector's trembling, to be drawn.
    score : float
        Of the detector; NaN if it tells none.
    emotion : str
        The label that is most probable over time.
    probability : float
        Of that label; NaN where the model tells none.
    probabilities : ndarray of shape (n_classes,), float64
        Smoothed over time, in the order of the classes; NaN where the model tells none.
    """

    number: int
    box: np.ndarray
    smooth_box: np.ndarray
    score: float
    emotion: str
    probability: float
    probabilities: np.ndarray


class FaceTracker:
    """Give the faces of one frame after the other numbers, and smooth their probabilities.

    Each face is expected where its speed takes it. What was found is given to what was
    expected, one to one, by overlap and distance (the assignment problem: Kuhn 1955). A face
    that is lost is waited for; one that is seen once only, after the first frame, is not told.

    Parameters
    ----------
    classes : sequence of str
        The labels, in the order of the columns of probabilities.
    smoothing : float, default=0.5
        Time constant, in seconds, of an exponential average of the probabilities, whatever
        the frame rate; 0 tells each frame as it is.
    max_gap : float, default=2.0
        Seconds for which a face that is lost keeps its number.

    Examples
    --------
    >>> import numpy as np
    >>> tracker = FaceTracker(["happy", "sad"])
    >>> for frame in range(3):
    ...     box = np.array([[10.0 + frame, 10, 40, 40]])
    ...     (face,) = tracker.update(frame / 25, box, [9.0], ["happy"], [[0.7, 0.3]])
    >>> face.number, face.emotion, round(face.probability, 2)
    (1, 'happy', 0.7)
    """

    def __init__(self, classes, *, smoothing=0.5, max_gap=2.0):
        for name, value in (("smoothing", smoothing), ("max_gap", max_gap)):
            if not (isinstance(value, Real) and 0 <= value < math.inf):
                raise ValueError(f"{name}={value!r} must be a number of seconds, 0 or more.")
        self.classes = list(classes)
        self.smoothing = smoothing
        self.max_gap = max_gap
        self._tracks = []
        self._n_faces = 0
        self._previous = None

    def update(self, seconds, boxes, scores, labels, probabilities):
        """Take what was found in the next frame.

        Parameters
        ----------
        seconds : float
            Time of the frame; not before that of the last one.
        boxes : array-like of shape (n, 4)
            Left, top, width and height in pixels.
        scores : array-like of shape (n,)
            NaN where the detector tells none.
        labels : sequence of n str
            What the model says of each face.
        probabilities : array-like of shape (n, n_classes)
            Rows of NaN where the model tells none; then labels are counted instead.

        Returns
        -------
        list of TrackedFace
            Those found in this frame, by their number; perhaps less than n.
        """
        boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
        probabilities = np.asarray(probabilities, dtype=np.float64)
        interval = math.inf if self._previous is None else seconds - self._previous
        self._previous = seconds
        self._forget(seconds, interval)
        for track, i in self._match(seconds, boxes):
            if track is None:
                track = _Track(seconds, boxes[i])
                self._tracks.append(track)
            track.see(seconds, boxes[i], float(scores[i]))
            track.judge(*self._votes(labels[i], probabilities[i]), self.smoothing)
            # In the first frame, and where frames are far apart, once must do.
            if track.number is None and (track.n_seen >= _ENOUGH or interval > self.max_gap):
                self._n_faces += 1
                track.number = self._n_faces
        # What is seen once and not in the next frame was no face.
        self._tracks = [t for t in self._tracks if t.number is not None or t.seen == seconds]
        return self._faces(lambda track: track.seen == seconds)

    def shown(self, seconds):
        """Return the faces to draw at a time: those found, and those lost a moment ago.

        Parameters
        ----------
        seconds : float

        Returns
        -------
        list of TrackedFace
        """
        newest = self._previous
        return self._faces(
            lambda track: track.seen == newest or seconds - track.seen <= _LINGER,
        )

    def _faces(self, is_wanted):
        tracks = [track for track in self._tracks if track.number is not None and is_wanted(track)]
        return [
            track.told(self.classes) for track in sorted(tracks, key=lambda track: track.number)
        ]

    def _forget(self, seconds, interval):
        """Drop the faces that have been lost for too long, but not for one frame only."""
        gap = max(self.max_gap, 1.5 * interval)
        self._tracks = [track for track in self._tracks if seconds - track.seen <= gap]

    def _match(self, seconds, boxes):
        """Return pairs of a track, or None for a new face, and the position of a box."""
        from scipy.optimize import linear_sum_assignment

        taken = {}
        if self._tracks and len(boxes):
            costs = np.array([_costs(track, seconds, boxes) for track in self._tracks])
            for row, column in zip(*linear_sum_assignment(costs), strict=True):
                if costs[row, column] < _FORBIDDEN:
                    taken[int(column)] = self._tracks[row]
        # From left to right, as new faces are numbered.
        return [(taken.get(i), i) for i in np.argsort(boxes[:, 0], kind="stable").tolist()]

    def _votes(self, label, probabilities):
        """Return what is averaged, and whether it is probabilities rather than labels."""
        if np.isfinite(probabilities).all():
            return probabilities, True
        return np.array([float(label == name) for name in self.classes]), False


class _Track:
    """What is known of one face."""

    def __init__(self, seconds, box):
        self.number = None
        self.n_seen = 0
        self.seen = seconds
        self.box = self.smooth_box = box
        self.speed = np.zeros(2)
        self.score = math.nan
        self.votes = None
        self.has_probabilities = False
        self._judged = seconds

    def expected(self, seconds):
        """Return the box at a later time, moved as the face moved before, and slowing down."""
        box = self.box.copy()
        box[:2] += self.speed * _INERTIA * _share(seconds - self.seen, _INERTIA)
        return box

    def see(self, seconds, box, score):
        elapsed = seconds - self.seen
        if elapsed > 0:
            speed = (_centres(box) - _centres(self.box)) / elapsed
            self.speed = self.speed + _share(elapsed, _SPEED_TIME) * (speed - self.speed)
            share = _share(elapsed, _BOX_TIME)
            self.smooth_box = self.smooth_box + share * (box - self.smooth_box)
        self.box, self.score, self.seen = box, score, seconds
        self.n_seen += 1

    def judge(self, votes, has_probabilities, smoothing):
        """Average the votes: plainly at first, then fading with the time constant."""
        share = max(_share(self.seen - self._judged, smoothing), 1 / self.n_seen)
        self.votes = votes if self.votes is None else self.votes + share * (votes - self.votes)
        self.has_probabilities = has_probabilities
        self._judged = self.seen

    def told(self, classes):
        best = int(np.argmax(self.votes))
        unknown = np.full(len(classes), math.nan)
        probabilities = self.votes if self.has_probabilities else unknown
        return TrackedFace(
            number=self.number,
            box=self.box,
            smooth_box=self.smooth_box,
            score=self.score,
            emotion=str(classes[best]),
            probability=float(probabilities[best]),
            probabilities=probabilities,
        )


def _share(elapsed, time_constant):
    """Return how far an exponential average goes towards what is new."""
    return 1.0 if time_constant == 0 else 1 - math.exp(-elapsed / time_constant)


def _centres(boxes):
    return boxes[..., :2] + boxes[..., 2:] / 2


def _costs(track, seconds, boxes):
    """Return what it costs to take each box for the track: 0 for the same one to 2."""
    expected = track.expected(seconds)
    reach = min(_REACH + _REACH_PER_SECOND * (seconds - track.seen), _REACH_MOST)
    sides = np.sqrt(boxes[:, 2] * boxes[:, 3])
    side = math.sqrt(expected[2] * expected[3])
    distances = np.linalg.norm(_centres(boxes) - _centres(expected), axis=1)
    distances /= reach * (sides + side) / 2
    growth = np.maximum(sides / side, side / sides)
    costs = 1 + distances - _overlaps(expected, boxes)
    return np.where((distances <= 1) & (growth <= _GROWTH), costs, _FORBIDDEN)


def _overlaps(box, boxes):
    """Return the intersection over union of one box with each of others."""
    corner = np.minimum(box[:2] + box[2:], boxes[:, :2] + boxes[:, 2:])
    sides = np.clip(corner - np.maximum(box[:2], boxes[:, :2]), 0, None)
    common = sides.prod(axis=1)
    return common / (box[2:].prod() + boxes[:, 2:].prod(axis=1) - common)
