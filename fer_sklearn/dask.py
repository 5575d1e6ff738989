"""joblib on dask clusters: searches that survive lost workers, and errors that are reported."""

from __future__ import annotations

import io
import pickle
import threading
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import uuid4

from joblib import register_parallel_backend

from ._utils.compat import DaskDistributedBackend, import_optional

if TYPE_CHECKING:
    from distributed import Client, Future

__all__ = ["register_dask"]

# dask warns about tasks that contain more data than this setting; here that is intended.
_LARGE_GRAPH_SETTING = "distributed.admin.large-graph-warning-threshold"


def register_dask() -> None:
    """Make joblib's ``"dask"`` backend survive lost workers and propagate all errors.

    Call it once, before ``joblib.parallel_config(backend="dask")``. joblib's own backend
    (joblib 1.6) sends the data of a search or cross-validation to the workers once. If the
    worker that stores it is lost, the data is lost too [1]_, and the search fails. Other errors
    of the cluster never reach joblib, so that the search waits forever: a model that cannot be
    pickled, a class that a worker cannot import, a task that kills every worker. After this
    call

    - the scheduler keeps a copy of the data, which it sends again to other workers; results
      that were lost with a worker are recomputed;
    - errors of the cluster are raised;
    - the same holds for estimators that run their own parallel jobs inside a worker.

    Everything else is unchanged, and any ``distributed.Client`` will do.

    Raises
    ------
    MissingExtraError
        If dask is not installed: ``pip install 'fer_sklearn[dask]'``.

    Notes
    -----
    The scheduler needs memory for one copy of the data of a search: 66 MB for the training
    images of FER2013. A task during which four workers died ends the search with a
    ``KilledWorker``, usually because they ran out of memory; dask's setting
    ``distributed.scheduler.allowed-failures`` changes the number. If no worker is left, dask
    waits for new ones.

    References
    ----------
    .. [1] Scatter resiliency to node death, https://github.com/dask/distributed/issues/3149

    Examples
    --------
    >>> from fer_sklearn.dask import register_dask
    >>> register_dask()  # doctest: +SKIP
    >>> with Client(cluster), parallel_config(backend="dask"):  # doctest: +SKIP
    ...     search.fit(X, y)
    """
    import_optional("distributed", extra="dask", purpose="joblib's backend 'dask'")
    register_parallel_backend("dask", _Backend)


class _Backend(DaskDistributedBackend):
    """joblib's backend with a :class:`_ResilientClient`, which learns about failures."""

    def __init__(
        self,
        scheduler_host: str | None = None,
        scatter: Sequence[Any] | None = None,
        client: Client | None = None,
        **options: Any,
    ) -> None:
        # The first call finds the client, or raises; the second sends the data through ours.
        super().__init__(scheduler_host, client=client, **options)
        super().__init__(scatter=scatter, client=_ResilientClient(self.client), **options)

    def submit(self, func: Any, callback: Callable | None = None) -> Any:
        job = super().submit(func, callback)

        def report_error(job):
            # joblib's backend calls back only after success, and joblib waits for a callback.
            if callback is not None and job.exception() is not None:
                callback(job.exception())

        job.add_done_callback(report_error)
        return job

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel the remaining jobs, which dask would otherwise run and lose more workers to."""
        super().abort_everything(ensure_ready)
        self.client.cancel_jobs()


class _ResilientClient:
    """A dask client whose data survives the loss of a worker.

    It sends bytes, which are unpickled inside the task: if dask unpickled objects itself, one
    that fails would end the worker.

    Parameters
    ----------
    client : distributed.Client
        The client that does everything else.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jobs: weakref.WeakSet[Future] = weakref.WeakSet()
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def submit(self, func: Callable, *, tasks: Sequence[Any] = (), **options: Any) -> Future:
        """Submit a job to the cluster: ``func(tasks=tasks)``, or ``func()`` without tasks."""
        job = self._submit((func, {"tasks": tasks} if tasks else {}), _run, **options)
        with self._lock:
            self._jobs.add(job)
        return job

    def cancel_jobs(self) -> None:
        """Cancel the submitted jobs that are not finished."""
        with self._lock:
            unfinished = [job for job in self._jobs if not job.done()]
        self._client.cancel(unfinished)

    def scatter(self, data: Any, *, asynchronous: bool = False, **_: Any) -> Any:
        """Send data to the cluster; each item of a list or tuple on its own.

        The data is the result of a task, so that dask sends it to a worker that needs it, and
        recomputes it if it was lost.
        """
        import dask

        is_several = isinstance(data, (list, tuple))
        with dask.config.set({_LARGE_GRAPH_SETTING: "1 PiB"}):
            futures = [
                self._submit(item, _unpickle, key=f"data-{uuid4().hex}")
                for item in (data if is_several else [data])
            ]
        result = futures if is_several else futures[0]
        return _as_awaitable(result) if asynchronous else result

    def _submit(self, content: Any, function: Callable, **options: Any) -> Future:
        """Submit a task or, if its content cannot be sent, a task that raises the reason.

        joblib calls from dask's own thread, in which an error would be lost.
        """
        try:
            return self._client.submit(function, *_pickle(content), **options)
        except Exception as error:
            return self._client.submit(_raise, _explain(error), pure=False)


def _pickle(content: Any) -> tuple[bytes, list[Future]]:
    """Pickle an object separately from the futures in it, which dask replaces with data."""
    import cloudpickle
    import distributed

    futures = []

    class Pickler(cloudpickle.Pickler):
        def persistent_id(self, item):
            if not isinstance(item, distributed.Future):
                return None
            futures.append(item)
            return len(futures) - 1

    file = io.BytesIO()
    Pickler(file).dump(content)
    return file.getvalue(), futures


def _unpickle(content: bytes, data: Sequence[Any]) -> Any:
    """Restore an object, with data in place of its futures."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, number):
            return data[number]

    return Unpickler(io.BytesIO(content)).load()


def _run(content: bytes, data: Sequence[Any]) -> Any:
    """Run a job, whose own parallel jobs, if any, use this backend too."""
    register_dask()
    func, arguments = _unpickle(content, data)
    return func(**arguments)


async def _as_awaitable(result: Any) -> Any:
    return result


def _raise(message: str) -> NoReturn:
    raise TypeError(message)


def _explain(error: Exception) -> str:
    """Return why something could not be sent, as text: the error itself may not pickle."""
    return (
        f"A job could not be sent to dask's workers: {error}. The estimator, its data and its "
        f"scoring must be picklable. Pass files and detectors by name, so that each worker opens "
        f"them itself."
    )
