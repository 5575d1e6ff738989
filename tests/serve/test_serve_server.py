"""``fer-sklearn serve`` as a process: signals, slow clients, and other network problems."""

import base64
import http.client
import io
import json
import random
import re
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from running import run, started_service, usage_error
from skimage.data import astronaut
from web_browser import chromium

from fer_sklearn import predict_photos

FORM = "multipart/form-data; boundary=x"


def jpeg(size=(256, 256)):
    file = io.BytesIO()
    Image.fromarray(astronaut()).resize(size).save(file, "JPEG")
    return file.getvalue()


def form(*contents):
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="%d.jpg"\r\n\r\n' % i
        + content
        + b"\r\n"
        for i, content in enumerate(contents)
    ]
    return b"".join(parts) + b"--x--\r\n"


class Service:
    """A running service."""

    def __init__(self, process, port):
        self.process, self.port = process, port

    def ask(self, path, body=None, kind=FORM, timeout=30, **headers):
        """Return the status and body of the response, on a new connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = headers if body is None else {"Content-Type": kind, **headers}
            connection.request("GET" if body is None else "POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def metric(self, name):
        _, said = self.ask("/metrics")
        found = re.findall(rf"(?m)^{re.escape(name)} (\S+)$", said.decode())
        return float(found[0]) if found else 0.0


@contextmanager
def serving(*options, env=None):
    """Start the service on a free port, and wait until it is ready."""
    with started_service(*options, env=env) as (process, port):
        service = Service(process, port)
        while service.ask("/readyz")[0] != 200:
            time.sleep(0.05)
        yield service


@pytest.fixture(scope="module")
def service():
    with serving("--timeout", "2", "--max-bytes", "200000") as service:
        yield service


def test_wrong_usage(capsys, tmp_path):
    assert "'70000' is not a port" in usage_error(capsys, "serve", "--port", "70000")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert run("serve", "--port", taken.getsockname()[1], "--model", "tiny") == 1
    assert re.search(r"cannot be listened on .*0 picks a free one", capsys.readouterr().err)
    assert run("serve", "--token-file", tmp_path / "no") == 1
    assert "cannot be read: No such file" in capsys.readouterr().err


def test_a_token_file_may_begin_with_a_byte_order_mark(monkeypatch, tmp_path):
    """As PowerShell and Notepad write it."""
    apps = []
    monkeypatch.setattr("fer_sklearn.serve.run_app", lambda app, **options: apps.append(app))
    file = tmp_path / "token"
    file.write_bytes(b"\xef\xbb\xbfs3cret\r\n")
    assert run("serve", "--model", "tiny", "--token-file", file) == 0
    with TestClient(apps[0]) as client:
        answer = client.get("/metrics", headers={"Authorization": "Bearer s3cret"})
        assert answer.status_code == 200


@pytest.mark.slow
def test_it_returns_what_predict_photos_returns(service):
    data = jpeg()
    status, body = service.ask("/v1/faces", form(data))
    assert status == 200
    ((row,),) = json.loads(body)
    table = predict_photos([data])
    assert row | {"source": "[0]"} == table.iloc[0].to_dict()
    assert (service.ask("/healthz"), service.ask("/readyz")) == ((200, b"ok\n"), (200, b"ready\n"))


@pytest.mark.slow
def test_a_client_that_stalls_is_cut_off(service):
    with service.connect() as connection:
        connection.sendall(
            b"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        start = time.monotonic()
        answer = b"".join(iter(lambda: connection.recv(10_000), b""))  # until it is closed
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert 1 < time.monotonic() - start < 10
    with service.connect() as connection:
        connection.sendall(b"POST /v1/faces HT")
        start = time.monotonic()
        assert connection.recv(100) == b""
        assert 5 < time.monotonic() - start < 20


@pytest.mark.slow
def test_a_client_reads_why_its_large_body_is_refused(service):
    large = form(b"a" * 300_000)
    for body in (large, iter([large[:1000], large[1000:]])):  # the latter without its length
        status, answer = service.ask("/v1/faces", body)
        assert status == 413
        assert b"The body has more than 200000 bytes." in answer


@pytest.mark.slow
def test_requests_in_progress_are_finished_after_a_signal():
    with serving() as service, ThreadPoolExecutor(4) as pool:
        assert service.ask("/v1/faces", b"secret")[0] == 400
        answers = [
            pool.submit(service.ask, "/v1/faces", form(*[jpeg((1024, 1024))] * 6)) for _ in range(4)
        ]
        while service.metric("fer_sklearn_queue_photos") < 20:
            pass
        service.process.send_signal(signal.SIGTERM)
        for answer in answers:
            status, body = answer.result()
            assert (status, len(json.loads(body))) == (200, 6)
        service.process.wait(30)
        assert service.process.returncode == -signal.SIGTERM
        assert service.process.stderr.read() == ""  # malformed forms fill no log either
        with pytest.raises(OSError):  # noqa: PT011
            service.ask("/healthz")


def misbehave(service, rng, data):
    """Misbehave as clients do; return the status, or None if it was not awaited."""
    good = form(data)
    choice = rng.randrange(8)
    if choice == 0:
        at = rng.randrange(len(good))
        return service.ask("/v1/faces", good[:at])[0]
    if choice == 1:
        damaged = bytearray(good)
        for _ in range(20):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        return service.ask("/v1/faces", bytes(damaged))[0]
    if choice == 2:
        text = base64.b64encode(data).decode()[: rng.randrange(5000)]
        body = json.dumps({"images": [text] * rng.randrange(20)}).encode()
        return service.ask("/v1/faces", body, "application/json")[0]
    if choice == 3:
        return service.ask("/v1/probabilities", rng.randbytes(2000), "application/json")[0]
    if choice == 4:
        return service.ask("/v1/faces", iter([good[:1000], good[1000:]]), FORM)[0]
    with service.connect() as connection:
        if choice == 5:  # no HTTP
            connection.sendall(rng.randbytes(500) + b"\r\n\r\n")
            answer = connection.recv(1000)
            return int(answer.split()[1]) if answer.startswith(b"HTTP") else None
        head = f"POST /v1/faces HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM}\r\n"
        request = f"{head}Content-Length: {len(good)}\r\n\r\n".encode() + good
        if choice == 6:  # cut off while it is sent, or answered
            connection.sendall(request[: rng.randrange(10, len(request) + 1)])
            return None
        connection.sendall(request[:-10])  # too slow
        answer = connection.recv(1000)
        return int(answer.split()[1])


def soak(service, n_requests, n_clients=8):
    """Mix good requests with bad ones; return the resident bytes at a tenth and at the end."""
    data, memory = jpeg((96, 96)), {}
    expected = predict_photos([data]).iloc[0].to_dict()
    process, lock, done = psutil.Process(service.process.pid), threading.Lock(), [0]

    def act(seed):
        rng = random.Random(seed)
        if seed % 3:
            status, body = service.ask("/v1/faces", form(data))
            if status != 429:
                ((row,),) = json.loads(body)
                assert row | {"source": "[0]"} == expected
        else:
            status = misbehave(service, rng, data)
        with lock:
            done[0] += 1
            if done[0] in (n_requests // 10, n_requests):
                memory[done[0]] = process.memory_info().rss
        return status

    with ThreadPoolExecutor(n_clients) as pool:
        statuses = set(pool.map(act, range(n_requests)))
    # Nothing waits any more, and no request is still being read.
    while service.metric("fer_sklearn_queue_photos"):
        time.sleep(0.05)
    assert service.process.poll() is None
    return statuses, memory[n_requests // 10], memory[n_requests]


@pytest.mark.slow
def test_a_short_soak(service):
    statuses, _, _ = soak(service, 150, n_clients=16)
    assert 200 in statuses
    assert all(status is None or status < 500 for status in statuses)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_long_soak(service):
    statuses, before, after = soak(service, 10_000, n_clients=16)
    assert all(status is None or status < 500 for status in statuses)
    assert after < before + 30_000_000


@pytest.mark.slow
def test_the_page_in_a_browser(service, tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    with chromium() as browser:
        page = browser.new_page()
        elsewhere, logged = [], []
        page.on("request", lambda request: elsewhere.append(request.url))
        page.on("console", lambda said: logged.append(said.text))
        page.on("pageerror", lambda error: logged.append(str(error)))
        page.goto(f"http://127.0.0.1:{service.port}/docs")
        faces = page.locator("details", has_text="/v1/faces")
        faces.locator("input[type=file]").set_input_files(tmp_path / "a.jpg")
        faces.get_by_role("button", name="Try it").click()
        answer = faces.locator("pre[aria-live]")
        answer.wait_for()
        assert '"emotion": "happy"' in answer.inner_text()
        assert "?provenance=true: Whether each row" in faces.inner_text()
        assert page.locator("details").count() == 5
        assert all(url.startswith(f"http://127.0.0.1:{service.port}/") for url in elsewhere)
        assert logged == []
