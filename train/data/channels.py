"""Choose the channels of a set: RGBA where most images are transparent, else grey or RGB."""

from __future__ import annotations

import warnings
from contextlib import suppress
from dataclasses import replace

import numpy as np

from gantool.train.data.decode import Into
from gantool.train.data.facts import Tally
from gantool.train.data.ground import is_transparent
from gantool.train.data.listing import Listing

_LOOK = 64  # images that are decoded to guess whether most are transparent


class OtherChannelsError(Exception):
    """The images need another number of channels than the one that was tried."""


def attempts(into: Into, listing: Listing) -> list[Into]:
    """Return what to convert the images to: as `into` says, or what to try, one after the other.

    None for the channels stands for grey, which the first image with colour refutes.
    """
    if into.channels is not None:
        return [into]
    ways = [into, replace(into, channels=3)]
    if into.background is not None:
        return ways
    alpha = replace(into, channels=4)
    return [alpha, *ways] if likely_transparent(listing) else [*ways, alpha]


def likely_transparent(listing: Listing) -> bool:
    """Return whether over half of a sample of the images are transparent, at least in part."""
    count = len(listing.names)
    readable = transparent = 0
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        for index in np.linspace(0, count - 1, min(count, _LOOK), dtype=np.int64).tolist():
            with suppress(Exception):  # a damaged file can raise any error; decoding reports it later
                transparent += is_transparent(listing.read(index))
                readable += 1
    return 2 * transparent > readable


def check_channels(into: Into, tally: Tally, auto: bool) -> None:
    """Raise OtherChannelsError if transparency chooses the channels, and chooses others."""
    if auto and into.background is None and tally.mostly_transparent != (into.channels == 4):
        raise OtherChannelsError
