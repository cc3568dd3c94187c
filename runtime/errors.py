"""Every error that gantool raises on purpose, with its exit code.

    GantoolError                 1    the work failed: a file is missing, damaged or of the wrong kind
    ├── UsageError               2    the command line or an argument is wrong
    ├── VerificationError        3    the artifact was made, but does not match its reference
    ├── EngineMismatchError      4    the engine is intact, but not for this device, driver, library or budget
    └── MissingDependencyError   5    an optional package is not installed

An interrupted command exits with 130. A message says what was found, what was expected and what to do next, if
possible in one line. The command line prints it without a traceback.
"""

from __future__ import annotations


class GantoolError(Exception):
    """The work failed. The base class of all errors."""

    exit_code = 1


class UsageError(GantoolError):
    """An argument has a value that cannot be used."""

    exit_code = 2


class VerificationError(GantoolError):
    """The artifact differs from its reference by more than the limit."""

    exit_code = 3


class EngineMismatchError(GantoolError):
    """The engine cannot run here: it needs another library, version or device, a driver, or a larger budget."""

    exit_code = 4


class MissingDependencyError(GantoolError):
    """An optional package is needed but not installed."""

    exit_code = 5

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        self.command = pip_install(extra)
        super().__init__(f"{purpose} needs {package}, which is not installed: {self.command}")


def pip_install(extra: str, options: str = "") -> str:
    """Return the command that adds an extra to this gantool, from its original source: it may not be on an index.

    `options`: of pip install, with a space at the end.
    """
    import json
    from importlib.metadata import PackageNotFoundError, distribution
    from pathlib import Path
    from shlex import quote
    from urllib.parse import unquote, urlsplit

    command, plain = f"pip install {options}", f"'gantool[{extra}]'"
    try:
        match json.loads(distribution("gantool").read_text("direct_url.json") or "{}"):
            case {"url": str(url), "vcs_info": {"vcs": vcs, **info}}:
                revision = info.get("requested_revision")
                return command + quote(f"gantool[{extra}] @ {vcs}+{url}{f'@{revision}' if revision else ''}")
            case {"url": str(url), **kind} if "dir_info" in kind or "archive_info" in kind:
                parts = urlsplit(url)
                path = Path(unquote(parts.path))
                if parts.scheme != "file":
                    return command + quote(f"gantool[{extra}] @ {url}")
                if path.exists():
                    return (
                        command
                        + ("-e " if kind.get("dir_info") == {"editable": True} else "")
                        + quote(f"{path}[{extra}]")
                    )
    except (
        PackageNotFoundError,
        ValueError,
        OSError,
    ):  # gantool is not installed, or its metadata are damaged
        pass
    return command + plain
