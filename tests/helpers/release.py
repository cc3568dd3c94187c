"""Check what a release uploads: build it, read it, install it in each Python that is here, and generate with it.

Run by `make release-check`. It leaves the sdist and the wheel in dist/, and the SBOM of an installation in build/.
Without a package index, it builds with the packages of .venv, and installs nothing; it says what it left out.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

from readme_renderer import markdown

from helpers.pythons import SUPPORTED, FailedError, environment, has_index, install, interpreter, run

ROOT = Path(__file__).parents[2]
DIST, BUILD = ROOT / "dist", ROOT / "build"
EARLIER = ROOT / "tests/earlier/0873d01"  # a graph and its images, of an earlier commit
TOOLS = Path(sys.executable).parent
TARGET = re.compile(r'(?:src|href)="([^"]*)"')
COMPARE = """
import sys
import numpy as np
expected, images = (np.load(path).astype(int) for path in sys.argv[1:])
assert images.shape == expected.shape
sys.exit(int(abs(images - expected).max() > 1))
"""


def main() -> None:
    """Check everything, a line for each check; exit with 1 and the reason at the first that fails."""
    indexed = has_index()
    if not indexed:
        say("no package index", "the build uses the packages of .venv, and nothing is installed")
    wheel = build(isolated=indexed)
    read(wheel)
    if indexed:
        for version in SUPPORTED:
            say(f"Python {version}", _in_python(version, wheel))
        say("SBOM", str(sbom(wheel).relative_to(ROOT)))


def build(*, isolated: bool) -> Path:
    """Build dist/ as an uploader does, and return the wheel. It must be that of the tree, byte for byte."""
    shutil.rmtree(DIST, ignore_errors=True)
    command = (sys.executable, "-m", "build", *(() if isolated else ("--no-isolation",)))
    run(*command, "--outdir", DIST, cwd=ROOT)  # the sdist, and the wheel of the sdist
    (wheel,) = DIST.glob("*.whl")
    with TemporaryDirectory() as folder:
        run(*command, "--wheel", "--outdir", folder, cwd=ROOT)
        (direct,) = Path(folder).iterdir()
        if (direct.name, direct.read_bytes()) != (wheel.name, wheel.read_bytes()):
            raise FailedError(f"{wheel.name} of the sdist differs from {direct.name} of the tree")
    say("build", f"{wheel.name}, the same from the tree and from the sdist")
    return wheel


def read(wheel: Path) -> None:
    """Check the metadata, the files and the long description, and for a release what is written about it."""
    run(TOOLS / "twine", "check", "--strict", *sorted(DIST.iterdir()), cwd=ROOT)
    run(TOOLS / "check-wheel-contents", wheel, cwd=ROOT)
    page(wheel)
    say("metadata, contents, README", "good")
    version = wheel.name.split("-")[1]
    say("version", f"{version}: {_notes(version)}")


def page(wheel: Path) -> str:
    """Return the page that PyPI makes of README.md, as HTML. Raises FailedError for links that lead nowhere."""
    with ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        text = opened.read(name).decode().split("\n\n", 1)[1]
    html: str = markdown.render(text) or ""
    if not html.startswith("<h1"):
        raise FailedError(f"the page on PyPI does not render; it begins with {html[:100]!r}")
    if dead := [target for target in TARGET.findall(html) if not target.startswith(("https:", "http:", "#"))]:
        raise FailedError(f"PyPI cannot show these of README.md: {', '.join(dead)}; see pyproject.toml")
    return html


def _notes(version: str) -> str:
    """Check that a release has a section in the changelog and its version in CITATION.cff."""
    if "dev" in version:
        return "not a release, as HEAD has no tag or the tree has changes"
    if f"\n## [{version}]" not in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"):
        raise FailedError(f"CHANGELOG.md has no section [{version}]: see CONTRIBUTING.md, Release")
    if f"\nversion: {version}\n" not in (ROOT / "CITATION.cff").read_text(encoding="utf-8"):
        raise FailedError(f"CITATION.cff does not say `version: {version}`")
    return "in CHANGELOG.md and CITATION.cff"


def _in_python(version: str, wheel: Path) -> str:
    """Return what came of installing and running the wheel in a version of Python."""
    python = interpreter(version)
    if python is None:
        return "skipped, not on this machine"
    with TemporaryDirectory() as folder:
        return use(python, wheel, Path(folder))


def use(python: Path, wheel: Path, folder: Path) -> str:
    """Install the wheel in a Python, alone and with ONNX Runtime, and run it. Returns the versions it ran with."""
    programs = environment(python, folder / "environment")
    gantool, graph, cache = programs / "gantool", EARLIER / "g.onnx", {"GANTOOL_CACHE": str(folder / "cache")}
    install(programs, wheel)
    run(gantool, "--help", cwd=folder)
    say_version = "import gantool; print(gantool.__version__, end='')"
    if (found := run(programs / "python", "-c", say_version, cwd=folder)) != wheel.name.split("-")[1]:
        raise FailedError(f"{wheel.name} says that it is version {found}")
    run(gantool, "inspect", graph, cwd=folder)
    run(gantool, "generate", graph, cwd=folder, code=5)  # no engine library is installed
    install(programs, wheel, "[cpu]")
    flags = ("--seeds", "0-15", "--format", "npy", "--out", folder / "images")
    run(gantool, "generate", graph, *flags, cwd=folder, env=cache)
    images = (EARLIER / "images.npy", folder / "images/images.npy")
    run(programs / "python", "-c", COMPARE, *images, cwd=folder)
    run(gantool, "doctor", "--selftest", cwd=folder, env=cache)
    say_versions = (
        "import numpy as n, onnxruntime as o, PIL as p; print(n.__version__, o.__version__, p.__version__)"
    )
    numpy, onnxruntime, pillow = run(programs / "python", "-c", say_versions, cwd=folder).split()[-3:]
    return f"generates as before, with NumPy {numpy}, ONNX Runtime {onnxruntime}, Pillow {pillow}"


def sbom(wheel: Path) -> Path:
    """Write what `pip install gantool` brings, in the format of CycloneDX."""
    BUILD.mkdir(exist_ok=True)
    path = BUILD / f"gantool-{wheel.name.split('-')[1]}.cdx.json"
    with TemporaryDirectory() as folder:
        programs = environment(Path(sys.executable), Path(folder) / "environment")
        install(programs, wheel)
        flags = ("--output-reproducible", "--of", "JSON", "-o", path)
        run(TOOLS / "cyclonedx-py", "environment", *flags, programs / "python", cwd=ROOT)
    return path


def say(what: str, text: str) -> None:
    print(f"{what + ':':28} {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except FailedError as error:
        sys.exit(str(error))
