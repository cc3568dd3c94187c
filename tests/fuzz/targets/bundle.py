"""A bundle: the manifest or a golden image of a stranger in an otherwise whole bundle, or a tar of any bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from functools import cache
from hashlib import sha256

from fuzz.harness import GENERATORS, put
from fuzz.mutate import json_values, mended, png_checksums, tar_checksums
from gantool.export.packaging.bundle import GOLDEN, MANIFEST, read

_PNG = b"\x89PNG"  # how a golden image begins


@cache
def _members() -> dict[str, bytes]:
    with tarfile.open(GENERATORS / "fp16.tar") as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def MUTATE(data: bytes, most: int, seed: int) -> bytes:  # noqa: N802
    if data.startswith(b"{"):
        return json_values(data, most, seed)
    return mended(png_checksums if data.startswith(_PNG) else tar_checksums)(data, most, seed)


def seeds() -> Iterator[bytes]:
    yield _members()[MANIFEST]
    yield json.dumps({"format": 1, "precision": "fp32", "min_psnr": 40.0, "members": {}}).encode()
    yield _members()[GOLDEN[0]]
    yield (GENERATORS / "fp16.tar").read_bytes()
    yield _tar({**_members(), GOLDEN[3]: _members()[GOLDEN[0]]})


def run(data: bytes) -> None:
    if data.startswith(b"{"):
        data = _tar({**_members(), MANIFEST: data})
    elif data.startswith(_PNG):
        manifest = json.loads(_members()[MANIFEST])
        manifest["members"][GOLDEN[0]] = {"size": len(data), "sha256": sha256(data).hexdigest()}
        data = _tar({**_members(), MANIFEST: json.dumps(manifest).encode(), GOLDEN[0]: data})
    found = read(put("g.tar", data))
    assert len(found.golden) == len(GOLDEN)
    assert 0 < found.min_psnr < 200


def _tar(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()
