"""What was seen in a whole film, counted while it runs."""

from dataclasses import dataclass, field

from .._utils.tables import text_table

__all__ = ["Counter", "FaceSummary", "VideoSummary"]

# Lines of a printed table; hours before a camera in the street have thousands of faces.
_SHOWN = 20


@dataclass
class FaceSummary:
    """One face in a film.

    Attributes
    ----------
    face : int
        Its number.
    first, last : float
        When it was first and last seen, in seconds.
    seconds : float
        How long it was seen.
    emotion : str
        The one that it showed for longest.
    shares : dict of str to float
        For each label, the share of `seconds` in which it was the most probable one.
    """

    face: int
    first: float
    last: float
    seconds: float
    emotion: str
    shares: dict


@dataclass
class VideoSummary:
    """What :func:`~fer_sklearn.analyze_video` returns; printed, it is a table.

    Attributes
    ----------
    source : str
        The film or camera.
    seconds : float
        Length of what was read.
    n_frames : int
        Frames that the source had until then.
    n_searched : int
        Those of them that were searched for faces.
    faces : list of FaceSummary
        By number.
    problem : str or None
        Why it ended early: a truncated film, a camera that went away, a full disk.
    """

    source: str
    seconds: float = 0.0
    n_frames: int = 0
    n_searched: int = 0
    faces: list = field(default_factory=list)
    problem: str | None = None

    def rows(self):
        """Return a dictionary a face: face, seconds, first, last, emotion and all shares."""
        return [
            {
                "face": face.face,
                "seconds": round(face.seconds, 3),
                "first": round(face.first, 3),
                "last": round(face.last, 3),
                "emotion": face.emotion,
                **{label: round(share, 4) for label, share in face.shares.items()},
            }
            for face in self.faces
        ]

    def __str__(self):
        caption = (
            f"{self.source}: {self.seconds:.1f} s, {self.n_frames} frames, "
            f"{self.n_searched} searched, {len(self.faces)} face(s)"
        )
        if self.problem is not None:
            caption += f"\nended early: {self.problem}"
        if not self.faces:
            return caption
        header = ["face", "seconds", "first", "last", "emotion", *self.faces[0].shares]
        longest = sorted(self.faces, key=lambda face: -face.seconds)
        lines = [
            [
                str(face.face),
                *(f"{time:.1f}" for time in (face.seconds, face.first, face.last)),
                face.emotion,
                *(f"{100 * share:.0f} %" for share in face.shares.values()),
            ]
            for face in sorted(longest[:_SHOWN], key=lambda face: face.face)
        ]
        table = text_table(caption, header, lines)
        if len(longest) > _SHOWN:
            table += (
                f"\nand {len(longest) - _SHOWN} more, seen for {longest[_SHOWN].seconds:.1f} s "
                f"or less"
            )
        return table


class Counter:
    """Count seconds, frames and emotions while a film runs."""

    def __init__(self, classes, interval):
        self._classes = list(classes)
        self._interval = interval
        self._faces = {}
        self._end = self._previous = 0.0
        self.n_frames = self.n_searched = 0

    def add(self, frame):
        """Count one frame."""
        self.n_frames = frame.index + 1
        self._end = frame.seconds
        if not frame.is_searched:
            return
        # What is seen now is taken to have been so since the frame before.
        elapsed = frame.seconds - self._previous if self.n_searched else self._interval
        self._previous = frame.seconds
        self.n_searched += 1
        for face in frame.faces:
            known = self._faces.setdefault(face.number, [frame.seconds, 0.0, {}])
            known[1] = frame.seconds
            known[2][face.emotion] = known[2].get(face.emotion, 0.0) + elapsed

    def summary(self, source, problem):
        """Return what was counted so far."""
        return VideoSummary(
            source=source,
            seconds=self._end + self._interval if self.n_frames else 0.0,
            n_frames=self.n_frames,
            n_searched=self.n_searched,
            faces=[self._face(number, *known) for number, known in sorted(self._faces.items())],
            problem=problem,
        )

    def _face(self, number, first, last, times):
        seconds = sum(times.values())
        labels = list(dict.fromkeys([*self._classes, *times]))
        return FaceSummary(
            face=number,
            first=first,
            last=last,
            seconds=seconds,
            emotion=max(labels, key=lambda label: times.get(label, 0.0)),
            shares={label: times.get(label, 0.0) / seconds for label in labels},
        )
