"""Recognise emotions in videos and camera streams, and track faces from frame to frame."""

from ._analysis import VideoStream, analyze_video, iter_video
from ._outputs import TIMELINE_COLUMNS, FaceSummary, VideoSummary
from ._page import StreamPage
from ._tracking import FaceTracker, TrackedFace, VideoFrame

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
