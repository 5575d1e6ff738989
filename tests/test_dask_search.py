"""Searches on a dask cluster: the same scores as in one process, even if workers are killed."""

import os
import signal
import sys
import threading
import time
import types
from contextlib import suppress

import joblib
import numpy as np
import pytest
from joblib import Parallel, delayed, parallel_config
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fer_sklearn import (
    HOGExtractor,
    HOGSVMClassifier,
    make_cnn_pipeline,
    make_hog_svm_pipeline,
)
from fer_sklearn import dask as dask_module
from fer_sklearn.dask import register_dask
from fer_sklearn.exceptions import MissingExtraError

distributed = pytest.importorskip("distributed")

# Warnings of distributed itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:distributed")

HOG_GRID = {"hog__pixels_per_cell": [4, 6], "classifier__C": [0.001, 5.0]}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster of two processes of one thread, with the backend under test."""
    from joblib._dask import DaskDistributedBackend

    register_dask()
    client = distributed.Client(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        local_directory=tmp_path_factory.mktemp("dask"),
    )
    yield client
    with suppress(KeyError):  # A cluster may hear of the end of a killed worker twice.
        client.close()
    joblib.register_parallel_backend("dask", DaskDistributedBackend)


@pytest.fixture
def client(cluster):
    """The cluster, once all its workers are ready."""
    # With one thread left, joblib would use none.
    try:
        cluster.wait_for_workers(2, timeout=20)
    except TimeoutError:  # On a busy machine, dask may give up on restarting a killed worker.
        cluster.cluster.scale(0)
        cluster.cluster.scale(2)
        cluster.wait_for_workers(2, timeout=120)
    return cluster


def hog_svm(**parameters):
    # The default is exact at this size; the seed makes it exact at any.
    classifier = HOGSVMClassifier(random_state=0, **parameters)
    return make_hog_svm_pipeline(classifier, hog=HOGExtractor(pixels_per_cell=6), size=24)


def slowly(pipeline):
    """Prepend a slow step, so that a worker can be killed during it."""
    return Pipeline([("pause", FunctionTransformer(pause)), *pipeline.steps])


def pause(X):
    time.sleep(0.1)
    return X


def scores_of(search):
    """Return the results of a search, without its times."""
    results = search.cv_results_
    return {name: results[name].tolist() for name in results if name.endswith("test_score")}


def assert_same(search, reference):
    assert scores_of(search) == scores_of(reference)
    assert search.best_params_ == reference.best_params_
    assert search.best_score_ == reference.best_score_


class Killer(threading.Thread):
    """Kill busy workers once some jobs are done."""

    def __init__(self, client, n_workers):
        super().__init__(daemon=True)
        self.client, self.n_workers, self.killed = client, n_workers, []

    def run(self):
        before = self.client.run_on_scheduler(done_jobs)
        while len(self.killed) < self.n_workers:
            time.sleep(0.1)
            busy = [worker for worker, jobs in self.client.processing().items() if jobs]
            done = self.client.run_on_scheduler(done_jobs) - before
            if len(busy) >= self.n_workers and len(done) >= 2:
                pids = self.client.run(os.getpid)
                for worker in busy[: self.n_workers]:
                    os.kill(pids[worker], signal.SIGKILL)
                    self.killed.append(worker)


def done_jobs(dask_scheduler):
    """Return all jobs done so far."""
    log = dask_scheduler.transition_log
    return {key for key, _, state, *_ in log if "batch_of" in str(key) and state == "memory"}


# The scores of one process


def test_search_matches_one_process(client, small_faces):
    search = GridSearchCV(hog_svm(), HOG_GRID, cv=3)
    reference = GridSearchCV(hog_svm(), HOG_GRID, cv=3).fit(*small_faces)
    with parallel_config(backend="dask"):
        search.fit(*small_faces)
    assert_same(search, reference)
    assert search.best_params_["classifier__C"] == 5.0


def test_cross_validation_matches_one_process(client, small_faces):
    alone = cross_val_score(hog_svm(), *small_faces, cv=4)
    with parallel_config(backend="dask"):
        scores = cross_val_score(hog_svm(), *small_faces, cv=4)
    assert scores.tolist() == alone.tolist()


def test_workers_do_the_work(client, small_faces):
    def worker_pid(estimator, X, y):
        return os.getpid()

    with parallel_config(backend="dask"):
        pids = cross_val_score(hog_svm(), *small_faces, cv=4, scoring=worker_pid)
    assert set(pids) <= set(client.run(os.getpid).values())


def test_data_is_sent_once(client, small_faces, monkeypatch):
    X, y = small_faces
    sent = []

    def submit(self, what, function, **options):
        sent.append(what)
        return plain(self, what, function, **options)

    plain = dask_module._ResilientClient._submit
    monkeypatch.setattr(dask_module._ResilientClient, "_submit", submit)
    with parallel_config(backend="dask"):
        cross_val_score(hog_svm(), X, y, cv=6)
    assert sum(item is X for item in sent) == 1
    sent.clear()
    with parallel_config(backend="dask", scatter=[X, y]):
        for _ in range(2):
            cross_val_score(hog_svm(), X, y, cv=2)
    assert sum(item is X for item in sent) == sum(item is y for item in sent) == 1


def test_nested_jobs_use_the_backend(client):
    with parallel_config(backend="dask"):
        names = Parallel()(delayed(backend_in_use)() for _ in range(2))
    assert names == ["fer_sklearn.dask"] * 2


def backend_in_use():
    return type(joblib.parallel.get_active_backend()[0]).__module__


# Killed workers


@pytest.mark.nightly
def test_search_survives_the_loss_of_all_workers(client, small_faces):
    reference = GridSearchCV(hog_svm(), HOG_GRID, cv=4).fit(*small_faces)
    search = GridSearchCV(slowly(hog_svm()), HOG_GRID, cv=4)
    killer = Killer(client, n_workers=2)
    killer.start()
    with parallel_config(backend="dask"):
        search.fit(*small_faces)
    killer.join(10)
    assert len(killer.killed) == 2
    assert_same(search, reference)


def test_nested_jobs_survive_a_killed_worker(client, small_faces):
    """Calibration cross-validates inside each job, on the cluster again."""
    pipeline = hog_svm(probability=True)
    alone = cross_val_score(pipeline, *small_faces, cv=4, scoring="neg_log_loss")
    killer = Killer(client, n_workers=1)
    killer.start()
    with parallel_config(backend="dask"):
        scores = cross_val_score(slowly(pipeline), *small_faces, cv=4, scoring="neg_log_loss")
    killer.join(10)
    assert killer.killed
    np.testing.assert_allclose(scores, alone, rtol=1e-9)


@pytest.mark.nightly
def test_search_over_the_cnn_survives_a_killed_worker(client, small_faces):
    # Not at the top: workers import this file, and TensorFlow is slow to import.
    from fer_sklearn import FERCNNClassifier

    X, y = small_faces[0][:70], small_faces[1][:70]
    cnn = FERCNNClassifier(architecture="conv3", epochs=1, batch_size=16, random_state=0)
    grid = {"classifier__learning_rate": [1e-6, 5e-3]}
    search = GridSearchCV(make_cnn_pipeline(cnn, size=24), grid, cv=3, refit=False)
    reference = GridSearchCV(make_cnn_pipeline(cnn, size=24), grid, cv=3, refit=False).fit(X, y)
    killer = Killer(client, n_workers=1)
    killer.start()
    with parallel_config(backend="dask"):
        search.fit(X, y)
    killer.join(10)
    assert killer.killed
    assert_same(search, reference)


# Errors instead of hanging


def test_job_that_kills_every_worker_ends_the_search(client, small_faces, monkeypatch):
    monkeypatch.setattr(client.cluster.scheduler, "allowed_failures", 0)
    deadly = make_pipeline(FunctionTransformer(end_process), hog_svm())
    with (
        parallel_config(backend="dask"),
        pytest.raises(distributed.scheduler.KilledWorker, match="workers died while running it"),
    ):
        cross_val_score(deadly, *small_faces, cv=2)


def end_process(X):
    os._exit(1)


def test_unpicklable_estimator_is_reported(client, small_faces):
    import cv2

    finder = cv2.CascadeClassifier()
    model = make_pipeline(FunctionTransformer(lambda X: X if finder else None), hog_svm())
    with (
        parallel_config(backend="dask"),
        pytest.raises(
            TypeError,
            match=r"could not be sent .*cannot pickle 'cv2.CascadeClassif",
        ),
    ):
        cross_val_score(model, *small_faces, cv=2)


def test_code_missing_on_a_worker_is_reported(client, small_faces, monkeypatch):
    module = types.ModuleType("only_here")
    exec("def same(X):\n    return X", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    model = make_pipeline(FunctionTransformer(module.same), hog_svm())
    with parallel_config(backend="dask"), pytest.raises(ModuleNotFoundError, match="only_here"):
        cross_val_score(model, *small_faces, cv=2)


def test_fit_error_matches_one_process(client, small_faces):
    with (
        parallel_config(backend="dask"),
        pytest.raises(ValueError, match="All the 2 fits failed"),
    ):
        cross_val_score(hog_svm(C=-1), *small_faces, cv=2)


def test_missing_client_is_reported(monkeypatch):
    def none():
        raise ValueError("No global client found and no address provided")

    monkeypatch.setattr("joblib._dask.get_client", none)
    with pytest.raises(ValueError, match="first create a Dask Client"):
        dask_module._Backend()


def test_workers_are_waited_for(tmp_path):
    with distributed.Client(
        n_workers=0, processes=False, dashboard_address=":0", local_directory=tmp_path
    ) as client:
        backend = dask_module._Backend(client=client, wait_for_workers_timeout=0.5)
        with pytest.raises(TimeoutError, match=r"has no worker after 0\.5 seconds"):
            backend.effective_n_jobs(-1)
        backend.wait_for_workers_timeout = 30
        client.cluster.scale(1)
        assert backend.effective_n_jobs(-1) >= 1


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fer_sklearn\[dask\]'"):
        register_dask()
