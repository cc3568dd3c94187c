"""The report of `gantool doctor --html`: the machine, the files, the self-test's images beside golden ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gantool.export.doctor.report import Report
from gantool.export.doctor.selftest import FAILED, GENERATORS, PASSED, Check, golden
from gantool.export.precision.psnr import compare
from gantool.runtime.outputs.images import grid
from gantool.runtime.web import report
from gantool.runtime.web.pictures import difference, difference_picture, enlargement, picture


def write(found: Report, path: Path) -> None:
    """Write the report of a machine, with pictures if the self-test kept its images."""
    parts = [_lead(found), *_selftest(found), _files(found), _machine(found)]
    report.write(path, "Check of this machine", parts)


def _lead(found: Report) -> str:
    if found.checks is None:
        text = "The self-test did not run: gantool doctor --selftest --html FILE.html shows its images too."
        return report.paragraph(text, "lead")
    failed = sum(check.outcome == FAILED for check in found.checks)
    passed = sum(check.outcome == PASSED for check in found.checks)
    text = f"{failed} of the checks failed" if failed else f"The self-test passed: {passed} checks"
    lead = (
        "Each library ran five tiny generators, and its images were compared with golden images that come with "
        "gantool. A library that is not installed or finds no device is skipped."
    )
    return report.verdict(not failed, text) + report.paragraph(lead, "lead")


def _selftest(found: Report) -> Iterator[str]:
    if found.checks is None:
        return
    rows = [(check.way, check.generator, _outcome(check), check.detail) for check in found.checks]
    yield report.section(
        "Self-test", report.table(("library", "generator", "result", "detail"), rows, "Self-test")
    )
    if any(check.images is not None for check in found.checks):
        text = "Ten seeds of each generator: the golden images, and for each library its images and the difference."
        cards = [_pictures(name, found.checks) for name in GENERATORS]
        yield report.section("Images", report.paragraph(text, "quiet"), *cards)


def _outcome(check: Check) -> report.Html:
    if check.outcome in (PASSED, FAILED):
        return report.mark(check.outcome == PASSED, check.outcome)
    return report.Html.of(check.outcome)


def _pictures(name: str, checks: tuple[Check, ...]) -> str:
    """Return the golden images of a generator in a strip, and those of each library with their difference."""
    images = golden(name).golden
    expected = grid(images, len(images))  # [H, 10 W, C]
    figures = [report.figure(picture(expected, f"golden images of {name}"), "golden")]
    for check in checks:
        if check.generator != name or check.images is None:
            continue
        made = grid(check.images, len(check.images))
        shown, caption = picture(made, f"{name} by {check.way}"), check.way
        if made.shape == expected.shape:
            changed = difference(expected[None], made[None])[0]  # [H, 10 W, 1]
            white = compare(images, check.images).white
            times, largest = enlargement(changed, white), f"at most {changed.max()} of {white}"
            alternative = f"{name} by {check.way}, difference: {largest}"
            shown += difference_picture(changed, times, white, alternative)
            caption += f"; below the difference ×{times}, {largest}"
        figures.append(report.figure(shown, caption))
    return report.card(name, report.columns(figures, "strips"))


def _files(found: Report) -> str:
    if not found.files:
        return report.section("Files of this folder", report.paragraph("None of gantool's files is here."))
    rows = [
        (file.file, report.mark(True, "runs here") if file.runs else file.why, report.command(file.command))
        for file in found.files
    ]
    return report.section(
        "Files of this folder", report.table(("file", "result", "next"), rows, "Files of this folder")
    )


def _machine(found: Report) -> str:
    values = {**found.machine, "providers": found.providers}
    return report.section("Machine and versions", report.facts(values, "Machine and versions"))
