"""The service in this process: its responses, and the requests that it refuses."""

import asyncio
import base64
import io
import json
import math
import re
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from photo_reader import CLASSES, Reader, photo
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from skimage.data import astronaut

from fer_sklearn import __version__, predict_photos
from fer_sklearn.images import to_gray
from fer_sklearn.serve import create_app


def encoded(pixels, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form)
    return file.getvalue()


def text(data):
    return base64.b64encode(data).decode()


def as_form(*contents):
    return [("files", (f"{i}.png", content)) for i, content in enumerate(contents)]


def table_rows(images, *arguments, **options):
    """Return the rows of `predict_photos`, with None for what is missing."""
    table = predict_photos(images, *arguments, **options)
    return [
        {name: None if value != value else value for name, value in row.items()}
        for row in table.astype(object).where(table.notna(), None).to_dict("records")
    ]


def nameless(row):
    return {name: value for name, value in row.items() if name != "source"}


class SlowReader(Reader):
    """Waits for a signal before it finds faces."""

    def __init__(self):
        super().__init__()
        self.begun, self.may_go_on = threading.Semaphore(0), threading.Event()

    def detect(self, pixels):
        self.begun.release()
        assert self.may_go_on.wait(30)
        return super().detect(pixels)


@pytest.fixture
def slow():
    reader = SlowReader()
    yield reader
    reader.may_go_on.set()


@pytest.fixture(scope="module")
def real():
    with TestClient(create_app()) as client:
        yield client


@pytest.fixture
def stub():
    with TestClient(create_app(Reader())) as client:
        yield client


@pytest.fixture
def ten_threads():
    with ThreadPoolExecutor(10) as pool:
        yield pool


# -- responses --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos():
    face = astronaut()[30:220, 120:310]
    dark = (astronaut() // 3).astype(np.uint8)
    return [
        *(encoded(astronaut(), form) for form in ("PNG", "JPEG", "WEBP")),
        *(encoded(dark), encoded(to_gray(astronaut())), encoded(np.hstack([face, face[:, ::-1]]))),
        *(encoded(np.zeros((40, 50, 3), np.uint8)), b"no photo", b""),
    ]


def test_responses_are_those_of_predict_photos(real, photos):
    expected = table_rows(photos)
    answer = real.post("/v1/faces", files=as_form(*photos))
    assert answer.status_code == 200
    assert len(answer.json()) == len(photos)
    rows = [row for faces in answer.json() for row in faces]
    assert [list(row) for row in rows] == [list(row) for row in expected]
    assert list(map(nameless, rows)) == list(map(nameless, expected))
    assert {row["status"].partition(":")[0] for row in rows} == {"ok", "no face", "unreadable"}
    in_json = real.post("/v1/faces", json={"images": [text(data) for data in photos[:4]]})
    assert [row for faces in in_json.json() for row in faces] == table_rows(photos[:4])


def test_responses_do_not_depend_on_concurrent_requests(real, photos, ten_threads):
    chosen = [photos[i % 6] for i in range(30)]
    answers = list(
        ten_threads.map(lambda data: real.post("/v1/faces", files=as_form(data)).json(), chosen)
    )
    expected = [table_rows([data]) for data in photos[:6]]
    for i, (faces,) in enumerate(answers):
        assert list(map(nameless, faces)) == list(map(nameless, expected[i % 6]))


def test_probabilities_of_cropped_faces(real):
    crops = [encoded(astronaut()[30:220, 120:310]), encoded(to_gray(astronaut())), b"no photo"]
    rows = real.post("/v1/probabilities", files=as_form(*crops)).json()
    expected = table_rows(crops, crop_faces=False)
    assert list(map(nameless, rows)) == list(map(nameless, expected))


def test_rows_can_include_provenance(real, photos):
    sent = {"files": as_form(photos[0], photos[-1])}
    for path, crop_faces in (("faces", True), ("probabilities", False)):
        options = {"provenance": True, "crop_faces": crop_faces}
        expected = table_rows([photos[0], photos[-1]], **options)
        answer = real.post(f"/v1/{path}?provenance=true", **sent).json()
        rows = [row for photo in answer for row in photo] if crop_faces else answer
        assert [row["provenance"] for row in rows] == [row["provenance"] for row in expected]
        made_by = json.loads(rows[0]["provenance"])
        assert (made_by["model"], made_by["fer_sklearn"]) == ("default", __version__)
        assert ("BlazeFace" in made_by["detector"]) == crop_faces
    for query in ("", "?provenance=false", "?provenance=0"):
        assert "provenance" not in real.post(f"/v1/faces{query}", **sent).json()[0][0]
    refused = real.post("/v1/faces?provenance=all", **sent)
    assert refused.status_code == 400
    assert refused.json() == {"detail": "provenance='all'; expected true or false."}


def test_photos_are_named_as_their_files(stub):
    data = encoded(photo())
    files = [
        ("files", ("a.png", data)),
        ("any", ("C:\\me\\b.png", b"")),
        ("files", ("é/ü.png", data)),
    ]
    answer = stub.post("/v1/faces", files=files).json()
    assert [faces[0]["source"] for faces in answer] == ["a.png", "b.png", "ü.png"]
    assert [faces[0]["status"][:10] for faces in answer] == ["ok", "unreadable", "ok"]
    images = [f"data:image/png;base64,{text(data)}", text(data), "?"]
    answer = stub.post("/v1/faces", json={"images": images}).json()
    assert [faces[0]["source"] for faces in answer] == ["[0]", "[1]", "[2]"]
    assert "is not valid base64" in answer[2][0]["status"]


def test_text_is_never_read_as_a_path(stub, tmp_path):
    (tmp_path / "a.png").write_bytes(encoded(photo()))
    path = str(tmp_path / "a.png")
    ((row,),) = stub.post("/v1/faces", json={"images": [path]}).json()
    assert row["status"].startswith("unreadable")
    ((row,),) = stub.post("/v1/faces", files=[("files", (path, path.encode()))]).json()
    assert row["status"].startswith("unreadable")


# -- limits -----------------------------------------------------------------------------


def chunked(*parts):
    """Return a body whose length is not declared."""
    yield from parts


FORM = {"Content-Type": "multipart/form-data; boundary=x"}


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_is_limited_whether_its_length_is_known_or_not(is_chunked):
    with TestClient(create_app(Reader(), max_bytes=1000)) as client:
        body = b"--x\r\n" + b"a" * 2000
        content = chunked(*(body[i : i + 100] for i in range(0, len(body), 100)))
        answer = client.post("/v1/faces", content=content if is_chunked else body, headers=FORM)
        assert answer.status_code == 413
        assert answer.json()["detail"].startswith("The body has more than 1000 bytes.")
        assert client.post("/v1/faces", files=as_form(encoded(photo()))).status_code == 200


def test_files_and_pixels_are_limited():
    with TestClient(create_app(Reader(), max_files=2, max_pixels=64)) as client:
        data = encoded(photo())
        for sent in (
            {"files": as_form(data, data, data)},
            {"json": {"images": [text(data)] * 3}},
        ):
            answer = client.post("/v1/faces", **sent)
            assert answer.status_code == 413
            assert answer.json()["detail"].startswith("The request has more than 2 photos.")
        large = encoded(np.zeros((9, 8), np.uint8))
        answer = client.post("/v1/probabilities", files=as_form(data, large))
        assert answer.status_code == 413
        assert re.match(
            r"1\.png: the image has 8×9 = 72 pixels.*Shrink it\.", answer.json()["detail"]
        )
        assert client.post("/v1/faces", files=as_form(data, data)).status_code == 200


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "", 415),
        (b"abc", "image/png", 415),
        (b"", "multipart/form-data", 400),
        (b"", "multipart/form-data; boundary=x", 400),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n', FORM, 400),
        (b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n", FORM, 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="a\xff..b"\r\n\r\n\xff\r\n--x--\r\n',
            "multipart/form-data; boundary=x; charset=idna",
            400,
        ),
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b'{"images": "a"}', "application/json", 400),
        (b'{"images": [1]}', "application/json", 400),
        (b'{"images": []}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"\xff\xfe", "application/json; charset=utf-8", 400),
    ],
)
def test_a_malformed_body_is_refused(stub, content, kind, status):
    kind = kind if isinstance(kind, str) else kind["Content-Type"]
    answer = stub.post("/v1/faces", content=content, headers={"Content-Type": kind})
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert answer.headers["connection"] == "close"


def form_of(*parts, end=b"--x--\r\n"):
    """Return a form of parts that are given as (options, content)."""
    head = b"--x\r\nContent-Disposition: form-data; %b\r\n\r\n%b\r\n"
    return b"".join(head % part for part in parts) + end


@pytest.mark.parametrize("end", [b"", b"--x\r\n", b"--x-"])
def test_a_form_that_was_cut_off_is_refused(stub, end):
    part = b'name="files"; filename="1.png"', encoded(photo())
    for n_parts in (1, 2):
        content = form_of(*[part] * n_parts, end=end)
        answer = stub.post("/v1/faces", content=content, headers=FORM)
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("The form ends before its closing boundary")


def test_text_in_place_of_a_photo_is_refused(stub):
    file = b'name="files"; filename="1.png"', encoded(photo())
    content = form_of(file, (b'name="files"', b"abc"))
    answer = stub.post("/v1/faces", content=content, headers=FORM)
    assert answer.status_code == 400
    assert answer.json()["detail"].startswith("The field 'files' has a text instead of a file")
    content = form_of(file, (b'name="album"', b"holiday"))  # what else a page sends
    answer = stub.post("/v1/faces", content=content, headers=FORM)
    assert [len(rows) for rows in answer.json()] == [1]


async def ask(app, messages, path="/v1/faces"):
    """Send a request as a server does; `messages` awaits each part of it. Return the response."""
    sent = []
    scope = {
        **{"type": "http", "method": "POST", "path": path, "raw_path": path.encode()},
        **{"query_string": b"", "root_path": "", "http_version": "1.1", "scheme": "http"},
        "headers": [(b"content-type", b"application/json")],
    }

    async def send(message):
        sent.append(message)

    await app(scope, messages, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def test_a_slow_body_is_refused():
    parts = iter([b'{"images": [', b'"'])

    async def dawdle():
        part = next(parts, None)
        if part is None:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": part, "more_body": True}

    status, body = asyncio.run(ask(create_app(Reader(), timeout=0.2), dawdle))
    assert status == 408
    assert b"did not arrive within 0.2 seconds" in body


def test_a_full_queue_refuses_and_recovers(slow, ten_threads):
    with TestClient(create_app(slow, max_queue=4, max_files=3, n_jobs=1)) as client:
        begin = [
            ten_threads.submit(client.post, "/v1/faces", files=as_form(*[encoded(photo())] * 3))
        ]
        assert slow.begun.acquire(timeout=30)  # the first photo of the service itself
        assert client.get("/healthz").text == "ok\n"
        while queued(client) < 3:
            pass
        answer = client.post("/v1/faces", files=as_form(*[encoded(photo())] * 2))
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert queued(client) == 3
        begin.append(ten_threads.submit(client.post, "/v1/faces", files=as_form(encoded(photo()))))
        while queued(client) < 4:
            pass
        answer = client.post("/v1/faces", content=b"not even looked at")
        assert answer.status_code == 429
        slow.may_go_on.set()
        assert [future.result().status_code for future in begin] == [200, 200]
        assert client.post("/v1/faces", files=as_form(encoded(photo()))).status_code == 200


def test_all_bodies_together_are_limited():
    async def send_many(app):
        """Begin nine bodies of nearly the largest size, and never end them."""
        begun, go_on = [], asyncio.Event()

        def body():
            parts = iter([b" " * 900])

            async def receive():
                part = next(parts, None)
                if part is None:
                    await go_on.wait()
                    return {"type": "http.disconnect"}
                return {"type": "http.request", "body": part, "more_body": True}

            return receive

        for _ in range(8):
            begun.append(asyncio.create_task(ask(app, body())))
            await asyncio.sleep(0.01)
        refused = asyncio.create_task(ask(app, body()))
        await asyncio.sleep(0.05)
        go_on.set()
        return await refused, await asyncio.gather(*begun)

    (status, body), others = asyncio.run(send_many(create_app(Reader(), max_bytes=1000)))
    assert (status, b"Too many bytes" in body) == (429, True)
    assert {status for status, _ in others} == {499}


def test_a_response_must_come_in_time(slow):
    with TestClient(create_app(slow, timeout=0.2, n_jobs=1)) as client:
        answer = client.post("/v1/faces", files=as_form(encoded(photo()), encoded(photo())))
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        assert "no response within 0.2 seconds" in answer.json()["detail"]
        slow.may_go_on.set()
        while queued(client):
            pass


def test_a_client_that_disconnects_leaves_the_queue(slow):
    async def go_away(app):
        request = b'{"images": ["' + base64.b64encode(encoded(photo())) + b'"]}'
        messages = [
            {"type": "http.request", "body": request, "more_body": False},
            {"type": "http.disconnect"},
        ]

        async def receive():
            return messages.pop(0)

        return await ask(app, receive)

    app = create_app(slow, n_jobs=1)
    with TestClient(app) as client:
        assert slow.begun.acquire(timeout=30)  # the only thread is busy
        assert asyncio.run(go_away(app))[0] == 499
        assert queued(client) == 0
        slow.may_go_on.set()
    assert sum(slow.batches) <= 2  # the photos of the service itself


# -- batches, threads -------------------------------------------------------------------


def queued(client):
    return metrics(client)["fer_sklearn_queue_photos"]


def metrics(client, **headers):
    """Return the sum of each metric over its labels."""
    found = {}
    for family in text_string_to_metric_families(client.get("/metrics", headers=headers).text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


class SlowNetwork(Reader):
    """Is slow for the first batch, during which other faces are found."""

    def __init__(self):
        super().__init__()
        self.may_go_on = threading.Event()

    def predict(self, crops):
        answer = super().predict(crops)
        assert self.may_go_on.wait(30)
        return answer


def test_faces_of_several_requests_are_classified_together(ten_threads):
    reader = SlowNetwork()
    with TestClient(create_app(reader, batch_size=5)) as client:
        futures = [
            ten_threads.submit(client.post, "/v1/faces", files=as_form(encoded(photo(1, happy))))
            for happy in range(0, 100, 10)
        ]
        while queued(client) < 10:
            pass
        reader.may_go_on.set()
        answers = [future.result().json() for future in futures]
    assert [faces[0]["happy"] for (faces,) in answers] == [
        happy / 255 for happy in range(0, 100, 10)
    ]
    assert max(reader.batches) == 5


def test_one_bad_face_does_not_affect_the_others(ten_threads):
    class Fragile(SlowNetwork):
        def predict(self, crops):
            labels = super().predict(crops)
            if any(crop[0, 1] == 13 for crop in crops):
                raise RuntimeError("thirteen")
            return labels

    reader = Fragile()
    with TestClient(create_app(reader), raise_server_exceptions=False) as client:
        futures = [
            ten_threads.submit(client.post, "/v1/faces", files=as_form(encoded(photo(1, happy))))
            for happy in range(10, 16)
        ]
        while queued(client) < 6:
            pass
        reader.may_go_on.set()
        assert [future.result().status_code for future in futures] == [200] * 3 + [500] + [200] * 2


def test_large_crops_do_not_pile_up(ten_threads, monkeypatch):
    monkeypatch.setattr("fer_sklearn.serve._batching._MAX_BYTES", 100)
    reader = SlowNetwork()
    with TestClient(create_app(reader, n_jobs=8)) as client:
        send = [
            ten_threads.submit(client.post, "/v1/probabilities", files=as_form(encoded(photo())))
            for _ in range(8)
        ]
        assert not wait(send, timeout=0.2).done
        reader.may_go_on.set()
        assert {future.result().status_code for future in send} == {200}
    # Two photos of 64 bytes are more than 100 bytes, before which others wait.
    assert max(reader.batches) <= 2


def test_nothing_is_written_to_disk_nor_logged(stub, monkeypatch, caplog, capfd):
    def write(*args, **kwargs):
        raise AssertionError("a file is written")

    for name in ("TemporaryFile", "NamedTemporaryFile", "mkstemp"):
        monkeypatch.setattr(tempfile, name, write)
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000), np.uint8)
    noise[0, :2] = 1, 255
    large = encoded(noise)
    assert len(large) > 2_000_000
    sent = [("files", ("secret.png", large)), ("files", ("secret.txt", b"x"))]
    answer = stub.post("/v1/faces", files=sent)
    assert [faces[0]["status"].partition(":")[0] for faces in answer.json()] == ["ok", "unreadable"]
    told = "".join(capfd.readouterr()) + "".join(
        record.getMessage()
        for record in caplog.records
        if record.name.startswith(("fer_sklearn", "uvicorn"))
    )
    assert "secret" not in told


# -- operation --------------------------------------------------------------------------


def test_health_readiness_and_metrics(slow):
    with TestClient(create_app(slow, n_jobs=2)) as client:
        assert client.get("/healthz").text == "ok\n"
        assert client.get("/readyz").status_code == 503
        slow.may_go_on.set()
        while client.get("/readyz").status_code == 503:
            pass
        client.post("/v1/faces", files=as_form(encoded(photo(3)), encoded(photo(0)), b"x"))
        client.post("/v1/faces")
        client.get("/no-such-address")
        client.request("BREW", "/coffee")
        said = client.get("/metrics").text
    for line in (
        'fer_sklearn_requests_total{method="POST",path="/v1/faces",status="200"} 1.0',
        'fer_sklearn_requests_total{method="POST",path="/v1/faces",status="415"} 1.0',
        'fer_sklearn_requests_total{method="GET",path="other",status="404"} 1.0',
        'fer_sklearn_requests_total{method="other",path="other",status="404"} 1.0',
        'fer_sklearn_request_seconds_count{path="/v1/faces"} 2.0',
        "fer_sklearn_faces_total 3.0",
        *(f'fer_sklearn_photos_total{{status="{s}"}} 1.0' for s in ("ok", "no face", "unreadable")),
        "fer_sklearn_queue_photos 0.0",
    ):
        assert line in said.splitlines()
    assert "process_resident_memory_bytes" in said


def test_load_balancers_can_send_head_requests(stub):
    while stub.get("/readyz").status_code == 503:  # or it becomes ready between two questions
        time.sleep(0.01)
    for path in ("/healthz", "/readyz", "/metrics", "/docs"):
        found, asked = stub.head(path), stub.get(path)
        assert found.status_code == asked.status_code
        assert found.headers["content-type"] == asked.headers["content-type"]
    assert stub.head("/v1/faces").status_code == 405
    assert not any("head" in methods for methods in stub.app.openapi()["paths"].values())


def test_a_token_is_required(monkeypatch):
    monkeypatch.setenv("FER_SKLEARN_TOKEN", "s3cret ü")
    with TestClient(create_app(Reader())) as client:
        for path in ("/healthz", "/readyz", "/docs", "/openapi.json"):
            assert client.get(path).status_code != 401
        for given in (
            None,
            "Bearer",
            "Bearer wrong",
            "Basic s3cret ü",
            "s3cret ü",
            "Bearer s3cret",
        ):
            headers = {} if given is None else {"Authorization": given.encode()}
            for answer in (
                client.post("/v1/faces", files=as_form(encoded(photo())), headers=headers),
                client.post("/v1/probabilities", content=b"x", headers=headers),
                client.get("/metrics", headers=headers),
            ):
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        headers = {"Authorization": "bearer s3cret ü".encode()}
        answer = client.post("/v1/faces", files=as_form(encoded(photo())), headers=headers)
        assert answer.status_code == 200
        assert client.get("/metrics", headers=headers).status_code == 200
        described = client.get("/openapi.json").json()
        assert described["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
        assert described["paths"]["/v1/faces"]["post"]["security"] == [{"HTTPBearer": []}]
    with pytest.raises(ValueError, match="token is empty"):
        create_app(Reader(), token=" ")
    with pytest.raises(ValueError, match="token has several lines"):
        create_app(Reader(), token="one\ntwo\n")


def test_a_token_may_end_in_any_letter():
    with TestClient(create_app(Reader(), token="voilà")) as client:
        headers = {"Authorization": "Bearer  voilà ".encode()}
        assert client.get("/metrics", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"detector": [(1, 2, 3, 4)]}, "detector is a list of boxes, which would be used for"),
        ({"max_bytes": 0}, "max_bytes=0; expected an int above 0"),
        ({"max_files": 2.5}, r"max_files=2\.5; expected an int above 0"),
        ({"timeout": math.inf}, "timeout=inf; expected a number of seconds above 0"),
        ({"max_queue": 3, "max_files": 4}, "Enlarge max_queue, or reduce max_files"),
        ({"n_jobs": 0}, "n_jobs=0; expected an int above 0, or -1"),
    ],
)
def test_options_are_checked(limits, message):
    with pytest.raises(ValueError, match=message):
        create_app(Reader(), **limits)


def test_it_can_be_mounted_and_started_again():
    service = create_app(Reader())
    outer = FastAPI()
    outer.mount("/emotions", service)
    with TestClient(outer) as client:  # which does not start what is mounted
        answer = client.post("/emotions/v1/faces", files=as_form(encoded(photo())))
        assert answer.json()[0][0]["emotion"] == "happy"
        assert "openapi.json" in client.get("/emotions/docs").text
        assert 'path="/v1/faces"' in client.get("/emotions/metrics").text
    for _ in range(2):
        with TestClient(service) as client:
            assert client.post("/v1/faces", files=as_form(encoded(photo()))).status_code == 200


def test_the_description_covers_requests_and_responses(stub):
    described = stub.get("/openapi.json").json()
    assert set(described["paths"]) == {
        *("/v1/faces", "/v1/probabilities", "/healthz", "/readyz", "/metrics"),
    }
    row = stub.post("/v1/faces", files=as_form(encoded(photo()))).json()[0][0]
    for path, take in (("/v1/faces", lambda rows: rows[0]), ("/v1/probabilities", list)):
        operation = described["paths"][path]["post"]
        assert set(operation["requestBody"]["content"]) == {
            "multipart/form-data",
            "application/json",
        }
        assert [option["name"] for option in operation["parameters"]] == ["provenance"]
        assert set(operation["responses"]) >= {"200", "400", "401", "408", "413", "415", "429"}
        example = operation["responses"]["200"]["content"]["application/json"]["example"]
        assert [list(each) for each in take(example)] == [list(row)]
        assert math.isclose(sum(take(example)[0][name] for name in CLASSES), 1, abs_tol=1e-3)


def test_the_page_needs_no_other_server(stub):
    answer = stub.get("/docs")
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", answer.text)
    assert "connect-src 'self'" in answer.headers["content-security-policy"]
    assert stub.get("/redoc").status_code == 404
