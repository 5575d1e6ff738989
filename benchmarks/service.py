"""How does the HTTP service compare with calling `predict_photos` in a loop?

    python benchmarks/service.py

A new process serves on the loopback interface; another one is its clients, each with a connection
that it keeps. Each number of clients is timed alternately with a loop that calls `predict_photos`
with one photo after the other, with the model loaded before. The clients need processors too, which
the loop does not, so the CPU time that both spend on a photo is compared as well.

Afterwards, the memory of the service's process is read while it handles 10,000 requests.

Writes benchmarks/results/service.json and a Markdown table next to it.
"""

import io
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from statistics import median, quantiles

import psutil
from _common import argument_parser, markdown_table, write_result
from PIL import Image
from skimage.data import astronaut

from fer_sklearn import FaceReader, predict_photos

CLIENTS = (1, 8, 32)
N_ROUNDS, N_PHOTOS = 3, 64
N_MEMORY, MEMORY_AT = 10_000, (1_000, 2_500, 5_000, 7_500, 10_000)
LEAST_RATIO = 0.7
HEAD, TAIL = (
    b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n',
    b"\r\n",
)
FORM = {"Content-Type": "multipart/form-data; boundary=x"}


def jpeg(side):
    """Return a photo with one face as the contents of a file."""
    file = io.BytesIO()
    Image.fromarray(astronaut()).resize((side, side)).save(file, "JPEG", quality=90)
    return file.getvalue()


def send(port, n_clients, n_requests, side):
    """Send requests from `n_clients` threads; return the seconds of each, and of all."""
    body = HEAD + jpeg(side) + TAIL + b"--x--\r\n"
    shares = [n_requests // n_clients + (i < n_requests % n_clients) for i in range(n_clients)]

    def client(n_mine):
        connection = HTTPConnection("127.0.0.1", port, timeout=120)
        latencies = []
        for _ in range(n_mine):
            start = time.perf_counter()
            connection.request("POST", "/v1/faces", body, FORM)
            answer = connection.getresponse()
            (faces,) = json.loads(answer.read())
            assert answer.status == 200
            assert faces[0]["emotion"] == "happy"
            latencies.append(time.perf_counter() - start)
        connection.close()
        return latencies

    start = time.perf_counter()
    with ThreadPoolExecutor(n_clients) as pool:
        latencies = [seconds for mine in pool.map(client, shares) for seconds in mine]
    return {"seconds": time.perf_counter() - start, "latencies": latencies}


def from_elsewhere(*arguments):
    """Do `send` in another process."""
    command = [sys.executable, __file__, "--send", *map(str, arguments)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def cpu_seconds(process):
    times = process.cpu_times()
    return times.user + times.system


def loop(data, n_photos):
    """Call `predict_photos` for one photo after the other; return wall and CPU seconds.

    The model is loaded before, as the service has done.
    """
    reader = FaceReader()
    predict_photos([data], reader, progress=False)
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(n_photos):
        predict_photos([data], reader, progress=False)
    return time.perf_counter() - start, time.process_time() - cpu


def compare(process, port, data, side):
    """Time the service and the loop alternately; return a row per number of clients."""
    loop(data, 20)
    from_elsewhere(port, 8, 50, side)
    rows = []
    for n_clients in CLIENTS:
        rounds = []
        for _ in range(N_ROUNDS):
            before = cpu_seconds(process)
            sent = from_elsewhere(port, n_clients, N_PHOTOS, side)
            cpu = cpu_seconds(process) - before
            rounds.append((sent, cpu, *loop(data, N_PHOTOS)))
        rows.append(
            {
                "clients": n_clients,
                "requests_per_second": median(N_PHOTOS / sent["seconds"] for sent, *_ in rounds),
                "p95_seconds": quantiles(
                    [seconds for sent, *_ in rounds for seconds in sent["latencies"]], n=20
                )[-1],
                "loop_per_second": median(N_PHOTOS / wall for *_, wall, _ in rounds),
                "ratio": median(wall / sent["seconds"] for sent, _, wall, _ in rounds),
                "cpu_ms_per_photo": 1000 * median(cpu for _, cpu, *_ in rounds) / N_PHOTOS,
                "loop_cpu_ms_per_photo": 1000 * median(cpu for *_, cpu in rounds) / N_PHOTOS,
                "cpu_ratio": median(loop_cpu / cpu for _, cpu, _, loop_cpu in rounds),
            }
        )
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def memory(process, port):
    """Return resident megabytes after each number of requests."""
    found, n_sent = {}, 0
    for n_requests in MEMORY_AT:
        from_elsewhere(port, 8, n_requests - n_sent, 96)
        n_sent = n_requests
        found[n_requests] = process.memory_info().rss / 1e6
        print(n_requests, found[n_requests], file=sys.stderr, flush=True)
    return found


def main():
    parser = argument_parser(__doc__, data=False)
    parser.add_argument("--send", nargs=4, type=int, help="for the process of the clients")
    args = parser.parse_args()
    if args.send:
        print(json.dumps(send(*args.send)))
        return
    side = 512
    serving = subprocess.Popen(
        [sys.executable, "-m", "fer_sklearn", "serve", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    try:
        port = int(re.search(r":(\d+) ", serving.stderr.readline())[1])
        process = psutil.Process(serving.pid)
        rows = compare(process, port, jpeg(side), side)
        megabytes = memory(process, port)
    finally:
        serving.terminate()
        serving.wait()
    at_least = min(row["ratio"] for row in rows if row["clients"] >= 8)
    result = {
        "photo": f"{side} × {side} pixels, one face",
        "processors": os.process_cpu_count()
        if hasattr(os, "process_cpu_count")
        else os.cpu_count(),
        "rows": rows,
        "resident_megabytes": megabytes,
        "growth_megabytes": megabytes[N_MEMORY] - megabytes[MEMORY_AT[0]],
        "least_ratio_from_8_clients": at_least,
        "is_met": at_least >= LEAST_RATIO,
    }
    header = [
        *("clients", "requests per second", "95th percentile (ms)", "calls per second in a loop"),
        *("ratio", "CPU (ms a photo)", "CPU of a loop (ms)"),
    ]
    cells = [
        [
            str(row["clients"]),
            *(f"{row['requests_per_second']:.0f}", f"{1000 * row['p95_seconds']:.0f}"),
            *(f"{row['loop_per_second']:.0f}", f"{row['ratio']:.2f}"),
            *(f"{row['cpu_ms_per_photo']:.1f}", f"{row['loop_cpu_ms_per_photo']:.1f}"),
        ]
        for row in rows
    ]
    write_result("service", result, args.output, markdown_table(header, cells, "r"))


if __name__ == "__main__":
    main()
