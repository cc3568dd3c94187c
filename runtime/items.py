"""Items: the images to make, each with its name, its seed and its class. They are computed as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from gantool.runtime.seeds import Seed, Seeds, seed_name


@dataclass(frozen=True, slots=True)
class Item:
    """One image to make."""

    name: str  # of its file, without a suffix; with /, it lies in a folder
    seed: Seed  # the number of a row, if z comes from a file
    label: int | None = None  # None: the generator takes no label
    shares: tuple[float, ...] | None = None  # of all classes, for soft labels


def _plain(seed: Seed, label: int | None) -> str:  # noqa: ARG001
    return seed_name(seed)


@dataclass(frozen=True)
class Items:
    """A sequence of items: the seeds in order or, if there are `classes`, all seeds in each class in turn."""

    seeds: Seeds
    classes: tuple[int, ...] = ()
    class_of: Callable[[Seed], int] | None = None  # the class of a seed, without `classes`; None: no labels
    named: Callable[[Seed, int | None], str] = _plain  # seed, class -> name
    places: range | None = None  # of a part; None: all

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Item:
        of_class, place = divmod(self._places[index], len(self.seeds))
        return self._item(self.seeds[place], of_class)

    def __iter__(self) -> Iterator[Item]:
        places, count = self._places, len(self.seeds)
        if not places:
            return
        for of_class in range(places.start // count, (places.stop - 1) // count + 1):
            first = max(places.start - of_class * count, 0)
            end = min(places.stop - of_class * count, count)
            for seed in self.seeds.part(first, end - first):
                yield self._item(seed, of_class)

    def part(self, start: int, count: int) -> Items:
        """Return up to `count` items, from position `start` on."""
        return replace(self, places=self._places[start : start + count])

    @property
    def _places(self) -> range:
        if self.places is not None:
            return self.places
        return range(len(self.seeds) * max(len(self.classes), 1))

    def _item(self, seed: Seed, of_class: int) -> Item:
        if self.classes:
            label: int | None = self.classes[of_class]
        else:
            label = self.class_of(seed) if self.class_of else None
        return Item(self.named(seed, label), seed, label)
