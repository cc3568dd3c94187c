"""`gantool serve`: its doors, over real HTTP."""

from __future__ import annotations

import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from conftest import run_gantool
from gantool.export.packaging import bundle
from gantool.runtime.generator import Generator
from helpers.serving import GENERATORS, Served, graph_of, serving

pytest.importorskip("starlette")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the graphs fp32.onnx, conditional.onnx and rgba.onnx."""
    made = tmp_path_factory.mktemp("served")
    for name in ("fp32", "conditional", "rgba"):
        graph_of(name, made)
    return made


@pytest.fixture(scope="module")
def served(folder: Path) -> Iterator[Served]:
    """Serve three models; fp32 is the default."""
    names = ("fp32", "conditional", "rgba")
    with serving(*(folder / f"{name}.onnx" for name in names), max_batch=8, max_streams=3) as server:
        yield server


def pixels(data: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def test_images_have_the_bytes_of_generate_in_any_batch(served: Served, folder: Path) -> None:
    run_gantool("generate", "fp32.onnx", "--seeds", "0-23,1+2", "-o", "own", cwd=folder, check=True)
    run_gantool(
        "generate", "conditional.onnx", "--seeds", "0-9", "--trunc", "0.7", "-o", "c", cwd=folder, check=True
    )
    expected = {f"/images/{seed}.png": folder / f"own/seed{seed:04d}.png" for seed in range(24)}
    expected |= {"/images/1+2.png": folder / "own/seed1+2.png"}
    expected |= {
        f"/images/{seed}.png?model=conditional&trunc=0.7": folder / f"c/seed{seed:04d}.png"
        for seed in range(10)
    }
    got: dict[str, bytes] = {}

    def ask(path: str) -> None:
        got[path] = served.ask(path).body

    threads = [threading.Thread(target=ask, args=(path,)) for path in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == {path: file.read_bytes() for path, file in expected.items()}
    assert max(map(int, _sizes(served))) > 1, "nothing was batched"


def _sizes(served: Served) -> list[str]:
    """Return the limits of batch sizes up to which there was a batch that the limit before did not hold."""
    lines = [
        line for line in served.ask("/metrics").body.decode().splitlines() if "batch_images_bucket" in line
    ]
    found, before = [], 0
    for line in lines:
        limit, count = line.split('le="')[1].split('"')[0], int(line.split()[-1])
        before = 0 if limit == "1" else before
        if count > before and limit != "+Inf":
            found.append(limit)
        before = count
    return found


def test_the_golden_images_of_a_bundle_are_served(served: Served) -> None:
    golden = bundle.read(GENERATORS / "fp32.tar").golden
    for seed, image in enumerate(golden):
        made = pixels(served.ask(f"/images/{seed}.png").body)
        assert np.abs(made.astype(int) - image).max() <= 1


def test_an_image_in_other_formats_and_sizes(served: Served, folder: Path) -> None:
    own = pixels(served.ask("/images/5.png").body)
    np.testing.assert_array_equal(pixels(served.ask("/images/5.webp").body), own)
    jpeg = served.ask("/images/5.jpg")
    assert jpeg.headers["content-type"] == "image/jpeg"
    flags = ("--seeds", "5", "--format", "jpg", "-o", "jpg")
    run_gantool("generate", "fp32.onnx", *flags, cwd=folder, check=True)
    assert jpeg.body == (folder / "jpg/seed0005.jpg").read_bytes()
    large = served.ask("/images/5.png?size=64")
    assert pixels(large.body).shape == (64, 64, 3)
    assert pixels(served.ask("/images/5.jpg?model=rgba").body).shape == (16, 16, 3)  # on white
    assert pixels(served.ask("/images/5.png?model=rgba").body).shape == (16, 16, 4)
    assert (
        served.ask("/images/5.png?size=1025").error
        == "size 1,025: this server makes images of up to 1,024 pixels"
    )


def test_an_image_is_cached_by_its_engine_and_parameters(served: Served) -> None:
    first = served.ask("/images/5.png")
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "public, max-age=86400, immutable"
    made = served.service.metrics.images["fp32"]
    for given in (tag, f'W/{tag}, "other"', "*"):
        again = served.ask("/images/5.png", if_none_match=given)
        assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    assert served.service.metrics.images["fp32"] == made  # none was computed
    others = ("6.png", "5.webp", "5.png?trunc=0.5", "5.png?size=20", "5.png?model=rgba")
    tags = [served.ask(f"/images/{other}").headers["etag"] for other in others]
    assert len({tag, *tags}) == 6
    assert served.ask("/images/6.png", if_none_match=tag).status == 200
    assert served.ask("/images/005.png").headers["etag"] == tag


def test_a_grid_is_the_sheet_of_generate(served: Served, folder: Path) -> None:
    flags = ("--seeds", "0-10", "--grid", "4x3", "-o", "sheet")
    run_gantool("generate", "fp32.onnx", *flags, cwd=folder, check=True)
    path = "/grid.png?seeds=0-10&columns=4"
    assert served.ask(path).body == (folder / "sheet/grid.png").read_bytes()
    assert served.ask(path, if_none_match=served.ask(path).headers["etag"]).status == 304
    assert pixels(served.ask("/grid.png").body).shape == (128, 128, 3)  # 64 images: more than a batch


def test_a_tar_has_what_generate_writes(served: Served, folder: Path) -> None:
    flags = ("--seeds", "0-19", "--format", "tar", "-o", "tars")
    run_gantool("generate", "conditional.onnx", *flags, cwd=folder, check=True)
    answer = served.post("/generate", {"model": "conditional", "seeds": list(range(20))})
    assert answer.headers["content-type"] == "application/x-tar"
    with (
        tarfile.open(folder / "tars/images-000000.tar") as one,
        tarfile.open(fileobj=io.BytesIO(answer.body)) as other,
    ):
        assert _members(one) == _members(other)


def _members(tar: tarfile.TarFile) -> dict[str, bytes]:
    found = {}
    for member in tar:
        file = tar.extractfile(member)
        assert file
        found[member.name] = file.read()
    return found


@pytest.mark.parametrize("count", [3, 20])  # a batch, and more
def test_an_array_of_seeds_and_of_z(served: Served, folder: Path, count: int) -> None:
    with Generator.load(folder / "conditional.onnx") as generator:
        expected = generator.images(range(count), label=2)
        z = generator.z(range(count))
    by_seed = {"seeds": f"0-{count - 1}", "class": 2, "model": "conditional"}
    by_z = {"z": z.tolist(), "class": [2] * count, "model": "conditional"}
    for given in (by_seed, by_z):
        for asked in ({"accept": "application/x-npy"}, {}):
            answer = served.post(f"/generate{'' if asked else '?format=npy'}", given, **asked)
            np.testing.assert_array_equal(np.load(io.BytesIO(answer.body)), expected)


def test_a_multipart_message_has_an_image_a_part(served: Served) -> None:
    answer = served.post("/generate", {"seeds": [3, "1+2"], "image": "webp"}, accept="multipart/mixed")
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.body).get_payload()
    assert [part.get_filename() for part in parts] == ["seed0003.webp", "seed1+2.webp"]  # type: ignore[union-attr]
    image = parts[0].get_payload(decode=True)  # type: ignore[union-attr, index]
    assert image == served.ask("/images/3.webp").body


@pytest.mark.parametrize("kind", ["webp", "gif", "mp4"])
def test_a_film_is_that_of_morph(served: Served, folder: Path, kind: str) -> None:
    if kind == "mp4":
        pytest.importorskip("av")
    flags = ("--seeds", "1,5,9", "--frames", "4", "-o", f"m.{kind}", "--force")
    run_gantool("morph", "fp32.onnx", *flags, cwd=folder, check=True)
    answer = served.ask(f"/morph.{kind}?seeds=1,5,9&frames=4")
    assert answer.body == (folder / f"m.{kind}").read_bytes()
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert (
        served.ask(f"/morph.{kind}?seeds=1,5,9&frames=4", if_none_match=answer.headers["etag"]).status == 304
    )


def test_a_film_that_nobody_waits_for_frees_its_encoder(served: Served) -> None:
    pytest.importorskip("av")
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("needs /proc")
    counts = []
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(
                b"GET /morph.mp4?seeds=0-9&frames=60&upscale=8 HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            while not served.service.line.waiting:
                time.sleep(0.005)
            time.sleep(0.1)  # it encodes
        time.sleep(1)
        counts.append(len(list(tasks.iterdir())))
    assert counts[-1] <= counts[1] + 4, counts  # threads of the pool, which stay


def test_a_film_shows_other_walks(served: Served) -> None:
    answer = served.ask("/morph.webp?seeds=1,2&frames=3&loop=true&upscale=2")
    with Image.open(io.BytesIO(answer.body)) as film:
        assert film.size == (32, 32)
        assert len(list(ImageSequence.Iterator(film))) == 6
    assert "601 frames" in served.ask("/morph.webp?seeds=1,2&frames=600").error
    assert "give a smaller upscale" in served.ask("/morph.webp?seeds=1,2&frames=2&upscale=100").error


def test_a_stream_of_jpegs_as_cameras_send_it(served: Served) -> None:
    answer = served.ask("/stream.mjpg?seeds=3,4&fps=60&frames=5&size=32")
    kind, _, boundary = answer.headers["content-type"].partition("; boundary=")
    assert kind == "multipart/x-mixed-replace"
    parts = answer.body.split(f"--{boundary}\r\n".encode())
    assert parts[0] == parts[-1] == b""
    images = []
    for part in parts[1:-1]:
        head, _, rest = part.partition(b"\r\n\r\n")
        length = int(dict(line.split(b": ") for line in head.split(b"\r\n"))[b"Content-Length"])
        images.append(rest[:length])
        assert rest[length:] == b"\r\n"
    assert len(images) == 5
    assert images[0] == images[2] != images[1]
    assert images[0] == served.ask("/images/3.jpg?size=32").body


def test_a_client_that_goes_away_frees_its_place(served: Served) -> None:
    streams = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(3)]
    for client in streams:
        client.sendall(b"GET /stream.mjpg?fps=50 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(100)
    full = served.ask("/stream.mjpg?frames=1")
    assert (full.status, full.headers["retry-after"]) == (503, "1")
    assert full.error == "the server has 3 long answers in progress, and takes no more: come again"
    assert served.ask("/images/1.png").status == 200
    for client in streams:
        client.close()
    while served.service.streams:
        time.sleep(0.01)
    assert served.ask("/stream.mjpg?frames=1").status == 200
    assert served.service.line.waiting == 0


def test_health_metrics_and_the_page(served: Served) -> None:
    assert served.ask("/healthz").json == {"status": "ok"}
    deep = served.ask("/healthz?deep=1")
    assert deep.status == 200
    assert deep.json["models"]["rgba"] == {"golden": 10, "equal": 10}
    assert served.ask("/readyz").json == {"status": "ready", "models": ["fp32", "conditional", "rgba"]}
    assert "gantool" in served.ask("/").body.decode()
    info = served.ask("/page/info.json?model=conditional").json
    assert (info["name"], len(info["classes"])) == ("conditional", 5)
    assert info["models"] == ["fp32", "conditional", "rgba"]


def test_prometheus_reads_the_metrics(served: Served) -> None:
    parser = pytest.importorskip("prometheus_client.parser")
    served.ask("/images/1.png")
    text = served.ask("/metrics").body.decode()
    found = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert found["gantool_requests"].type == "counter"
    assert found["gantool_batch_images"].type == "histogram"
    values = {(s.name, *sorted(s.labels.items())): s.value for s in found["gantool_images"].samples}
    assert values["gantool_images_total", ("model", "fp32")] == served.service.metrics.images["fp32"]
    counts = [s for s in found["gantool_batch_images"].samples if s.labels.get("model") == "fp32"]
    buckets = [s.value for s in counts if s.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == next(s.value for s in counts if s.name.endswith("_count"))


def test_golden_seeds_show_weights_that_changed(folder: Path) -> None:
    with serving(folder / "fp32.onnx", folder / "rgba.onnx") as server:
        golden = server.service.golden["rgba"]
        golden[3, 0, 0, 0] ^= 1  # as if the engine made another image now
        answer = server.ask("/healthz?deep=1")
        assert answer.status == 503
        assert answer.json["models"] == {
            "fp32": {"golden": 10, "equal": 10},
            "rgba": {"golden": 10, "equal": 9},
        }


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/nope", 404, "there is no '/nope': /openapi.json lists what there is"),
        ("/images/5.bmp", 404, "there is no image '5.bmp': ask for .png, .webp or .jpg, as in 5.png"),
        ("/images/0-3.png", 400, "seeds '0-3': 4 images, expected one"),
        ("/images/5.png?trunk=1", 400, "'trunk' is not a parameter: did you mean trunc? "),
        ("/images/5.png?trunc=1&trunc=2", 400, "trunc is there twice: give it once"),
        ("/images/5.png?trunc=much", 400, "trunc 'much': give a number"),
        ("/images/5.png?size=0", 400, "size 0: give a whole number from 1"),
        ("/images/5.png?class=1", 400, "class 1 is for conditional generators: this engine takes no label"),
        ("/images/5.png?model=conditional&class=7", 400, "class 7: the classes of this engine are 0 to 4"),
        ("/images/5.png?model=x", 404, "there is no model 'x': this server has fp32, conditional, rgba"),
        ("/grid.png?seeds=0-4294967295", 400, "4,294,967,296 images: this server makes 1 to 256 a request"),
        ("/morph.avi", 404, "there is no 'morph.avi': ask for morph.mp4, morph.webp, morph.gif"),
        ("/morph.gif?fps=60", 400, "fps 60: a gif has at most 50"),
        ("/stream.mjpg?fps=1000", 400, "fps 1000: give a number from 0.1 to 60"),
        ("/generate", 405, "/generate does not take GET"),
    ],
)
def test_errors_of_a_client(served: Served, path: str, status: int, error: str) -> None:
    answer = served.ask(path)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.error.startswith(error)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, 'give "seeds" or "z", as in {"seeds": "0-9"}'),
        ({"seeds": "0", "z": [[0]]}, 'give "seeds" or "z"'),
        ({"seeds": [-1]}, "seeds: -1 is outside 0 to 4294967295"),
        ({"seeds": [True]}, "seeds: give text"),
        ({"seeds": list(range(300))}, "300 images: this server makes 1 to 256 a request"),
        ({"seeds": "0", "size": 3}, "'size' is not a field: give model, seeds, z, trunc, class, image"),
        ({"seeds": "0", "image": "bmp"}, "image: give png, webp, jpg"),
        ({"seeds": "0", "trunc": "1"}, "trunc: give a number"),
        ({"seeds": "0", "trunc": 10**400}, "trunc: give a number"),
        ({"z": [[1, 2]]}, "z is int64 [1, 2]: this engine takes numbers, float32 [N, 16]"),
        ({"z": [[1], [1, 2]]}, "z: "),
        ({"z": [[float("nan")] * 16]}, "z: row 0 has NaN"),
        ([1], "the body is not a JSON object"),
    ],
)
def test_errors_in_the_body(served: Served, given: object, error: str) -> None:
    answer = served.post("/generate", given)
    assert answer.status == 400
    assert answer.error.startswith(error)


def test_bodies_that_are_not_read(served: Served) -> None:
    large = served.ask("/generate", "POST", b" " * (4 << 20) + b"{}", content_type="application/json")
    assert (large.status, large.error) == (413, "the body is larger than 4 MiB")
    other = served.ask("/generate", "POST", b"seeds=1", content_type="application/x-www-form-urlencoded")
    assert other.status == 415
    packed = served.ask("/generate", "POST", b"x", content_type="application/json", content_encoding="gzip")
    assert packed.status == 415
    wrong = served.ask("/generate", "POST", b"{seeds", content_type="application/json")
    assert wrong.error.startswith("the body is not JSON: ")
    assert "Error" not in wrong.error
    deep = served.ask("/generate", "POST", b"[" * 200_000, content_type="application/json")
    assert deep.status == 400


def test_a_token_opens_all_but_the_page_and_health(folder: Path) -> None:
    with serving(folder / "fp32.onnx", token="sesame") as server:
        assert [server.ask(path).status for path in ("/", "/healthz", "/readyz", "/v2/health/ready")] == [
            200
        ] * 4
        for path in (
            "/images/1.png",
            "/page/info.json",
            "/metrics",
            "/openapi.json",
            "/healthz?deep=1",
            "/healthz?de%65p=1",
            "/nope",
        ):
            answer = server.ask(path)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert server.ask(path, authorization="Bearer sesam").status == 401
            assert server.ask(path, authorization="Basic sesame").status == 401
            assert server.ask(path, authorization="Bearer sesame").status in (200, 404)
        own = server.ask("/images/1.png", authorization="bearer sesame")
        assert own.headers["cache-control"] == "private, max-age=86400, immutable"
        assert server.ask("/openapi.json", authorization="Bearer sesame").json["components"][
            "securitySchemes"
        ]


def test_names_of_the_server_and_other_sites(folder: Path) -> None:
    site = "https://example.org"
    with serving(folder / "fp32.onnx", cors=(site,)) as server:
        evil = server.ask("/images/1.png", host="evil.example:8000")
        assert (evil.status, evil.error) == (
            421,
            "this server is not called 'evil.example': see --allowed-hosts",
        )
        assert server.ask("/images/1.png", host="LOCALHOST:1").status == 200
        assert server.ask("/images/1.png", host="[::1]:8000").status == 200
        own = server.ask("/images/1.png", origin=site)
        assert own.headers["access-control-allow-origin"] == site
        assert (
            "access-control-allow-origin"
            not in server.ask("/images/1.png", origin="https://evil.example").headers
        )
        asked = {"access_control_request_method": "POST", "access_control_request_headers": "authorization"}
        before = server.ask("/generate", "OPTIONS", None, origin=site, **asked)
        assert before.status == 200
        assert "POST" in before.headers["access-control-allow-methods"]


def test_every_door_is_in_the_description(served: Served) -> None:
    found = served.ask("/openapi.json").json
    image = found["paths"]["/images/{file}"]["get"]
    assert [each["name"] for each in image["parameters"]] == ["file", "size", "model", "trunc", "class"]
    for path, methods in found["paths"].items():
        filled = path.replace("{file}", "5.png").replace("{kind}", "gif").replace("{model}", "fp32")
        filled = filled.replace("{version}", "1") + (
            "?frames=2" if "morph" in path or "stream" in path else ""
        )
        for method in methods:
            answer = served.post(filled, {}) if method == "post" else served.ask(filled)
            assert str(answer.status) in {"200", *methods[method]["responses"]}
            assert answer.status in (200, 400)


def test_a_client_that_says_nothing_is_hung_up_on(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantool.runtime.serve.connection.HEAD_SECONDS", 0.2)
    for said in (b"", b"GET / HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET"):
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(said)
            client.settimeout(30)
            while client.recv(1000):
                pass
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nx: " + b"y" * 100_000)
        assert b"400" in client.recv(100)


def test_the_log_of_requests(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    from gantool.runtime.serve.gate import JsonLines

    with caplog.at_level("INFO", "gantool"), serving(folder / "fp32.onnx") as server:
        server.ask("/images/1.png?size=20")
        server.ask("/x%0ay", x_forwarded_for="\x9b31m")
    lines = [record for record in caplog.records if hasattr(record, "request")]
    assert lines[0].getMessage().startswith('127.0.0.1 "GET /images/1.png?size=20" 200, ')
    assert lines[1].getMessage().startswith('127.0.0.1 "GET /x%0ay" 404')
    found = json.loads(JsonLines().format(lines[0]))
    assert (found["status"], found["path"], found["level"]) == (200, "/images/1.png?size=20", "info")
