"""A bundle: the manifest of a stranger in a bundle that is whole, or a tar of any bytes."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from functools import cache

from fuzz.harness import GENERATORS, put
from fuzz.mutate import json_values, mended, tar_checksums
from gantool.export.packaging.bundle import GOLDEN, MANIFEST, read


@cache
def _members() -> dict[str, bytes]:
    with tarfile.open(GENERATORS / "fp16.tar") as archive:
        return {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]


def MUTATE(data: bytes, most: int, seed: int) -> bytes:  # noqa: N802
    return (json_values if data.startswith(b"{") else mended(tar_checksums))(data, most, seed)


def seeds() -> Iterator[bytes]:
    yield _members()[MANIFEST]
    yield json.dumps({"format": 1, "precision": "fp32", "min_psnr": 40.0, "members": {}}).encode()
    yield (GENERATORS / "fp16.tar").read_bytes()
    yield _tar({**_members(), GOLDEN[3]: _members()[GOLDEN[0]]})


def run(data: bytes) -> None:
    whole = _tar({MANIFEST: data, **{k: v for k, v in _members().items() if k != MANIFEST}})
    found = read(put("g.tar", whole if data.startswith(b"{") else data))
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
