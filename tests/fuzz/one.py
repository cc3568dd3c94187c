"""Fuzz one target in this process with atheris: `python -m fuzz.one TARGET FOLDER SECONDS`."""

from __future__ import annotations

import sys
from hashlib import sha1
from pathlib import Path

MEGABYTES = 2560  # of memory; a target that needs more has a finding
TIMEOUT = 60  # seconds for one input, on a busy machine
LONGEST = 1 << 16  # bytes of an input, for targets whose seeds are shorter


def main() -> None:
    import atheris

    name, place, seconds = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    with atheris.instrument_imports(include=["gantool", "fuzz.targets"], enable_loader_override=False):
        from fuzz.harness import attempt, kept, load

        target = load(name)
    inputs = place / name
    inputs.mkdir(parents=True, exist_ok=True)
    begin = [*target.seeds(), *(path.read_bytes() for path in kept(name))]
    for data in begin:
        (inputs / sha1(data).hexdigest()).write_bytes(data)
    longest = max(LONGEST, 2 * max(map(len, begin)))
    arguments = [
        sys.argv[0],
        str(inputs),
        f"-max_total_time={seconds}",
        f"-artifact_prefix={place}/{name}-",
        f"-max_len={longest}",
        f"-timeout={TIMEOUT}",
        f"-rss_limit_mb={MEGABYTES}",
        "-print_final_stats=1",
    ]
    mutate = getattr(target, "MUTATE", None)
    options = {} if mutate is None else {"custom_mutator": mutate}
    atheris.Setup(arguments, lambda data: attempt(target, data), **options)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
