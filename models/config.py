"""The configuration of a network: architecture, image, latent and width. It does not need torch."""

# No `from __future__ import annotations`: evaluating the annotations of flags from text would slow down every
# start.

from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal, get_args

from gantool.runtime.flags import Flag

Architecture = Literal["dcgan", "dcgan5", "resnet", "r3gan"]
Distribution = Literal["normal", "uniform", "truncated"]
Downsampling = Literal["strides", "pooling"]
Upsampling = Literal["transposed", "resize"]
Norm = Literal["batch", "spectral", "none"]

GROUP = "Network"  # heading of these options in the help
CHECKPOINT_NAME = "generator.safetensors"

# Image sizes, in pixels per side, that each architecture can make.
SIZES: dict[Architecture, tuple[int, ...]] = {
    "dcgan": (16, 28, 32, 64, 128, 256),
    "dcgan5": (32,),
    "resnet": (16, 28, 32, 64, 128, 256),
    "r3gan": (16, 28, 32, 64, 128, 256),
}


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(map(str, values))


@dataclass(frozen=True)
class NetworkConfig:
    """The configuration of a generator and its discriminator. Raises ValueError for an impossible one."""

    architecture: Architecture = "dcgan"
    size: Annotated[int, Flag(f"pixels per side: {_listed(SIZES['dcgan'])}", group=GROUP)] = 32
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

    def __post_init__(self) -> None:
        for name, allowed in (
            ("architecture", get_args(Architecture)),
            ("distribution", get_args(Distribution)),
            ("downsampling", get_args(Downsampling)),
            ("upsampling", get_args(Upsampling)),
            ("discriminator_norm", get_args(Norm)),
            ("channels", (1, 3, 4)),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is unknown: choose {_listed(allowed)}")
        if type(self.size) is not int or self.size not in SIZES[self.architecture]:
            raise ValueError(
                f"{self.architecture} cannot make {self.size} pixels per side: "
                f"choose {_listed(SIZES[self.architecture])}"
            )
        for name, least, most in (("latent", 1, 8192), ("width", 1, 8192), ("classes", 0, 10_000)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} {value!r} is not a whole number from {least} to {most}")
        places = (0, *self._attention_places())
        if type(self.attention) is not int or self.attention not in places:
            raise ValueError(
                f"{self.architecture} of {self.size} pixels has no place for attention {self.attention!r}: "
                f"choose {_listed(places)}{'' if len(places) > 1 else ' (none), or another architecture or size'}"
            )

    def _attention_places(self) -> tuple[int, ...]:
        """Return the resolutions, powers of two below the image size, that both networks have."""
        if self.architecture == "dcgan5" or self.size.bit_count() > 1:  # 28 pixels come from 7 and 14
            return ()
        return tuple(2**power for power in range(2, self.size.bit_length() - 1))

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object."""
        return asdict(self)


# Fields that may be missing in older checkpoints; they then have their default.
_NEWER = {"classes", "upsampling", "discriminator_norm", "attention"}


def config_from_json(value: dict[str, Any]) -> NetworkConfig:
    """Return the config that `to_json` wrote. Raises ValueError for unknown or missing fields."""
    names = {field.name for field in fields(NetworkConfig)}
    if wrong := (set(value) ^ names) - (_NEWER - set(value)):
        raise ValueError(f"fields {sorted(wrong)} are unknown or missing")
    return NetworkConfig(**value)
