"""A client of `gantool serve`, with Python's standard library alone.

    python client.py [http://127.0.0.1:8000]

The token of the server, if it has one, is in the environment: GANTOOL_TOKEN.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tarfile
import time
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen


class Client:
    """Asks one server. It comes again, some times, to a server that is busy."""

    def __init__(self, server: str, token: str | None = None) -> None:
        self.server = server.rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def image(self, seed: int | str, kind: str = "png", **parameters: object) -> bytes:
        """Return the image of a seed or a mix, as in image("5+9", trunc=0.7)."""
        query = f"?{urlencode(parameters)}" if parameters else ""
        return self.ask(f"/images/{quote(str(seed), safe='+*~@')}.{kind}{query}")

    def images(self, seeds: str, **fields: object) -> dict[str, bytes]:
        """Return PNG files by name, and their marks as JSON, as in images("0-99", trunc=0.8)."""
        with tarfile.open(fileobj=io.BytesIO(self.ask("/generate", {"seeds": seeds, **fields}))) as tar:
            opened = ((member.name, tar.extractfile(member)) for member in tar)
            return {name: file.read() for name, file in opened if file}

    def ask(self, path: str, body: dict[str, object] | None = None, tries: int = 5) -> bytes:
        """Return an answer. Raises RuntimeError with the server's message for an error."""
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.server + path, data, {**self.headers, "Content-Type": "application/json"})
        for left in reversed(range(tries)):
            status, headers, content = _once(request)
            if status == 200:
                return content
            if status != 503 or not left:
                break
            time.sleep(float(headers.get("Retry-After", 1)))
        raise RuntimeError(f"{self.server}{path} answered {status}: {content.decode(errors='replace')}")


def _once(request: Request) -> tuple[int, Message, bytes]:
    """Return status, headers and body of an answer, also of an error."""
    try:
        with urlopen(request, timeout=60) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        return error.code, error.headers, error.read()


def main() -> None:
    """Fetch an image and a hundred more."""
    server = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8000"
    client = Client(server, os.environ.get("GANTOOL_TOKEN"))
    Path("seed0005.png").write_bytes(client.image(5))
    Path("mix.png").write_bytes(client.image("5+9", trunc=0.7))
    folder = Path("fetched")
    folder.mkdir(exist_ok=True)
    for name, data in client.images("0-99").items():
        (folder / Path(name).name).write_bytes(data)
    print(f"seed0005.png, mix.png, and {len(list(folder.glob('*.png')))} images in {folder}")


if __name__ == "__main__":
    main()
