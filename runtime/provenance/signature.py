"""Signed artefacts: `g.sig` beside the files of an export, by OpenSSF model-signing with a key, offline.

It names files of its own folder with their SHA-256. Other files may lie beside them, and some may be missing: a
device needs only its engine.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantool.runtime.artifacts.sidecar import sha256, sidecar_path
from gantool.runtime.errors import (
    EngineMismatchError,
    GantoolError,
    MissingDependencyError,
    VerificationError,
)
from gantool.runtime.files import atomic
from gantool.runtime.process.terminal import message_of, short

SUFFIX = ".sig"
_KEYS = "a key of the curve P-256, P-384 or P-521 in PEM"


@dataclass(frozen=True)
class Checked:
    """A file, and what is wrong with it; "" if it is as it was signed."""

    file: Path
    problem: str

    def text(self) -> str:
        """Return a line for people."""
        return f"{self.file}  {self.problem or 'signed by this key, and unaltered'}"


def signer(key: Path) -> Callable[[Sequence[Path], Path], None]:
    """Return a function that signs files of one folder with a private key, and writes the signature there.

    Raises MissingDependencyError, and GantoolError for a file that is no such key.
    """
    try:
        from model_signing import hashing, signing
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "model_signing", "sign", "--sign") from error
    try:
        config = signing.Config().use_elliptic_key_signer(private_key=key)
    except OSError:
        raise
    except Exception as error:  # errors of cryptography have no common base
        raise GantoolError(f"{key} is not the private part of {_KEYS}, without a password") from error

    def sign(files: Sequence[Path], signature: Path) -> None:
        class Chosen(hashing.Config):  # type: ignore[misc]
            """Hashes some files of a folder: by itself, the library takes all."""

            def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Any:  # noqa: ARG002
                return super().hash(model_path, files_to_hash=list(files))

        with atomic(signature) as part:
            config.set_hashing_config(Chosen()).sign(signature.parent, part)

    return sign


def require(engines: Iterable[Path], public: Path | None) -> None:
    """Raise EngineMismatchError if an engine, or the sidecar of a plan, is not signed by a key, or altered since.

    None: signatures are not required. Raises MissingDependencyError, and GantoolError for a file that is no key.
    """
    if public is None:
        return
    for engine in engines:
        if not engine.is_file():
            raise GantoolError(f"{engine}: there is no such file")
        for checked in _of_engine(engine, public):
            if checked.problem:
                raise EngineMismatchError(f"{checked.file} {checked.problem}: it is not loaded")


def verify_signatures(files: Sequence[Path], public: Path) -> list[Checked]:
    """Check files; a folder or a signature stands for all files that are signed there.

    Raises MissingDependencyError, and GantoolError for a file that is no key, or a folder without a signature.
    """
    found = []
    for path in files:
        if path.is_dir():
            signatures = sorted(path.glob(f"*{SUFFIX}"))
            if not signatures:
                raise GantoolError(
                    f"{path} holds no signature, *{SUFFIX}: gantool export --sign KEY.pem makes one"
                )
            found += [each for signature in signatures for each in _of_signature(signature, public)]
        elif path.suffix == SUFFIX:
            found += _of_signature(path, public)
        elif not path.is_file():
            raise GantoolError(f"{path}: there is no such file")
        else:
            found += _of_engine(path, public)
    return found


def check(found: Sequence[Checked]) -> None:
    """Raise VerificationError if a file is not as it was signed."""
    if wrong := [f"{each.file} {each.problem}" for each in found if each.problem]:
        raise VerificationError("; ".join(wrong))


def _of_engine(path: Path, public: Path) -> Iterator[Checked]:
    """Check a file, and the sidecar of a plan: it is there, or it was signed."""
    signature = _beside(path)
    if signature is None:
        _signed(None, public)
        yield Checked(path, f"is not signed: there is no {path.name.partition('.')[0]}{SUFFIX} beside it")
        return
    try:
        signed = _signed(signature, public)
    except _WrongSignatureError as error:
        yield Checked(path, str(error))
        return
    sidecar = sidecar_path(path)
    there = sidecar.name in signed or (path.suffix != ".onnx" and sidecar.exists())
    for file in (path, sidecar) if there else (path,):
        yield Checked(file, _problem(file, signed, signature))


def _of_signature(signature: Path, public: Path) -> Iterator[Checked]:
    try:
        signed = _signed(signature, public)
    except _WrongSignatureError as error:
        yield Checked(signature, str(error))
        return
    for name in signed:
        file = signature.with_name(short(Path(name).name))
        yield Checked(file, _problem(file, signed, signature))


def _problem(file: Path, signed: dict[str, str], signature: Path) -> str:
    if file.name not in signed:
        return f"is not among the files that {signature.name} signs"
    if not file.is_file():
        return "is missing"
    return "" if sha256(file) == signed[file.name] else "was altered after it was signed"


def _beside(path: Path) -> Path | None:
    """Return the signature of a file: of g.fp16.onnx it is g.fp16.sig or g.sig."""
    parts = path.name.split(".")
    names = (".".join(parts[:count]) + SUFFIX for count in range(len(parts) - 1, 0, -1))
    return next((found for name in names if (found := path.with_name(name)).is_file()), None)


class _WrongSignatureError(Exception):
    """A signature that is damaged, or of another key."""


def _signed(signature: Path | None, public: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that a signature names, after a check of key and signature.

    The library itself compares a whole folder, so that here its parts are used that check a signature alone.
    """
    try:
        from model_signing._signing import sign_ec_key, sign_sigstore_pb
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "model_signing", "sign", "to check signatures") from error
    try:
        verifier = sign_ec_key.Verifier(public)
    except OSError:
        raise
    except Exception as error:  # errors of cryptography have no common base
        raise GantoolError(f"{public} is not the public part of {_KEYS}") from error
    if signature is None:
        return {}
    try:
        with redirect_stdout(sys.stderr):  # it prints a warning about signatures of old versions
            manifest = verifier.verify(sign_sigstore_pb.Signature.read(signature))
        return {
            each.identifier: each.digest.digest_hex
            for each in manifest.resource_descriptors()
            if each.digest.algorithm == "sha256"
        }
    except Exception as error:  # the signature may be anything, and each parser has its own errors
        why = message_of(error, first_sentence=True).rstrip(".")
        raise _WrongSignatureError(f"has a signature that is not of this key, or damaged ({why})") from error
