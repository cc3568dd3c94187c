"""The network of a student: its teacher's with fewer channels, or a plain DCGAN for a teacher of another tool."""

from __future__ import annotations

import copy
from dataclasses import replace

from gantool.models import Generator
from gantool.models.config import NetworkConfig, Size
from gantool.models.cost import cost, widest
from gantool.models.quantize import QuantizedGenerator, quantized
from gantool.models.sampling import config_inputs
from gantool.models.slim import by_importance, nested, thin_config, thinned
from gantool.runtime.errors import UsageError
from gantool.train.distill.options import DistillOptions, parse_elastic
from gantool.train.distill.teacher import Teacher
from gantool.train.options import TrainingOptions

MOST = 512  # width of a student whose teacher is of another tool
CALIBRATION = range(256)  # the seeds that give the first ranges of INT8
SHARE = 0.25  # of the teacher's multiply-adds, if nothing else is asked for


def student(teacher: Teacher, options: DistillOptions) -> NetworkConfig:
    """Return the network of a student. Raises UsageError if no network fits the teacher or the options."""
    if options.quantize and teacher.generator is None:
        raise UsageError(
            f"`quantize` needs the weights of the teacher: give its checkpoint, not {teacher.path}"
        )
    network = _sized(teacher, options)
    for share in network.elastic:
        thin = thin_config(network, share)
        if not nested(network, thin):
            raise UsageError(
                f"`elastic` {share:g}: the first {thin.width} of {network.width} channels are not a network, since "
                f"{network.architecture} has groups of 16: give a width and shares that make multiples of 16"
            )
    return network


def _sized(teacher: Teacher, options: DistillOptions) -> NetworkConfig:
    elastic = parse_elastic(options.elastic) if options.elastic else ()  # from Python, it may have 1 too
    network = replace(teacher.config or _plain(teacher), elastic=elastic)
    if options.quantize:
        return network
    if options.width is not None:
        return replace(network, width=options.width)
    if elastic and options.macs is None and options.params is None and teacher.config:
        return network  # its thin widths are the students
    macs = _macs(teacher, options)
    # a teacher of another tool says nothing about the width
    found = widest(network if teacher.config else replace(network, width=MOST), macs, options.params)
    if found is None:
        least = cost(replace(network, width=1))
        raise UsageError(
            f"no student is that small: of width 1, it has {least.macs:,} multiply-adds and {least.weights:,} "
            "weights"
        )
    return found


def start_of(teacher: Teacher, options: TrainingOptions) -> Generator | None:
    """Return the generator that a student starts from; None for random weights."""
    if options.quantize and teacher.generator:
        return in_int8(teacher.generator)
    return pruned(teacher, options.network) if options.prune else None


def in_int8(generator: Generator) -> QuantizedGenerator:
    """Return a generator with simulated INT8, before its training."""
    inputs = config_inputs(generator.config, CALIBRATION, next(generator.parameters()).device)
    return quantized(generator, inputs)


def pruned(teacher: Teacher, network: NetworkConfig) -> Generator | None:
    """Return a student of the most important channels of its teacher; None if these do not make one."""
    wide = teacher.generator
    if wide is None or network.width > wide.config.width:
        return None
    if replace(network, width=wide.config.width, elastic=wide.config.elastic) != wide.config:
        return None
    if not nested(wide.config, network):
        return None
    ordered = copy.deepcopy(wide)
    by_importance(ordered)
    return thinned(ordered, network)


def _macs(teacher: Teacher, options: DistillOptions) -> float | None:
    """Return the most multiply-adds of a student; None: any number."""
    macs = SHARE if options.macs is None and options.params is None else options.macs
    if macs is None or macs > 1:
        return macs
    if teacher.config is None:
        given = (
            "the student needs a size"
            if options.macs is None
            else f"`macs` {macs:g} is a share of the teacher's"
        )
        raise UsageError(
            f"{given}, and the cost of {teacher.path} is not known: give `width`, `params`, or `macs` as a "
            "number, as in 20M; gantool inspect prints the multiply-adds of a graph"
        )
    return macs * cost(teacher.config).macs


def _plain(teacher: Teacher) -> NetworkConfig:
    spec = teacher.spec
    try:
        return NetworkConfig(
            size=Size(spec.height, spec.width),
            channels=spec.channels,
            latent=spec.latent,
            distribution=spec.distribution,  # type: ignore[arg-type]
            classes=spec.classes or 0,
            bits=spec.bits,
        )
    except ValueError as error:
        raise UsageError(f"no student makes the images of {teacher.path}: {error}") from error
