"""The configuration of a network: architecture, image, latent and width. It does not need torch."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

import re
from dataclasses import asdict, dataclass, fields
from itertools import product
from typing import Annotated, Any, Literal, NamedTuple, get_args

from gantool.runtime.errors import UsageError
from gantool.runtime.flags import Flag
from gantool.runtime.process.terminal import short

Architecture = Literal["dcgan", "dcgan5", "resnet", "r3gan"]
Distribution = Literal["normal", "uniform", "truncated"]
Downsampling = Literal["strides", "pooling"]
Upsampling = Literal["transposed", "resize"]
Norm = Literal["batch", "spectral", "none"]

GROUP = "Network"  # heading of these options in the help
CHECKPOINT_NAME = "generator.safetensors"

SIZES = (16, 28, 32, 64, 128, 256)  # pixels per side of the presets, and what gantool data chooses from
LARGEST = 1024  # pixels per side
FIRST = (4, 16)  # least and most pixels per side of the first layer
LEAST_DOUBLINGS = 2


class Size(NamedTuple):
    """The size of an image in pixels: height, width."""

    height: int
    width: int

    def __str__(self) -> str:
        """Return it as the flag takes it: 64, or 96x64."""
        return f"{self.height}" if self.height == self.width else f"{self.height}x{self.width}"

    @property
    def by(self) -> str:
        """The size for messages, as 96×64."""
        return f"{self.height}×{self.width}"

    def to_json(self) -> int | list[int]:
        """Return a number if the size is square, as earlier versions wrote it, else [height, width]."""
        return self.height if self.height == self.width else [self.height, self.width]


def square(side: int) -> Size:
    """Return the size of a square image."""
    return Size(side, side)


DEFAULT_SIZE = square(32)


def size_from_json(value: object) -> Size:
    """Return the size from the JSON value of `Size.to_json`. Raises ValueError for anything else."""
    height, width = value if isinstance(value, (list, tuple)) and len(value) == 2 else (value, value)
    if type(height) is not int or type(width) is not int:
        raise ValueError(f"size {value!r} is neither a whole number nor height and width")
    return Size(height, width)


def parse_size(value: Any) -> Size:
    """Return the size from a flag, "64" or "96x64", or from a file of options. Raises UsageError."""
    try:
        if isinstance(value, str):
            if not re.fullmatch(r"\d{1,6}([x×]\d{1,6})?", value.strip(), re.IGNORECASE | re.ASCII):
                raise ValueError(value)
            height, *width = map(int, re.split("[x×]", value.strip().lower()))
            return Size(height, *width) if width else square(height)
        return size_from_json(value)
    except ValueError as error:
        raise UsageError(
            f"`size` {short(value)}: give pixels per side, as in 64, or height x width, as in 96x64"
        ) from error


def doublings(architecture: Architecture, size: Size) -> int:
    """Return how often the first layer doubles to this size; 0 if the architecture cannot make it.

    As often as both of its sides are whole and the shorter one has at least four pixels: 96×64 comes from 6×4.
    dcgan5 always doubles three times.
    """
    least, most = FIRST
    if max(size) > LARGEST:
        return 0
    counts = range(3, 4) if architecture == "dcgan5" else range(LEAST_DOUBLINGS, LARGEST.bit_length())
    for count in reversed(counts):
        first = [side >> count for side in size]
        if min(first) >= least and [side << count for side in first] == [*size]:
            return count if max(first) <= most else 0
    return 0


def near_sizes(architecture: Architecture, size: Size) -> list[Size]:
    """Return four sizes that the architecture can make, the nearest first, square if this one is square."""
    sides = [side << count for side in range(FIRST[0], FIRST[1] + 1) for count in range(LARGEST.bit_length())]
    if size.height == size.width:
        sizes = {square(side) for side in sides}
    else:
        sizes = {Size(*pair) for pair in product(sides, sides)}
    makes = [each for each in sizes if doublings(architecture, each)]
    makes.sort(key=lambda each: (abs(each.height - size.height) + abs(each.width - size.width), each))
    return makes[:4]


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


@dataclass(frozen=True)
class NetworkConfig:
    """The configuration of a generator and its discriminator. Raises ValueError for an impossible one."""

    architecture: Architecture = "dcgan"
    size: Annotated[
        Size,
        Flag(
            "pixels per side, as in 64, or height x width, as in 96x64",
            group=GROUP,
            metavar="N|HxW",
            parse=parse_size,
        ),
    ] = DEFAULT_SIZE
    channels: Annotated[
        int, Flag("1 for grey, 3 for RGB, 4 for RGBA", group="Data", shown="those of the images")
    ] = 1
    latent: Annotated[int, Flag("size of the latent vector z", group=GROUP)] = 100
    distribution: Annotated[Distribution, Flag("distribution of z", group=GROUP)] = "normal"
    # channels of the layer before the image; they double whenever the resolution halves
    width: Annotated[
        int, Flag("channels of the last hidden layer; earlier layers are wider in proportion", group=GROUP)
    ] = 64
    downsampling: Annotated[
        Downsampling, Flag("downsampling in the discriminator of dcgan and dcgan5", group=GROUP)
    ] = "strides"
    # older checkpoints lack this and the following fields, see _NEWER
    classes: int = 0  # 0: unconditional
    upsampling: Annotated[Upsampling, Flag("upsampling in the generator of dcgan", group=GROUP)] = (
        "transposed"
    )
    # r3gan has no BatchNorm, nor has dcgan5
    discriminator_norm: Annotated[
        Norm, Flag("normalization in the discriminator", "--d-norm", group=GROUP)
    ] = "batch"
    attention: Annotated[
        int, Flag("add self-attention to both networks at this resolution; 0 for none", group=GROUP)
    ] = 0
    tile: Annotated[
        bool,
        Flag("make seamless textures: the right edge meets the left, the bottom the top", group=GROUP),
    ] = False
    bits: Annotated[
        int, Flag("bits of a grey level: 8, or 16 to keep those of 16-bit files", group="Data")
    ] = 8
    # of an elastic generator: shares of its width, the largest first, at which the first channels of each layer
    # are a generator too
    elastic: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (
            ("architecture", get_args(Architecture)),
            ("distribution", get_args(Distribution)),
            ("downsampling", get_args(Downsampling)),
            ("upsampling", get_args(Upsampling)),
            ("discriminator_norm", get_args(Norm)),
            ("channels", (1, 3, 4)),
            ("bits", (8, 16)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown: choose {_listed(allowed)}")
        if self.bits == 16 and self.channels != 1:
            raise ValueError(f"images of 16 bits are grey: `bits` 16 needs `channels` 1, not {self.channels}")
        if not self.doublings:
            near = sorted(near_sizes(self.architecture, self.size))
            raise ValueError(
                f"{self.architecture} cannot make {self.size.by} pixels: the nearest sizes "
                f"are {_listed(tuple(near))}"
            )
        for name, least, most in (("latent", 1, 8192), ("width", 1, 8192), ("classes", 0, 10_000)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} {value!r} is not a whole number from {least} to {most}")
        self._check_elastic()
        if type(self.tile) is not bool:
            raise ValueError(f"tile {self.tile!r} is neither true nor false")
        places = (0, *self._attention_places())
        if type(self.attention) is not int or self.attention not in places:
            raise ValueError(
                f"{self.architecture} of {self.size.by} pixels has no place for attention {self.attention!r}: "
                f"choose {_listed(places)}{'' if len(places) > 1 else ' (none), or another architecture or size'}"
            )

    def _check_elastic(self) -> None:
        numbers = all(type(share) is float and 0 < share < 1 for share in self.elastic)
        if not numbers or [*self.elastic] != sorted({*self.elastic}, reverse=True):
            raise ValueError(f"elastic {_listed(self.elastic)}: give shares of the width, as in 0.5, 0.25")

    def _attention_places(self) -> tuple[int, ...]:
        """Return the resolutions below the image size, by the shorter side, where attention can pool 2×2 pixels."""
        if self.architecture == "dcgan5":
            return ()
        stages = [Size(*(side << count for side in self.first)) for count in range(self.doublings)]
        return tuple(min(size) for size in stages if not any(side % 2 for side in size))

    @property
    def doublings(self) -> int:
        """How often the generator doubles the resolution."""
        return doublings(self.architecture, self.size)

    @property
    def first(self) -> Size:
        """The resolution of the generator's first layer."""
        return Size(self.size.height >> self.doublings, self.size.width >> self.doublings)

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        value = {**asdict(self), "size": self.size.to_json()}
        # left out, so that earlier versions read such a file too
        ordinary = {"tile": False, "bits": 8, "elastic": ()}
        return {
            name: each for name, each in value.items() if ordinary.get(name) != each or name not in ordinary
        }


# Fields that may be missing in older checkpoints; they then have their default.
_NEWER = {"classes", "upsampling", "discriminator_norm", "attention", "tile", "bits", "elastic"}


def config_from_json(value: dict[str, Any]) -> NetworkConfig:
    """Return the config that `to_json` wrote. Raises ValueError for unknown or missing fields."""
    names = {field.name for field in fields(NetworkConfig)}
    if wrong := (set(value) ^ names) - (_NEWER - set(value)):
        raise ValueError(f"fields {sorted(wrong)} are unknown or missing")
    elastic = tuple(value.get("elastic", ()))
    return NetworkConfig(**{**value, "size": size_from_json(value["size"]), "elastic": elastic})
