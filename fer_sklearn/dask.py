"""joblib on dask clusters: searches that outlive their workers, and errors that arrive."""

import io
import pickle
from uuid import uuid4

from joblib import register_parallel_backend

from ._utils.compat import DaskDistributedBackend
from ._utils.optional import import_optional

__all__ = ["register_dask"]

# dask's setting for the size from which it warns of tasks with data in them, which are meant here.
_WARN_FROM = "distributed.admin.large-graph-warning-threshold"


def register_dask():
    """Let joblib's backend ``"dask"`` go on when workers die, and tell every error.

    To be called once, before ``joblib.parallel_config(backend="dask")``. What joblib (1.6)
    comes with sends the data of a search or cross-validation to workers once; it is lost with
    the worker that holds it [1]_, and then the search fails. Other errors of the cluster never
    reach joblib, and the search waits for ever: a model that cannot be pickled, a class
    that a worker cannot import, a task that kills every worker. After this call

    - the scheduler keeps a copy of the data, from which other workers get it again; what a
      lost worker had computed is computed again too;
    - errors of the cluster are raised;
    - the same holds where an estimator runs jobs of its own inside a worker.

    All else stays as it is: any ``distributed.Client`` will do.

    Raises
    ------
    MissingExtraError
        If dask is not installed: ``pip install 'fer_sklearn[dask]'``.

    Notes
    -----
    The scheduler's memory must hold the data of a search once: 66 MB for the training images of
    FER2013. A task that outlived none of four workers ends the search by a ``KilledWorker``;
    the number is dask's setting ``distributed.scheduler.allowed-failures``, and most often
    memory is what it lacked. Where no worker is left, dask waits for new ones.

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
    """joblib's backend, with the client of :class:`_Keeper`, and told of failures."""

    def __init__(self, scheduler_host=None, scatter=None, client=None, **options):
        # The first finds the client, or says that there is none.
        super().__init__(scheduler_host, client=client, **options)
        super().__init__(scatter=scatter, client=_Keeper(self.client), **options)

    def submit(self, func, callback=None):
        job = super().submit(func, callback)

        def tell(job):
            # joblib itself calls back after success alone, and waits for a callback.
            if job.exception() is not None:
                callback(job.exception())

        job.add_done_callback(tell)
        return job

    def abort_everything(self, ensure_ready=True):
        """End the jobs that are left: dask would run them, and lose more workers to them."""
        with self.waiting_futures.lock:
            left = list(self.waiting_futures.futures)
        super().abort_everything(ensure_ready)
        self.client.cancel(left)


class _Keeper:
    """A client of dask whose data does not die with a worker.

    What it sends are bytes, which are read inside the task: where dask reads objects itself, one
    that it cannot read ends the worker.

    Parameters
    ----------
    client : distributed.Client
        Does all else.
    """

    def __init__(self, client):
        self._client = client

    def __getattr__(self, name):
        return getattr(self._client, name)

    def submit(self, func, *, tasks=(), **options):
        """Hand a job to the cluster, ``func(tasks=tasks)``, or ``func()`` where it has none."""
        return self._submit((func, {"tasks": tasks} if tasks else {}), _run, **options)

    def scatter(self, data, *, asynchronous=False, **_):
        """Hand data to the cluster, a list of it item by item.

        Workers get it when they need it. The data is the result of a task, which, when it is
        lost, dask does again.
        """
        import dask

        many = isinstance(data, (list, tuple))
        with dask.config.set({_WARN_FROM: "1 PiB"}):
            futures = [
                self._submit(item, _unpacked, key=f"data-{uuid4().hex}")
                for item in (data if many else [data])
            ]
        result = futures if many else futures[0]
        return _soon(result) if asynchronous else result

    def _submit(self, what, function, **options):
        """Submit a task, or, if `what` it is about cannot be sent, one that tells so.

        joblib calls from dask's own thread, where an error would be lost.
        """
        try:
            return self._client.submit(function, *_packed(what), **options)
        except Exception as error:
            return self._client.submit(_fail, _explained(error), pure=False)


def _packed(what):
    """Pickle an object apart from the futures in it, which dask turns into data."""
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
    Pickler(file).dump(what)
    return file.getvalue(), futures


def _unpacked(content, data):
    """Restore an object, with data in place of futures."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(self, number):
            return data[number]

    return Unpickler(io.BytesIO(content)).load()


def _run(content, data):
    """Do a job whose own jobs, if it has any, are to go on too."""
    register_dask()
    func, arguments = _unpacked(content, data)
    return func(**arguments)


async def _soon(result):
    return result


def _fail(message):
    raise TypeError(message)


def _explained(error):
    """Say why something could not be sent; the error itself may hold what cannot be."""
    return (
        f"Work for dask's workers could not be sent: {error}. All that an estimator, its data "
        f"and its scoring hold must pickle; give files and detectors by name, which each "
        f"worker opens itself."
    )
