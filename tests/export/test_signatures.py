"""`export --sign`, `verify --signature` and `--require-signature`, with real keys and the library's verifier."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from shutil import copyfile, copytree

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from model_signing import signing, verifying

from field.cases import gantool
from helpers.certificates import new_key, pem, public_pem

SIGNED = ("g.fp16.onnx", "g.sig", "g.tar")


@pytest.fixture(scope="module")
def made(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with g.fp16.onnx, g.tar and g.sig, their public key, and that of somebody else."""
    folder = tmp_path_factory.mktemp("made")
    key = new_key()
    (folder / "key.pem").write_bytes(pem(key))
    (folder / "pub.pem").write_bytes(public_pem(key))
    (folder / "other.pem").write_bytes(public_pem(new_key()))
    graph = str(exported / "g.onnx")
    flags = ["--fp16", "--engine", "none", "-o", "out/g", "--bundle", "out/g.tar", "--sign", "key.pem"]
    answer = gantool(["export", graph, *flags], folder)
    assert answer.code == 0, answer.err
    assert "g.sig" in answer.out
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """Return a copy of the folder `made`, which a test may alter."""
    return copytree(made, tmp_path / "made")


def alter(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def generate(folder: Path, *flags: str, engine: str = "out/g.fp16.onnx") -> tuple[int, str]:
    command = ["generate", engine, "--provider", "cpu", "--seeds", "0", "--out", "images", *flags]
    answer = gantool(command, folder)
    assert (folder / "images").exists() == (answer.code == 0)
    return answer.code, answer.err


def test_the_library_finds_the_signature_valid(folder: Path) -> None:
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(SIGNED)
    config = verifying.Config().use_elliptic_key_verifier(public_key=folder / "pub.pem")
    (folder / "out/other.txt").write_text("not of this export")
    config.set_ignore_unsigned_files(True).verify(folder / "out", folder / "out/g.sig")
    alter(folder / "out/g.tar")
    # Without the name's quotation marks: the message escapes them when the digest's bytes hold one.
    with pytest.raises(ValueError, match=r"Hash mismatch for .*g\.tar"):
        config.verify(folder / "out", folder / "out/g.sig")


@pytest.mark.parametrize("named", ["out", "out/g.sig", "out/g.fp16.onnx", "out/g.tar"])
def test_verify_checks_files_and_folders(named: str, folder: Path) -> None:
    command = ["verify", "--signature", "pub.pem", named]
    answer = gantool(command, folder)
    assert answer.code == 0, answer.err
    assert "signed by this key" in answer.out
    for name in ("g.fp16.onnx", "g.tar"):
        alter(folder / "out" / name)
    answer = gantool([*command, "--json"], folder)
    assert answer.code == 3
    assert "was altered after it was signed" in answer.err
    assert not any(row["signed"] for row in json.loads(answer.out))


def test_verify_finds_what_is_missing_and_what_nobody_signed(folder: Path) -> None:
    (folder / "out/g.tar").unlink()
    answer = gantool("verify --signature pub.pem out", folder)
    assert (answer.code, "g.tar is missing" in answer.err) == (3, True)
    (folder / "out/g.int8.onnx").write_bytes((folder / "out/g.fp16.onnx").read_bytes())
    answer = gantool("verify --signature pub.pem out/g.int8.onnx", folder)
    assert (answer.code, "not among the files that g.sig signs" in answer.err) == (3, True)
    (folder / "empty").mkdir()
    answer = gantool("verify --signature pub.pem empty", folder)
    assert (answer.code, "holds no signature" in answer.err) == (1, True)


def test_a_signed_engine_runs_without_the_other_files(folder: Path) -> None:
    (folder / "out/g.tar").unlink()
    assert generate(folder, "--require-signature", "pub.pem")[0] == 0


def _replace_signature(folder: Path) -> None:
    (folder / "out/g.sig").write_text('{"mediaType": "x", "verificationMaterial": {}}')


REFUSED: dict[str, Callable[[Path], object]] = {
    "was altered after it was signed": lambda folder: alter(folder / "out/g.fp16.onnx"),
    "is not signed: there is no g.sig": lambda folder: (folder / "out/g.sig").unlink(),
    "not of this key": lambda folder: (folder / "other.pem").replace(folder / "pub.pem"),
    "or damaged": _replace_signature,
    "(": lambda folder: (folder / "out/g.sig").write_bytes(b"\x1b[31m\xff" * 9),
    "damaged": lambda folder: (folder / "out/g.sig").write_text("[" * 50_000),
    "is not among the files": lambda folder: (folder / "out/g.fp16.onnx").replace(folder / "out/g.new.onnx"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_generate_refuses_an_engine(message: str, folder: Path) -> None:
    REFUSED[message](folder)
    (engine,) = (str(path) for path in (folder / "out").glob("*.onnx"))
    code, said = generate(folder, "--require-signature", "pub.pem", engine=engine)
    assert code == 4
    assert message in said
    assert "it is not loaded" in said
    assert "\x1b" not in said
    if message.startswith("was altered"):
        assert "Traceback" not in generate(folder)[1]  # without the flag, the engine decides


def test_serve_refuses_an_engine(folder: Path) -> None:
    alter(folder / "out/g.fp16.onnx")
    answer = gantool("serve out/g.fp16.onnx --port 0 --require-signature pub.pem", folder)
    assert answer.code == 4
    assert "was altered after it was signed" in answer.err


def signed_plan(folder: Path, exported: Path, *names: str) -> Path:
    """Return a folder with a plan, whose files the library has signed by itself."""
    plans = folder / "plans"
    plans.mkdir()
    for name in names:
        copyfile(exported / name, plans / name)
    signing.Config().use_elliptic_key_signer(private_key=folder / "key.pem").sign(plans, plans / "g.sig")
    return plans


@pytest.mark.parametrize("altered", ["g.rtx.plan", "g.rtx.plan.json", "without g.rtx.plan.json"])
def test_a_plan_is_signed_with_its_sidecar(altered: str, folder: Path, exported: Path) -> None:
    plans = signed_plan(folder, exported, "g.rtx.plan", "g.rtx.plan.json")
    assert gantool("verify --signature pub.pem plans", folder).code == 0
    _, said = generate(folder, "--require-signature", "pub.pem", engine="plans/g.rtx.plan")
    assert "it is not loaded" not in said  # what else it says depends on the machine
    if altered.startswith("without"):
        (plans / "g.rtx.plan.json").unlink()
    else:
        alter(plans / altered)
    code, said = generate(folder, "--require-signature", "pub.pem", engine="plans/g.rtx.plan")
    assert code == 4
    assert "it is not loaded" in said


def test_a_sidecar_that_nobody_signed_is_refused(folder: Path, exported: Path) -> None:
    plans = signed_plan(folder, exported, "g.rtx.plan")
    copyfile(exported / "g.rtx.plan.json", plans / "g.rtx.plan.json")
    code, said = generate(folder, "--require-signature", "pub.pem", engine="plans/g.rtx.plan")
    assert code == 4
    assert "g.rtx.plan.json is not among the files that g.sig signs" in said


KEYS: dict[str, bytes] = {
    "no key": b"hello",
    "Ed25519": pem(ed25519.Ed25519PrivateKey.generate()),
    "another curve": pem(ec.generate_private_key(ec.SECP256K1())),
    "a password": pem(new_key(), password=b"secret"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_that_do_not_sign(kind: str, exported: Path, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(KEYS[kind])
    command = [
        "export",
        str(exported / "g.onnx"),
        *["--fp16", "--engine", "none", "-o", "g", "--sign", "key.pem"],
    ]
    answer = gantool(command, tmp_path)
    assert answer.code == 1
    assert "key.pem is not the private part of a key of the curve P-256, P-384 or P-521" in answer.err
    assert [path.name for path in tmp_path.iterdir()] == ["key.pem"]


def test_a_file_that_is_no_public_key(folder: Path) -> None:
    (folder / "pub.pem").write_text("hello")
    code, said = generate(folder, "--require-signature", "pub.pem")
    assert code == 1
    assert "pub.pem is not the public part of a key" in said
    assert generate(folder, "--require-signature", "missing.pem")[0] == 1


def test_options_that_do_not_fit(folder: Path) -> None:
    answer = gantool("export out/g.fp16.onnx -o new/g --bundle g.tar --sign key.pem", folder)
    assert (answer.code, "write the --bundle to new too" in answer.err) == (2, True)
    answer = gantool("verify --signature pub.pem out --min-psnr 40", folder)
    assert (answer.code, "compares no images" in answer.err) == (2, True)


def test_without_the_package(folder: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "model_signing"]:
        monkeypatch.setitem(sys.modules, name, None)
    code, said = generate(folder, "--require-signature", "pub.pem")
    assert (code, "needs model_signing" in said) == (5, True)
    answer = gantool("verify --signature pub.pem out", folder)
    assert answer.code == 5
    command = [
        "export",
        str(exported / "g.onnx"),
        *["--fp16", "--engine", "none", "-o", "new/g", "--sign", "key.pem"],
    ]
    answer = gantool(command, folder)
    assert (answer.code, "[sign]" in answer.err) == (5, True)
    assert not (folder / "new").exists()
