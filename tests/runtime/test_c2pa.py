"""`--mark c2pa`: C2PA's own reader finds the signed manifest valid, and notices what changes afterwards."""

from __future__ import annotations

import io
import json
import struct
import sys
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import c2pa
import onnx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID
from PIL import Image

from field.cases import gantool
from gantool.runtime.provenance.read import read_mark
from gantool.runtime.provenance.xmp import SOURCE_TYPE
from helpers.certificates import Files, Private, issue, new_key, pem
from helpers.tiny import tiny_graph

FORMATS = ("png", "webp", "jpg", "tiff")
CHANNELS = {"rgba": 4, "rgb": 3, "grey": 1}
MIME = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg", "tiff": "image/tiff"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the graphs rgba.onnx, rgb.onnx and grey.onnx, and the files of a signer."""
    folder = tmp_path_factory.mktemp("signed")
    for name, channels in CHANNELS.items():
        (folder / f"{name}.onnx").write_bytes(tiny_graph(channels=channels))
    issue(folder)
    return folder


def generate(folder: Path, out: Path, *flags: str, graph: str = "rgb", signer: Files | None = None) -> str:
    """Make signed images of seeds 0 to 3; return what the command says."""
    chain, key = (signer.chain, signer.key) if signer else (folder / "chain.pem", folder / "key.pem")
    signed = ("--mark", "c2pa", "--c2pa-cert", str(chain), "--c2pa-key", str(key))
    where = ("--provider", "cpu", "--seeds", "0-3", "--out", str(out))
    answer = gantool(["generate", f"{graph}.onnx", *where, *signed, *flags], folder)
    assert answer.code == 0, answer.err
    return answer.out


def read(data: bytes, kind: str, context: c2pa.Context | None = None) -> dict[str, Any]:
    """Return what C2PA's own reader finds."""
    with c2pa.Reader(MIME[kind], io.BytesIO(data), context=context) as reader:
        return dict(json.loads(reader.json()))


def inspected(path: Path) -> Any:
    answer = gantool(["inspect", path.name, "--json"], path.parent)
    assert answer.code == 0, answer.err
    return json.loads(answer.out)["C2PA"]


@pytest.mark.parametrize("graph", CHANNELS)
@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_is_signed(kind: str, graph: str, folder: Path, tmp_path: Path) -> None:
    ground = ("--background", "white") if (kind, graph) == ("jpg", "rgba") else ()
    generate(folder, tmp_path, "--format", kind, *ground, graph=graph)
    path = tmp_path / f"seed0003.{kind}"
    found = read(path.read_bytes(), kind)
    assert found["validation_state"] == "Valid"
    (manifest,) = found["manifests"].values()
    (actions,) = (each for each in manifest["assertions"] if each["label"].startswith("c2pa.actions"))
    assert actions["data"]["actions"] == [{"action": "c2pa.created", "digitalSourceType": SOURCE_TYPE}]
    assert manifest["claim_generator_info"][0]["name"] == "gantool"
    assert manifest["signature_info"]["common_name"] == "A. Signer"
    assert "time" not in manifest["signature_info"]
    assert "thumbnail" not in manifest
    mark = read_mark(path)
    assert mark
    assert mark.record
    assert mark.record.seed == "3"


def test_16_bits_are_signed(folder: Path, tmp_path: Path) -> None:
    graph = onnx.load_from_string(tiny_graph(channels=1))
    (cast,) = (node for node in graph.graph.node if node.op_type == "Cast")
    cast.attribute[0].i = graph.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.UINT16
    onnx.save(graph, tmp_path / "deep.onnx")
    for kind in ("png", "tiff"):
        signer = Files(folder / "chain.pem", folder / "key.pem", folder / "root.pem")
        generate(tmp_path, tmp_path / kind, "--format", kind, graph="deep", signer=signer)
        found = read((tmp_path / kind / f"seed0000.{kind}").read_bytes(), kind)
        assert found["validation_state"] == "Valid"


def test_who_trusts_the_authority_trusts_the_images(folder: Path, tmp_path: Path) -> None:
    generate(folder, tmp_path)
    settings = {"trust": {"trust_anchors": (folder / "root.pem").read_text()}}
    context = c2pa.Context(c2pa.Settings.from_dict(settings))
    assert read((tmp_path / "seed0000.png").read_bytes(), "png", context)["validation_state"] == "Trusted"


@pytest.mark.parametrize("kind", FORMATS)
def test_a_changed_byte_is_noticed(kind: str, folder: Path, tmp_path: Path) -> None:
    generate(folder, tmp_path, "--format", kind)
    path = tmp_path / f"seed0000.{kind}"
    assert inspected(path)["valid"] == "yes"
    data = path.read_bytes()
    graph = data.index(b'"graph"')  # in the record of the mark
    path.write_bytes(data[:graph] + b'"Graph"' + data[graph + 7 :])
    assert read(path.read_bytes(), kind)["validation_state"] == "Invalid"


def test_inspect_says_who_signed_and_whether_it_is_valid(folder: Path, tmp_path: Path) -> None:
    generate(folder, tmp_path)
    path = tmp_path / "seed0000.png"
    found = inspected(path)
    assert (found["valid"], found["actions"], found["digital source type"]) == (
        *("yes", "c2pa.created"),
        SOURCE_TYPE,
    )
    assert found["signed by"] == "A. Signer, Example Ltd. (whom the reader does not know)"
    assert found["made by"].startswith("gantool ")
    assert "C2PA " in gantool("inspect seed0000.png", tmp_path).out
    data = bytearray(path.read_bytes())
    data[data.index(b"IDAT") + 8] ^= 1
    path.write_bytes(data)
    assert "assertion.dataHash.mismatch" in inspected(path)["valid"]


def test_inspect_says_that_nobody_signed(folder: Path, tmp_path: Path) -> None:
    command = ["generate", "rgb.onnx", "--provider", "cpu", "--seeds", "0", "--out", str(tmp_path)]
    assert gantool(command, folder).code == 0
    assert inspected(tmp_path / "seed0000.png") == "none"
    Image.new("RGB", (4, 4)).save(tmp_path / "plain.png")
    assert inspected(tmp_path / "plain.png") == "none"


def test_signed_images_are_authentic(folder: Path, tmp_path: Path) -> None:
    for kind in FORMATS:
        generate(folder, tmp_path, "--format", kind)
    answer = gantool(["authenticate", str(tmp_path), "-e", "rgb.onnx", "--provider", "cpu"], folder)
    assert answer.code == 0
    assert answer.out.count("authentic, bit for bit") == 16


def test_the_sheet_and_the_members_of_shards_are_signed(folder: Path, tmp_path: Path) -> None:
    generate(folder, tmp_path, "--format", "tar", "--grid", "2x2")
    assert read((tmp_path / "grid.png").read_bytes(), "png")["validation_state"] == "Valid"
    with tarfile.open(tmp_path / "images-000000.tar") as tar:
        images = [tar.extractfile(info).read() for info in tar if info.name.endswith(".png")]  # type: ignore[union-attr]
    assert [read(data, "png")["validation_state"] for data in images] == ["Valid"] * 4


@pytest.mark.parametrize("kind", [*FORMATS, "tar"])
def test_a_run_is_gone_on_with(kind: str, folder: Path, tmp_path: Path) -> None:
    generate(folder, tmp_path, "--format", kind)
    assert "4 of them were already there" in generate(folder, tmp_path, "--format", kind, "--resume")
    if kind != "tar":
        path = tmp_path / f"seed0002.{kind}"
        path.write_bytes(path.read_bytes()[:-1])
        cut = tmp_path / f"seed0001.{kind}"
        cut.write_bytes(cut.read_bytes()[:-3100])
        assert "2 of them were already there" in generate(folder, tmp_path, "--format", kind, "--resume")
        assert read(path.read_bytes(), kind)["validation_state"] == "Valid"


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(ec.generate_private_key(ec.SECP521R1()), id="P-521"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="Ed25519"),
        pytest.param(rsa.generate_private_key(public_exponent=65537, key_size=2048), id="RSA"),
    ],
)
def test_keys_of_every_kind_sign(key: Private, folder: Path, tmp_path: Path) -> None:
    generate(folder, tmp_path / "out", signer=issue(tmp_path, key))
    assert read((tmp_path / "out/seed0000.png").read_bytes(), "png")["validation_state"] == "Valid"


def test_a_key_as_openssl_ecparam_writes_it_signs(folder: Path, tmp_path: Path) -> None:
    key = new_key()
    signer = issue(tmp_path, key)
    signer.key.write_bytes(pem(key, PrivateFormat.TraditionalOpenSSL))
    generate(folder, tmp_path / "out", signer=signer)
    assert read((tmp_path / "out/seed0000.png").read_bytes(), "png")["validation_state"] == "Valid"


def refused(folder: Path, out: Path, flags: list[str]) -> tuple[int, str]:
    """Return the exit code and the message of a command that fails before it makes anything."""
    command = ["generate", "rgb.onnx", "--provider", "cpu", "--seeds", "0", "--out", str(out)]
    answer = gantool([*command, *flags], folder)
    assert not out.exists()
    return answer.code, answer.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--mark c2pa", "--mark c2pa needs --c2pa-cert"),
        ("--mark c2pa --c2pa-cert chain.pem", "--mark c2pa needs --c2pa-key"),
        ("--c2pa-cert chain.pem", "--c2pa-cert is for signatures: add --mark c2pa"),
        ("--mark none --c2pa-key key.pem", "--c2pa-key is for signatures"),
        ("--mark c2pa --c2pa-cert chain.pem --c2pa-key key.pem --format npy", "--format npy has none"),
        ("--mark c2pa --c2pa-cert chain.pem --c2pa-key key.pem --format -", "--format - has none"),
    ],
)
def test_options_that_do_not_fit(flags: str, message: str, folder: Path, tmp_path: Path) -> None:
    code, said = refused(folder, tmp_path / "out", flags.split())
    assert code == 2
    assert message in said


def put(path: Path, data: bytes) -> None:
    path.write_bytes(data)


SERVER = (ExtendedKeyUsageOID.SERVER_AUTH,)
WRONG: dict[str, Callable[[Path], object]] = {
    "key.pem is not the key of the first certificate": lambda at: put(issue(at).key, pem(new_key())),
    "key.pem is not a private key in PEM": lambda at: put(issue(at).key, b"-----BEGIN PRIVATE KEY-----"),
    "key.pem is encrypted": lambda at: put(issue(at).key, pem(new_key(), password=b"secret")),
    "key.pem is a key that C2PA does not take": lambda at: issue(at, ec.generate_private_key(ec.SECP256K1())),
    "chain.pem is not a chain of certificates": lambda at: put(issue(at).chain, b"hello"),
    "was not issued by the certificate after it": lambda at: put(
        issue(at).chain,
        (at / "chain.pem").read_bytes().removesuffix((at / "root.pem").read_bytes())
        + issue(at / "other").root.read_bytes(),
    ),
    "not valid at time of signing": lambda at: issue(at, days=(-9, -2)),
    "the certificate is invalid": lambda at: issue(at, usage=SERVER),
    "chain.pem": lambda at: issue(at).chain.unlink(),
}


@pytest.mark.parametrize("message", WRONG)
def test_signers_that_cannot_sign(message: str, folder: Path, tmp_path: Path) -> None:
    WRONG[message](tmp_path)
    flags = ["--mark", "c2pa", "--c2pa-cert", str(tmp_path / "chain.pem")]
    code, said = refused(folder, tmp_path / "out", [*flags, "--c2pa-key", str(tmp_path / "key.pem")])
    assert code == 1
    assert message in said
    assert "Traceback" not in said


def test_without_the_package(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate(folder, tmp_path)
    monkeypatch.setitem(sys.modules, "c2pa", None)
    flags = ["--mark", "c2pa", "--c2pa-cert", "chain.pem", "--c2pa-key", "key.pem"]
    code, said = refused(folder, tmp_path / "out", flags)
    assert code == 5
    assert "needs c2pa-python, which is not installed" in said
    assert inspected(tmp_path / "seed0000.png").startswith("a signed manifest is there; to read it: pip ")


def test_hostile_manifests_do_no_harm(folder: Path, tmp_path: Path) -> None:
    generate(folder, tmp_path / "out", signer=issue(tmp_path, name="\x1b[31m\u202eRed"))
    assert "\x1b" not in gantool("inspect seed0000.png", tmp_path / "out").out
    assert "\u202e" not in str(inspected(tmp_path / "out/seed0000.png"))
    data = (tmp_path / "out/seed0000.png").read_bytes()
    box = data.index(b"jumdc2pa")
    path = tmp_path / "x.png"
    size = int.from_bytes(data[box - 12 : box - 8], "big")
    start, end = box - 16, box - 12 + size  # of the chunk after its length
    noticed = 0
    for at in range(box + 30, end - 50, 97):
        chunk = data[start:at] + b"\xff" * 50 + data[at + 50 : end]
        path.write_bytes(data[:start] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[end + 4 :])
        found = inspected(path)
        noticed += "damaged" in found or found["valid"] != "yes"
    assert noticed > 10  # some bytes are padding
