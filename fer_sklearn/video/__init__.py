"""Emotions in videos and camera streams: frames in, tracked faces out."""

from ._analysis import FaceSummary, VideoSummary, analyze_video
from ._outputs import TIMELINE_COLUMNS
from ._page import StreamPage
from ._stream import VideoFrame, VideoStream, iter_video
from ._tracking import FaceTracker, TrackedFace

__all__ = [
    "TIMELINE_COLUMNS",
    "FaceSummary",
    "FaceTracker",
    "StreamPage",
    "TrackedFace",
    "VideoFrame",
    "VideoStream",
    "VideoSummary",
    "analyze_video",
    "iter_video",
]
