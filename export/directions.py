"""`gantool directions`: directions in the latent space along which images change.

In closed form, from the first layer (SeFa: Shen and Zhou 2021, arXiv:2007.06600): of all unit vectors n, those that
change the output of the layer most are the eigenvectors of AᵀA with the largest eigenvalues, for the layer's matrix
A. The matrix is measured, by running the layer with unit vectors, so that the layer may be of any kind.

From two groups of seeds: the mean z of one less the mean z of the other, as in the vector arithmetic of the DCGAN
paper (Radford, Metz and Chintala 2015, arXiv:1511.06434, section 6.3.2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gantool.export.artifact_files import resolve_file
from gantool.export.requests import DirectionsOptions
from gantool.runtime.artifacts.plan import identify
from gantool.runtime.artifacts.recipe import recipe_of
from gantool.runtime.classes import class_number, label_rows
from gantool.runtime.directions import Directions
from gantool.runtime.errors import GantoolError, UsageError
from gantool.runtime.generator import Generator
from gantool.runtime.latents import latents
from gantool.runtime.outputs.image_files import save_image
from gantool.runtime.outputs.labelled import labelled_grid
from gantool.runtime.seeds import Seed, Seeds, parse_seeds
from gantool.runtime.spec import Images, Latents

if TYPE_CHECKING:
    import onnx

LAYERS = ("Gemm", "MatMul", "Conv", "ConvTranspose")  # operators with weights
MAX_GROUP = 100_000  # seeds of a group, whose z are in memory
STEPS = (-3, -2, -1, 0, 1, 2, 3)  # columns of the sheet
Matrix = NDArray[np.float64]  # [latent, M]
_LINEAR = 1e-3  # largest relative error of a layer that counts as linear: FP16 rounds


@dataclass(frozen=True)
class Found:
    """The result of `directions`."""

    directions: Directions
    file: Path  # the .npz
    sheet: Path  # one row of images for each direction

    def text(self) -> str:
        """Return the files, and what to do with them."""
        names = self.directions.names
        count = f"{len(names)} direction{'' if len(names) == 1 else 's'}"
        return (
            f"{self.file}: {count} ({', '.join(names)}), sheet {self.sheet}\nnext:\n"
            f"  gantool generate --directions {self.file} --direction {names[0]}=2"
        )


@dataclass(frozen=True)
class _Source:
    """What a search for directions needs of a generator."""

    latent: int
    distribution: str
    classes: int | None
    class_names: tuple[str, ...]
    matrix: Callable[[], Matrix]  # measures that of the first layer
    images: Callable[
        [Latents, int | None], Images
    ]  # takes z, and the class of all; returns uint8 [N, H, W, C]


def directions(options: DirectionsOptions) -> Found:
    """Find directions; write them and a sheet.

    Raises UsageError for wrong groups of seeds or a sheet that would replace another picture, and GantoolError for
    a file that is not a checkpoint or a graph, or whose first layer cannot be found. Then it has written nothing.
    """
    groups = _groups(options)
    if not options.count and not groups:
        raise UsageError("`count` 0 leaves no direction: give a `group` of seeds, or a larger `count`")
    sheet = options.out.with_suffix(".png")
    if sheet.exists() and not options.out.exists():
        raise UsageError(f"`out` {options.out}: its sheet would replace {sheet}: choose another name")
    path = resolve_file(options.source)
    with ExitStack() as stack:
        source = _checkpoint(path) if path.suffix == ".safetensors" else _graph(path, stack)
        label = class_number(options.label, source.class_names)
        if label is None and source.classes != 0:
            label = 0
        vectors, strengths = _of_first_layer(source, options.count)
        of_groups = [group_direction(*pair, source.latent, source.distribution) for _, pair in groups]
        found = Directions(
            (*map(str, range(len(vectors))), *(name for name, _ in groups)),
            np.concatenate([vectors, *(vector[None] for vector in of_groups)]),
            np.concatenate([strengths, np.full(len(groups), np.nan, np.float32)]),
        )
        z = latents([options.seed], source.latent, source.distribution)  # [1, latent]
        steps = np.array(STEPS, np.float32)[None, :, None]  # [1, columns, 1]
        moved = z[None] + steps * found.vectors[:, None]  # [K, columns, latent]
        images = source.images(moved.reshape(-1, source.latent), label)
    found.save(options.out)
    save_image(sheet, labelled_grid(images, found.names, [f"{step:+d}" if step else "0" for step in STEPS]))
    return Found(found, options.out, sheet)


def _of_first_layer(source: _Source, count: int) -> tuple[Latents, NDArray[np.float32]]:
    """Return the directions of the closed form; none for `count` 0, which needs no matrix."""
    if not count:
        return np.empty((0, source.latent), np.float32), np.empty(0, np.float32)
    return closed_form(source.matrix(), count)


def closed_form(matrix: Matrix, count: int) -> tuple[Latents, NDArray[np.float32]]:
    """Return the unit vectors, [K, latent], that a matrix [latent, M] enlarges most, and by how much, [K].

    The largest component of each is positive, because the sign of an eigenvector is arbitrary.
    """
    values, vectors = np.linalg.eigh(matrix @ matrix.T)  # ascending
    chosen = vectors.T[::-1][:count]  # [K, latent]
    largest = np.take_along_axis(chosen, np.abs(chosen).argmax(1)[:, None], 1)  # [K, 1]
    strengths = np.sqrt(np.maximum(values[::-1][:count], 0))
    return (chosen * np.sign(largest)).astype(np.float32), strengths.astype(np.float32)


def group_direction(
    there: Iterable[Seed], back: Iterable[Seed], latent: int, distribution: str
) -> NDArray[np.float32]:
    """Return the unit vector, [latent], from the mean z of the seeds `back` to that of the seeds `there`."""
    means = [latents(seeds, latent, distribution).astype(np.float64).mean(0) for seeds in (there, back)]
    difference = means[0] - means[1]
    length = np.linalg.norm(difference)
    if length < 1e-6:
        raise UsageError("`group`: the mean z of both groups of seeds is the same: give different seeds")
    vector: NDArray[np.float32] = (difference / length).astype(np.float32)
    return vector


def _groups(options: DirectionsOptions) -> list[tuple[str, tuple[Seeds, Seeds]]]:
    """Return the names and the seeds of the groups. Raises UsageError for a name that another direction has."""
    groups = [_parse_group(text) for text in options.group]
    taken = set(map(str, range(options.count)))
    for name, _ in groups:
        if name in taken:
            raise UsageError(f"`group` {name}: another direction has this name, give each its own")
        taken.add(name)
    return groups


def _parse_group(text: str) -> tuple[str, tuple[Seeds, Seeds]]:
    """Parse `smile=1,5,9/2,7` into the name and two groups of seeds."""
    name, equals, seeds = text.partition("=")
    there, slash, back = seeds.partition("/")
    if not (name and equals and slash):
        raise UsageError(
            f"`group` {text}: write a name, the seeds that have it and those that do not, as in smile=1,5,9/2,7"
        )
    parsed = parse_seeds(there, option="group"), parse_seeds(back, option="group")
    if (count := max(map(len, parsed))) > MAX_GROUP:
        raise UsageError(f"`group` {text}: {count:,} seeds; a group has at most {MAX_GROUP:,}")
    return name, parsed


def _checkpoint(path: Path) -> _Source:
    import torch
    from torch import nn

    from gantool.models import load_checkpoint
    from gantool.models.sampling import float_images
    from gantool.runtime.outputs.images import to_uint8

    checkpoint = load_checkpoint(path)
    generator, config = checkpoint.generator, checkpoint.generator.config
    # the first layer, and the BatchNorm that a graph has folded into it
    kinds = (nn.Linear, nn.Unflatten, nn.BatchNorm1d, nn.BatchNorm2d)
    first = list(takewhile(lambda layer: isinstance(layer, kinds), generator.layers))
    inputs = int(first[0].in_features)  # type: ignore[arg-type]  # every architecture begins with nn.Linear

    def response(z: Latents) -> NDArray[np.float32]:
        values = torch.zeros(len(z), inputs)  # the embedding of the label is 0
        values[:, : config.latent] = torch.from_numpy(z)
        with torch.no_grad():
            return np.asarray(nn.Sequential(*first)(values), np.float32)

    def images(z: Latents, label: int | None) -> Images:
        of_class = () if label is None else (torch.full((len(z),), label),)
        return to_uint8(float_images(generator, (torch.from_numpy(z), *of_class)))

    return _Source(
        config.latent,
        config.distribution,
        config.classes,
        checkpoint.metadata.class_names,
        lambda: linear_matrix(response, config.latent, path),
        images,
    )


def _graph(path: Path, stack: ExitStack) -> _Source:
    """Open a graph. Its engine closes with `stack`."""
    if identify(path) != "onnx":
        raise GantoolError(f"{path} is a plan, which hides its layers: give the graph that it was built from")
    import onnx

    from gantool.export.precision.simulate import open_probed

    generator = stack.enter_context(Generator.load(path, "cpu"))
    spec = generator.spec

    def matrix() -> Matrix:
        if (precision := recipe_of(path).precision) != "fp32":
            raise GantoolError(
                f"{path} computes in {precision.upper()}, which rounds the output of its first layer: give the "
                "graph in FP32 or the checkpoint"
            )
        model = onnx.load(path)
        name = _first_layer(path, model.graph)
        session = open_probed(model, [name])

        def response(z: Latents) -> NDArray[np.float32]:
            feeds = {"z": z, **({} if spec.classes == 0 else {"label": label_rows([0] * len(z), spec)})}
            return np.asarray(session.run([name], feeds)[0], np.float32)

        return linear_matrix(response, spec.latent, path)

    def images(z: Latents, label: int | None) -> Images:
        return generator.images(z=z, label=label)

    return _Source(spec.latent, spec.distribution, spec.classes, spec.class_names, matrix, images)


def _first_layer(path: Path, graph: onnx.GraphProto) -> str:
    """Return the output of the first layer with weights behind z."""
    behind = {"z"}
    for node in graph.node:
        if behind.isdisjoint(node.input):
            continue
        if node.op_type in LAYERS:
            return str(node.output[0])
        behind.update(node.output)
    raise GantoolError(f"{path} has no layer with weights behind z: directions need one")


def linear_matrix(response: Callable[[Latents], NDArray[np.float32]], latent: int, path: Path) -> Matrix:
    """Return the matrix, [latent, M], of a layer that maps z, [N, latent], to an array [N, ...].

    Raises GantoolError if it is not linear in z up to a constant.
    """
    some = np.random.RandomState(0).randn(1, latent)
    z = np.concatenate([np.zeros((1, latent)), np.eye(latent), some]).astype(np.float32)
    values = response(z).reshape(len(z), -1).astype(np.float64)  # [latent + 2, M]
    matrix, last = values[1:-1] - values[0], values[-1] - values[0]
    expected = some[0] @ matrix
    error = float(np.linalg.norm(last - expected))
    if not error <= _LINEAR * max(float(np.linalg.norm(expected)), 1e-30):
        raise GantoolError(
            f"{path}: its first layer does not get z itself, but z normalized or otherwise transformed, so the "
            "closed form does not apply: use `count` 0 and a `group` of seeds"
        )
    return np.asarray(matrix)
