"""Statistics of a set of images, collected during decoding, and notes on them for the user."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from gantool.runtime.outputs.images import eight_bits, visible
from gantool.train.data.decode import CONTRAST, DEPTHS, Fitted, Into
from gantool.train.data.fitting import DONE
from gantool.train.data.ground import opposite
from gantool.train.data.levels import AUTO, levels_text

MANY = 0.1  # warn if at least this fraction of the images is blank
DARK = 64  # warn if the pixels of the set span fewer grey levels, of 256


@dataclass(frozen=True)
class Facts:
    """Statistics of a set of images; the cache keeps them beside the pixels."""

    count: int  # images that were read
    smallest: tuple[int, int]  # width and height of originals
    largest: tuple[int, int]
    commonest: tuple[int, int]
    common: int  # number of images of the commonest size
    side: int  # half of the images have at least this shorter side
    other_aspect: int  # images whose aspect ratio is not that of the size
    transparent: int  # images with transparency
    blank: int  # images of one flat colour, or nearly so
    hidden: int  # blank images that are not blank on the opposite background
    low: int  # darkest level of all pixels
    high: int  # brightest level of all pixels
    deep: int  # images of 16 bits
    bits: int  # number of bits that they use: one of DEPTHS
    lowest: int  # their darkest and their brightest level
    deepest: int
    several: int  # files with several pages or frames

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)

    def rescaled(self, into: Into) -> Into:
        """Return how to convert the images of 16 bits, now that the levels of all of them are known."""
        if into.levels == AUTO and self.deep:
            return replace(into, levels=levels_text(self.lowest, self.deepest))
        return replace(into, bits=self.bits) if into.levels is None and into.kept_bits == 8 else into

    def notes(self, into: Into) -> list[str]:
        """Return a line for each conversion of images and for each problem, to show to the user."""
        ground = into.ground
        of = f"of {self.count:,} images"
        lines = []
        if self.other_aspect:
            done = DONE[into.fit].format(ground=ground or "transparency")
            lines.append(f"{self.other_aspect:,} {of} have another aspect ratio: {done}")
        if self.several:
            lines.append(f"{self.several:,} {of} have several pages or frames: the first was read")
        if self.transparent:
            done = (
                "kept, 4 channels (`background` lays them on a colour)"
                if ground is None
                else f"blended with {ground} (`background` sets another colour)"
            )
            lines.append(f"{self.transparent:,} {of} are transparent in part: {done}")
        if self.deep and (into.levels is not None or into.kept_bits == 16):
            black, white = into.bounds
            lines.append(
                f"{self.deep:,} {of} are files of 16 bits, of levels from {self.lowest:,} to {self.deepest:,}: "
                f"{black:,} was taken for black, {white:,} for white, in {into.kept_bits} bits"
            )
        elif into.kept_bits == 16:
            lines.append(
                "warning: no grey image has 16 bits: images were made grey, and stretched from 8 bits"
            )
        elif into.levels is not None:
            lines.append("note: no image has 16 bits")
        elif self.deep and self.bits < 16:
            lines.append(
                f"{self.deep:,} {of} are files of 16 bits that use only {self.bits}: "
                f"{2**self.bits - 1:,} was taken for white"
            )
        return [*lines, *self.warnings(ground)]

    def warnings(self, ground: str | None) -> list[str]:
        """Return lines about problems for training: blank images, and sets with little contrast."""
        share = f"{self.blank:,} of {self.count:,} images"
        if self.blank < max(MANY * self.count, 1):
            spans = self.high - self.low
            if spans < DARK:
                return [
                    f"warning: the pixels of all images lie between {self.low} and {self.high} of 255: "
                    "stretch their contrast first"
                ]
            return []
        if ground is not None and self.hidden > self.blank / 2:
            return [
                f"warning: {share} are blank after blending with {ground}: give `background` {opposite(ground)}"
            ]
        return [
            f"warning: {share} are blank or nearly so (they span fewer than {CONTRAST} of 256 grey levels): "
            "remove them, or stretch their contrast first"
        ]


def facts_from_json(value: dict[str, Any]) -> Facts:
    """Return the facts from the JSON object of `to_json`. Raises KeyError or TypeError for anything else."""
    pairs = {name: tuple(map(int, value[name])) for name in ("smallest", "largest", "commonest")}
    return Facts(**{**value, **pairs})


@dataclass
class Tally:
    """Collects the facts, image by image."""

    sides: Counter[tuple[int, int]] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    low: int = 255
    high: int = 0
    lowest: int = 65535
    deepest: int = 0

    def add(self, image: Fitted) -> None:
        """Count one image."""
        self.sides[image.sides] += 1
        seen = {
            "other_aspect": image.other_aspect,
            "transparent": image.transparent,
            "blank": image.blank,
            "hidden": image.hidden,
            "deep": image.span is not None,
            "several": image.several,
        }
        self.counts.update(name for name, found in seen.items() if found)
        pixels = visible(eight_bits(image.pixels))
        self.low = min(self.low, int(pixels.min()))
        self.high = max(self.high, int(pixels.max()))
        if image.span is not None:
            self.lowest, self.deepest = min(self.lowest, image.span[0]), max(self.deepest, image.span[1])

    def rescaled(self, into: Into) -> Into:
        """Return how to convert the images of 16 bits, as the facts say."""
        return self.facts().rescaled(into) if self.sides else into

    @property
    def mostly_transparent(self) -> bool:
        """Whether over half of the images are transparent, at least in part."""
        return 2 * self.counts["transparent"] > sum(self.sides.values())

    @property
    def bits(self) -> int:
        """The number of bits, one of DEPTHS, that images of 16 bits use; 16 without such images."""
        if not self.counts["deep"]:
            return 16
        return next(bits for bits in DEPTHS if self.deepest < 2**bits)

    def facts(self) -> Facts:
        """Return the statistics. At least one image must have been added."""
        shorter = sorted(((min(sides), count) for sides, count in self.sides.items()), reverse=True)
        total = seen = sum(self.sides.values())
        side = shorter[-1][0]
        for side, count in shorter:  # noqa: B007 (used after the loop)
            seen -= count
            if 2 * seen <= total:
                break
        commonest, common = self.sides.most_common(1)[0]
        names = ("other_aspect", "transparent", "blank", "hidden", "deep", "several")
        return Facts(
            count=total,
            smallest=min(self.sides),
            largest=max(self.sides),
            commonest=commonest,
            common=common,
            side=side,
            low=self.low,
            high=self.high,
            bits=self.bits,
            lowest=self.lowest,
            deepest=self.deepest,
            **{name: self.counts[name] for name in names},
        )
