"""Photos of many requests, whose faces are found in threads and classified together."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from .._utils.compat import import_opencv
from .._utils.image_files import PixelLimitError
from ..face_reader import ReadsFaces
from ..images import read_image
from ..photos import PhotoResult, PhotoSource
from ..photos._recognize import DetectedPhoto, classify, find_faces
from ..photos._sources import reason_of

__all__ = ["QueueFullError", "Recognizer"]

# Faces that wait for the network may take this many bytes; photos that are sent as crops are large.
_MAX_BYTES = 2**27
# The weight of the newest photo in the mean time per photo.
_NEWEST = 0.1


class QueueFullError(Exception):
    """The queue of photos is full.

    Attributes
    ----------
    retry_after : int
        Estimated number of seconds until there is room again.
    """

    def __init__(self, retry_after: int) -> None:
        super().__init__("too many photos are waiting")
        self.retry_after = retry_after


@dataclass(eq=False)
class _Job:
    source: PhotoSource
    crop_faces: bool
    future: Future[PhotoResult] = field(default_factory=Future)


class _Threads(NamedTuple):
    finders: ThreadPoolExecutor
    network: ThreadPoolExecutor


class Recognizer:
    """A bounded queue of photos, threads that find faces, and one that classifies them.

    Each batch contains all faces that were found since the previous one. So a photo never waits for
    others, and the busier the service, the larger the batches. The predictions for a face do not
    depend on the others in its batch.

    Threads start with the first photo, and therefore in the worker if a server forks.

    Parameters
    ----------
    reader : ReadsFaces
    batch_size : int
        Maximum number of faces to classify at once.
    n_threads : int
        Threads that read photos and find faces.
    max_queue : int
        Maximum number of photos that are waiting or in progress.
    max_pixels : int
        Maximum number of pixels per photo.
    on_batch : callable or None, default=None
        Called with the number of faces of each batch.
    """

    def __init__(
        self,
        reader: ReadsFaces,
        *,
        batch_size: int,
        n_threads: int,
        max_queue: int,
        max_pixels: int,
        on_batch: Callable[[int], object] | None = None,
    ) -> None:
        self.reader = reader
        self._batch_size, self._n_threads = batch_size, n_threads
        self._max_queue, self._max_pixels = max_queue, max_pixels
        self._on_batch = on_batch
        self._threads: _Threads | None = None
        self._changed = threading.Condition()
        self._found: deque[tuple[_Job, DetectedPhoto]] = deque()
        self._n_bytes = self._n_waiting = 0
        self._seconds_per_photo = 0.0
        self._first: list[Future[PhotoResult]] = []
        self._is_closing = False

    @property
    def n_waiting(self) -> int:
        """Number of photos that are waiting or in progress."""
        return self._n_waiting

    def submit(
        self, sources: Sequence[PhotoSource], *, crop_faces: bool = True
    ) -> list[Future[PhotoResult]]:
        """Queue all photos of a request, or none.

        Parameters
        ----------
        sources : list of PhotoSource
            With the contents of files.
        crop_faces : bool, default=True
            If False, every photo is one face.

        Returns
        -------
        list of Future
            Cancelling one that has not begun removes its photo from the queue. One may raise
            :class:`PixelLimitError`.

        Raises
        ------
        QueueFullError
        """
        jobs = [_Job(source, crop_faces) for source in sources]
        with self._changed:
            self.check_room(len(jobs))
            self._n_waiting += len(jobs)
        for job in jobs:
            job.future.add_done_callback(self._forget)
            self._start(job)
        return [job.future for job in jobs]

    def check_room(self, n_photos: int = 1) -> None:
        """Raise :class:`QueueFullError` if this many photos cannot be queued."""
        if self._n_waiting + n_photos > self._max_queue:
            raise QueueFullError(self._seconds_to_wait())

    def is_ready(self) -> bool:
        """Return whether trial photos have been processed; the first call sends them."""
        if self._is_closing:
            return False
        if not self._first:
            blank = PhotoSource("blank", np.zeros((64, 64), np.uint8))
            jobs = [_Job(blank, crop_faces) for crop_faces in (True, False)]
            self._first = [job.future for job in jobs]
            for job in jobs:
                self._start(job)
        return all(future.done() and future.exception() is None for future in self._first)

    def close(self) -> None:
        """Finish the queued photos, and stop the threads; the next photo starts new ones."""
        self._is_closing = True
        if self._threads is not None:
            self._threads.finders.shutdown()
            self._threads.network.shutdown()
        self._threads, self._first, self._is_closing = None, [], False

    def _start(self, job):
        with self._changed:
            if self._threads is None:
                self._threads = _Threads(
                    ThreadPoolExecutor(self._n_threads, thread_name_prefix="faces"),
                    ThreadPoolExecutor(1, thread_name_prefix="network"),
                )
            threads = self._threads
        threads.finders.submit(self._find, job, threads.network)

    def _forget(self, future):
        with self._changed:
            self._n_waiting -= 1

    def _seconds_to_wait(self):
        seconds = self._n_waiting * self._seconds_per_photo / self._n_threads
        return min(max(1, math.ceil(seconds)), 60)

    def _find(self, job, network):
        if not job.future.set_running_or_notify_cancel():
            return
        start = time.monotonic()
        try:
            import_opencv()
            found = find_faces(self._read(job.source), self.reader, crop_faces=job.crop_faces)
        except BaseException as error:
            job.future.set_exception(error)
            return
        with self._changed:
            self._changed.wait_for(lambda: self._n_bytes < _MAX_BYTES)
            self._n_bytes += found.count_bytes()
            self._found.append((job, found))
            seconds = time.monotonic() - start
            self._seconds_per_photo += _NEWEST * (seconds - self._seconds_per_photo)
        network.submit(self._classify_found)

    def _read(self, source):
        """Decode a photo, which must not be larger than allowed."""
        if not isinstance(source.item, bytes):
            return source
        try:
            pixels = read_image(source.item, max_pixels=self._max_pixels)
        except PixelLimitError as error:
            reason = reason_of(error, source.name)
            raise PixelLimitError(f"{source.name}: {reason}. Shrink it.") from None
        except Exception as error:
            return replace(source, item=None, problem=reason_of(error, source.name))
        return replace(source, item=pixels)

    def _classify_found(self):
        """Classify the faces of all waiting photos; usually, another call has done so already."""
        batch: list[tuple[_Job, DetectedPhoto]] = []
        n_faces = 0
        with self._changed:
            while self._found and max(n_faces, len(batch)) < self._batch_size:
                batch.append(self._found.popleft())
                found = batch[-1][1]
                n_faces += len(found.crops)
                self._n_bytes -= found.count_bytes()
            self._changed.notify_all()
        if not batch:
            return
        if self._on_batch is not None and n_faces:
            self._on_batch(n_faces)
        try:
            results = classify([found for _, found in batch], self.reader, self._batch_size)
        except Exception:
            # One face must not make the other requests fail.
            for job, found in batch:
                self._classify_one(job, found)
            return
        for (job, _), result in zip(batch, results, strict=True):
            job.future.set_result(result)

    def _classify_one(self, job, found):
        try:
            (result,) = classify([found], self.reader, self._batch_size)
        except BaseException as error:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
