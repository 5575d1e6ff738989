"""The page that shows a stream: its responses, access control, and shutdown."""

import http.client
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest

from fer_sklearn.video import _page as page_module
from fer_sklearn.video._page import StreamPage

STATUS = {
    "seconds": 12.3,
    "fps": 17.0,
    "faces": [
        {"face": 1, "emotion": "happy", "probability": 0.9, "probabilities": {"happy": 0.9}},
    ],
}


@pytest.fixture
def page():
    with StreamPage(title="a <b>video</b>") as page:
        yield page


def _frame(level, shape=(48, 64)):
    return np.full((*shape, 3), (level, 0, 255 - level), np.uint8)


def _open(page, path="", **headers):
    request = urllib.request.Request(page.url + path, headers=headers)
    return urllib.request.urlopen(request, timeout=20)


def _next_image(stream):
    """Read one part of the stream up to the next boundary; return it as RGB."""
    while not (line := stream.readline()).startswith(b"Content-Length"):
        assert line, "the stream ended"
    assert stream.readline() == b"\r\n"
    jpeg = stream.read(int(line.split(b":")[1]))
    assert stream.readline() == b"\r\n"
    assert stream.readline() == b"--frame\r\n"
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1), cv2.COLOR_BGR2RGB)


def _next_status(events):
    line = events.readline()
    assert line.startswith(b"data: "), line
    assert events.readline() == b"\n"
    return json.loads(line[6:], parse_constant=lambda name: pytest.fail(name))


def _post(page, path="stop", **headers):
    address = urlsplit(page.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=20)
    try:
        connection.request("POST", "/" + path, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _status_code(page, path="", **headers):
    try:
        return _open(page, path, **headers).status
    except urllib.error.HTTPError as error:
        return error.code


def test_the_page_is_complete_and_loads_nothing_from_other_servers(page):
    with _open(page) as response:
        html = response.read().decode()
        policy = response.headers["Content-Security-Policy"]
    assert "{{" not in html
    assert "a &lt;b&gt;video&lt;/b&gt;" in html
    assert not re.search(r"https?://", html)
    nonce = re.search(r"'nonce-([^']+)'", policy)[1]
    assert html.count(f'nonce="{nonce}"') == 2
    assert "default-src 'none'" in policy
    with _open(page) as response:
        assert nonce not in response.read().decode()


def test_the_url_is_local(page):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", page.url)
    assert page._server.server_address[0] == "127.0.0.1"


def test_the_stream_shows_the_newest_frame(page):
    for level in (0, 100, 200):
        page.show(_frame(level))
    with _open(page, "stream") as stream:
        first = _next_image(stream)
        assert first.shape == (48, 64, 3)
        # JPEG changes colours a little; red and blue are not swapped.
        assert np.abs(first.astype(int) - (200, 0, 55)).max() < 12
        page.show(_frame(30))
        assert np.abs(_next_image(stream).astype(int) - (30, 0, 225)).max() < 12


def test_all_clients_get_the_frame_and_it_is_encoded_once(page, monkeypatch):
    encoded = []
    encode = page_module._encode
    monkeypatch.setattr(page_module, "_encode", lambda frame: encoded.append(1) or encode(frame))
    page.show(_frame(10))
    assert encoded == []
    streams = [_open(page, "stream") for _ in range(3)]
    for stream in streams:
        _next_image(stream)
        stream.close()
    assert encoded == [1]


def test_a_slow_client_misses_frames_and_delays_no_one(page):
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with _open(page, "stream") as stream:
        start = time.monotonic()
        for _ in range(300):
            page.show(noise)
        page.show(_frame(255))
        assert time.monotonic() - start < 5
        images = [_next_image(stream)]
        while images[-1].shape != (48, 64, 3):
            images.append(_next_image(stream))
    assert len(images) < 100


def test_only_the_newest_frame_is_kept(page):
    import weakref

    class Frame(np.ndarray):
        pass

    frames = [_frame(level).view(Frame) for level in range(5)]
    references = [weakref.ref(frame) for frame in frames]
    while frames:
        page.show(frames.pop(0))
    assert [reference() is None for reference in references] == [True] * 4 + [False]


def test_large_frames_are_scaled_down(page):
    page.show(_frame(50, (1500, 3840)))
    with _open(page, "stream") as stream:
        assert _next_image(stream).shape == (750, 1920, 3)


def test_the_last_frame_is_repeated_as_a_heartbeat(page, monkeypatch):
    monkeypatch.setattr(page_module, "_HEARTBEAT", 0.05)
    page.show(_frame(50))
    with _open(page, "stream") as stream:
        first, second = _next_image(stream), _next_image(stream)
    assert (first == second).all()


def test_the_status_comes_as_events_with_colours(page):
    page.update(STATUS)
    with _open(page, "events") as events:
        assert events.headers["Content-Type"] == "text/event-stream"
        own = {"paused": False, "latency": None}
        assert _next_status(events) == {**STATUS, **own, "colors": {"happy": "#E69F00"}}
        page.update({"seconds": 13.0})
        assert _next_status(events) == {"seconds": 13.0, **own, "colors": {}}


def _next_events(events):
    """Return the next status and the next table, which come in any order."""
    status = table = None
    while status is None or table is None:
        line = events.readline()
        if line == b"event: table\n":
            table = _next_status(events)
        else:
            status = json.loads(line.removeprefix(b"data: "))
            assert events.readline() == b"\n"
    return status, table


def test_a_table_is_sent_when_it_changes(page):
    rows = [{"face": 0, "emotion": "happy", "mean_happy": np.nan}]
    page.update({"seconds": 1.0, "table": rows})
    with _open(page, "events") as events:
        status, table = _next_events(events)
        assert "table" not in status
        assert table == [{"face": 0, "emotion": "happy", "mean_happy": None}]
        page.update({"seconds": 2.0})
        assert _next_status(events)["seconds"] == 2.0
        page.update({"seconds": 3.0, "table": []})
        status, table = _next_events(events)
        assert (status["seconds"], table) == (3.0, [])


def test_the_last_table_is_sent_before_the_end(page):
    page.update({"seconds": 1.0})
    with _open(page, "events") as events:
        _next_status(events)
        page.update({"table": [{"face": 0}]})
        page.close()
        assert b'event: table\ndata: [{"face": 0}]\n\nevent: end\n' in events.read()


def test_the_latency_ends_when_the_frame_is_sent(page):
    with _open(page, "stream") as stream, _open(page, "events") as events:
        page.show(_frame(10), arrived=time.monotonic() - 0.25)
        _next_image(stream)
        time.sleep(0.5)
        page.update(STATUS)
        while (status := _next_status(events))["latency"] is None:
            page.update(STATUS)
        # Neither the wait since then nor a heartbeat counts.
        assert 0.25 <= status["latency"] < 0.7


def test_unknown_numbers_become_null(page):
    face = {
        "face": np.int64(2),
        "emotion": np.str_("sad"),
        "probability": np.nan,
        "probabilities": {"sad": np.float32(0.5), "happy": np.inf, "angry": None},
    }
    page.update({"fps": np.float64(3), "faces": [face]})
    with _open(page, "events") as events:
        status = _next_status(events)
    assert status["faces"] == [
        {
            "face": 2,
            "emotion": "sad",
            "probability": None,
            "probabilities": {"sad": 0.5, "happy": None, "angry": None},
        }
    ]


def test_stop_and_start_pause_the_page(page):
    with _open(page, "events") as events:
        assert _next_status(events)["paused"] is False
        assert _post(page, "stop") == 204
        assert page.paused
        assert _next_status(events)["paused"] is True
        assert _post(page, "start") == 204
        assert not page.paused
        assert _next_status(events)["paused"] is False
    assert not page.closed


def test_finish_closes_the_page_and_notifies_it(page):
    page.show(_frame(0))
    with _open(page, "events") as events, _open(page, "stream") as stream:
        _next_image(stream)
        assert not page.closed
        assert _post(page, "finish") == 204
        assert page.closed
        page.close()
        assert b"event: end\ndata: finished\n\n" in events.read()
        stream.read()


@pytest.mark.parametrize("path", ["stop", "start", "finish"])
def test_buttons_need_a_post(page, path):
    assert _status_code(page, path) == 404
    assert _post(page, "elsewhere") == 404
    assert not page.closed


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example:80"},
        {"Host": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_other_sites_are_rejected(page, headers):
    assert _post(page, **headers) == _post(page, "finish", **headers) == 403
    assert not page.closed
    assert not page.paused
    if headers != {"Origin": "null"}:
        assert _status_code(page, "stream", **headers) == 403


def test_the_page_itself_and_links_to_it_are_allowed(page):
    port = urlsplit(page.url).port
    # A forwarded port has a different number.
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", "localhost:9999"):
        assert _status_code(page, "", Host=host) == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert _status_code(page, "", **link, **{"Sec-Fetch-Dest": "document"}) == 200
    assert _status_code(page, "", **link, **{"Sec-Fetch-Dest": "iframe"}) == 403
    same = {"Origin": page.url[:-1], "Sec-Fetch-Site": "same-origin"}
    assert _post(page, **same) == 204


def test_close_is_quick_and_releases_waiting_clients():
    page = StreamPage()
    ends = []

    def watch(path):
        with _open(page, path) as response:
            ends.append(response.read())

    threads = [threading.Thread(target=watch, args=(path,)) for path in ("stream", "events")]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    start = time.monotonic()
    page.close()
    for thread in threads:
        thread.join(5)
    assert time.monotonic() - start < 2
    assert any(b"data: ended" in end for end in ends)
    assert page.closed
    page.close()
    with pytest.raises(urllib.error.URLError):
        _open(page)


def test_a_port_in_use_is_reported(page):
    port = urlsplit(page.url).port
    with pytest.raises(
        OSError,
        match=rf"^port={port} cannot be used: .*in use\. Pass another one, or 0 for any free one",
    ):
        StreamPage(port=port)


def test_an_invalid_port_is_reported():
    with pytest.raises(OSError, match=r"^port=70000 cannot be used: "):
        StreamPage(port=70000)


@pytest.mark.parametrize(
    "frame", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8), None]
)
def test_other_shapes_and_dtypes_of_frames_are_refused(page, frame):
    with pytest.raises(ValueError, match=r"^frame has shape .*; expected RGB pixels"):
        page.show(frame)


def test_a_process_ends_even_if_someone_is_watching():
    code = (
        "import sys, numpy as np\n"
        "from fer_sklearn.video._page import StreamPage\n"
        "page = StreamPage()\n"
        "print(page.url, flush=True)\n"
        "page.show(np.zeros((4, 4, 3), np.uint8))\n"
        "sys.stdin.readline()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url + "stream", timeout=20):
            process.communicate("\n", timeout=60)
        assert process.returncode == 0
