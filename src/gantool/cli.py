"""The command line: signatures and help. Each body imports what it needs, so `--help` loads nothing heavy."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import signal
import sys
from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer

from gantool.runtime.errors import GantoolError, MissingDependencyError, UsageError
from gantool.runtime.process.signals import ending_signals
from gantool.runtime.process.terminal import guarded

# No rich markup, no pretty tracebacks: rich takes longer to import than the rest of the command.
app = typer.Typer(
    name="gantool",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

INTERRUPTED = 130


def main() -> None:
    """Run the command line as a process of its own; exit with the code of the error tree."""
    from gantool.runtime.process import interrupt

    for number in ending_signals():
        signal.signal(number, _stop)
    interrupt.watch()
    # Python looks through all objects once more when it ends: a tenth of a short run.
    atexit.register(gc.freeze)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command; return its exit code.

    What nobody expected is a line and a file with the details, or is raised where GANTOOL_DEBUG is set.
    """
    with guarded():
        try:
            # a shell variable that is not set; as a path it would mean this folder
            if any(not word or (word.startswith("--") and word.endswith("=")) for word in arguments):
                raise UsageError("an argument is empty: is a variable of the shell not set?")
            _only(arguments[:1])(arguments)
            code = 0
        except SystemExit as end:  # of typer, also after Ctrl-C, of which it says nothing
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except KeyboardInterrupt:
            code = INTERRUPTED
        except Exception as error:
            # a library whose import or run a signal broke off raises anything
            code = INTERRUPTED if _received else _answer(error, arguments)
        if code == INTERRUPTED:
            typer.echo("gantool: interrupted", err=True)
        return code


def _answer(error: Exception, arguments: list[str]) -> int:
    """Print what an error means; return the exit code."""
    code = error.exit_code if isinstance(error, GantoolError) else GantoolError.exit_code
    match error:
        case GantoolError():
            text = str(error)
        case ModuleNotFoundError() if (name := (error.name or "").partition(".")[0]) in _EXTRAS:
            # of a part of a command that does without it elsewhere
            missing = MissingDependencyError(name, _EXTRAS[name], f"gantool {arguments[0]}")
            text, code = str(missing), missing.exit_code
        case OSError():
            where = f": {error.filename}" if error.filename else ""
            hint = _HINTS.get(error.errno or 0, "check the path and run it again")
            text = f"{error.strerror or error}{where}: {hint}"
        case MemoryError():
            text = f"out of memory ({error}): use a smaller --batch or --width"
        case _:
            if "GANTOOL_DEBUG" in os.environ:
                raise error
            from gantool.runtime.process.unexpected import written

            text = f"an unexpected error: {type(error).__name__}: {' '.join(str(error).split())[:300]}; details in "
            text += f"{written(error, arguments)}; please report it with that file"
    typer.echo(f"gantool: {text}", err=True)
    return code


def _only(first: list[str]) -> typer.Typer:
    """Return the command line without all commands but the one that is asked for: typer takes a while for each."""
    asked = [item for item in app.registered_commands if [getattr(item.callback, "__name__", "")] == first]
    if not asked:
        return app
    only = copy(app)
    only.registered_commands = asked
    return only


_received: list[int] = []  # signals


_EXTRAS = {
    **dict.fromkeys(("torch", "safetensors", "onnx", "onnx_ir", "onnxscript"), "export"),
    "onnxruntime": "cpu",
}
_HINTS = {
    errno.ENOSPC: "free some space and run it again",
    errno.EDQUOT: "free some space and run it again",
    errno.EFBIG: "the limit on the size of files is too low",
    errno.EEXIST: "a file is in the way; choose another folder",
    errno.ENOTDIR: "a file is in the way; choose another folder",
    errno.EACCES: "choose a folder that you may write to",
    errno.EPERM: "choose a folder that you may write to",
    errno.EROFS: "choose a folder that can be written to",
}


def _stop(number: int, frame: object) -> None:  # noqa: ARG001
    """End on SIGTERM and SIGHUP as on Ctrl-C, so that nothing half-written stays behind."""
    _received.append(number)
    raise KeyboardInterrupt


def _version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"gantool {version('gantool')}")
        raise typer.Exit


@app.callback()
def gantool(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Train a GAN on your images, export its generator to an engine, generate images without PyTorch."""


@app.command()
def train(
    data: Annotated[
        str | None,
        typer.Option(
            help="A folder, .zip or .tar of images, an .npy, or fashion-mnist.",
            show_default="fashion-mnist",
            metavar="SOURCE",
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="dcgan16, 28, 32, 64, 128 or 256, dcgan5-32, resnet32 or 64, r3gan32 or 64, small.",
            show_default="dcgan32",
        ),
    ] = None,
    outdir: Annotated[Path, typer.Option(help="Where run folders are made.")] = Path("runs"),
    kimg: Annotated[
        float | None, typer.Option(help="Stop after this many thousand images.", show_default="300")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Stop after this many minutes.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images in a step.", show_default="of the preset")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate.", show_default="of the preset")] = None,
    lr_d: Annotated[
        float | None, typer.Option(help="Of the discriminator alone.", show_default="as --lr")
    ] = None,
    warmup_kimg: Annotated[
        float | None, typer.Option(help="Learning rates rise from 0 over so many kimg.", show_default="0")
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help="Compute a batch in so many parts.", show_default="1")
    ] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam or sgd.", show_default="adam")] = None,
    loss: Annotated[
        str | None,
        typer.Option(help="non-saturating, hinge, wgan-gp or relativistic.", show_default="non-saturating"),
    ] = None,
    r1: Annotated[
        float | None,
        typer.Option(help="Penalty on gradients at real images.", show_default="relativistic 1, else 0"),
    ] = None,
    r2: Annotated[
        float | None,
        typer.Option(help="Penalty on gradients at generated images.", show_default="relativistic 1, else 0"),
    ] = None,
    gp: Annotated[
        float | None,
        typer.Option(help="Gradient penalty between the two.", show_default="wgan-gp 10, else 0"),
    ] = None,
    lazy: Annotated[int | None, typer.Option(help="Steps between penalties.", show_default="1")] = None,
    augment: Annotated[
        str | None, typer.Option(help="none, diff or ada: for little data.", show_default="none")
    ] = None,
    instance_noise: Annotated[
        float | None, typer.Option(help="Noise on what the discriminator sees.", show_default="0")
    ] = None,
    ema_kimg: Annotated[
        float | None, typer.Option(help="Half-life of the moving average.", show_default="5")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Pixels a side.", show_default="of the preset")] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 grey or 3 RGB.", show_default="as the images are")
    ] = None,
    latent: Annotated[int | None, typer.Option(help="Size of z.", show_default="100")] = None,
    distribution: Annotated[
        str | None, typer.Option(help="Of z: normal, uniform or truncated.", show_default="normal")
    ] = None,
    width: Annotated[
        int | None, typer.Option(help="Channels of the last hidden layer.", show_default="of the preset")
    ] = None,
    downsampling: Annotated[
        str | None, typer.Option(help="Of the discriminator: strides or pooling.", show_default="strides")
    ] = None,
    upsampling: Annotated[
        str | None,
        typer.Option(help="Of the dcgan generator: transposed or resize.", show_default="transposed"),
    ] = None,
    discriminator_norm: Annotated[
        str | None,
        typer.Option("--d-norm", help="batch, spectral or none.", show_default="of the preset"),
    ] = None,
    attention: Annotated[
        int | None,
        typer.Option(
            help="Pixels a side at which both networks have self-attention.", show_default="0, none"
        ),
    ] = None,
    conditional: Annotated[
        bool, typer.Option("--conditional", "--cond", help="Tell the classes of the data apart.")
    ] = False,
    background: Annotated[
        str | None,
        typer.Option(
            help="What transparent images are laid on.", show_default="white", metavar="white|black|#rrggbb"
        ),
    ] = None,
    mirror: Annotated[bool, typer.Option("--mirror", help="Flip images left to right at random.")] = False,
    seed: Annotated[int | None, typer.Option(help="Random seed.", show_default="0")] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:1, mps.", show_default="auto")
    ] = None,
    devices: Annotated[
        int | None,
        typer.Option(
            help="Processes on each machine, one a GPU; they share the batch.",
            show_default="those of torchrun or SLURM, else 1",
            min=1,
        ),
    ] = None,
    nodes: Annotated[int | None, typer.Option(help="Machines.", show_default="as --devices", min=1)] = None,
    precision: Annotated[
        str | None, typer.Option(help="fp32, bf16 or fp16.", show_default="the fastest here")
    ] = None,
    tick: Annotated[float | None, typer.Option(help="kimg between lines.", show_default="4")] = None,
    snap: Annotated[int | None, typer.Option(help="Ticks between checkpoints.", show_default="10")] = None,
    metric_every: Annotated[
        float | None,
        typer.Option(help="Measure the Fréchet distance each so many kimg; keep the best checkpoint."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also write the numbers for TensorBoard.")
    ] = False,
    autotune: Annotated[
        bool, typer.Option("--autotune/--no-autotune", help="Measure which way of computing is fastest here.")
    ] = True,
    resume: Annotated[
        str | None, typer.Option(help="Go on with a run folder, or with the latest.", metavar="latest|RUN")
    ] = None,
    dry_run: Annotated[bool, typer.Option("-n", "--dry-run", help="Print the options and exit.")] = False,
) -> None:
    """Train a generator: images -> runs/00000-.../generator.safetensors."""
    network = _given(
        size=size,
        channels=channels,
        latent=latent,
        distribution=distribution,
        width=width,
        downsampling=downsampling,
        upsampling=upsampling,
        discriminator_norm=discriminator_norm,
        attention=attention,
    )
    flags = _given(
        kimg=kimg,
        minutes=minutes,
        batch=batch,
        lr=lr,
        lr_d=lr_d,
        warmup_kimg=warmup_kimg,
        accumulate=accumulate,
        loss=loss,
        r1=r1,
        r2=r2,
        gp=gp,
        lazy=lazy,
        augment=augment,
        instance_noise=instance_noise,
        metric_every=metric_every,
        tensorboard=tensorboard or None,
        optimizer=optimizer,
        ema_kimg=ema_kimg,
        mirror=mirror or None,
        seed=seed,
        device=device,
        background=background,
        precision=precision,
        tick=tick,
        snap=snap,
    )
    from gantool.train import preflight

    planned = resumed = None
    new = ("fashion-mnist" if data is None else data, "dcgan32" if preset is None else preset, network, flags)
    fixed = {**network, **flags, **_given(data=data, preset=preset, conditional=conditional or None)}
    if dry_run:
        if resume is None:
            preflight.dry_run(*new, conditional)
        else:
            preflight.show_resume(resume, outdir, fixed)
        return
    if resume is None:
        planned = preflight.plan(*new, conditional)
    else:
        resumed = preflight.plan_resume(resume, outdir, fixed)
    try:
        from gantool.train import launch
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train", "gantool train") from error
    try:
        if resumed is not None:
            interrupted = launch.resume(*resumed, devices=devices, nodes=nodes)
        else:
            assert planned is not None
            interrupted = launch.start(planned, outdir, devices=devices, nodes=nodes, autotune=autotune)
    except RuntimeError as error:  # torch's way to say that memory is short, of a CPU or a GPU
        if "memory" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0]) from error
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command()
def evaluate(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A run, a checkpoint, a graph, a plan, or a folder or .zip of images.",
            metavar="[RUN|CHECKPOINT|GRAPH.onnx|FOLDER]",
            show_default="newest run",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="What to compare with.", show_default="what the run was trained on", metavar="SOURCE"
        ),
    ] = None,
    features: Annotated[
        str,
        typer.Option(help="classifier (trained here, once), inception or FILE.onnx.", metavar="EXTRACTOR"),
    ] = "classifier",
    samples: Annotated[int, typer.Option(help="Images to make: those of seeds 0 on.")] = 5000,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for metric-*.jsonl and nearest.png.", show_default="beside the file"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say how good images are: distances, precision and recall, diversity, copies of training images."""
    from json import dumps

    from gantool.train.preflight import check_evaluation

    source = check_evaluation(source, data, samples)
    try:
        from gantool.train.evaluate import evaluate
    except ModuleNotFoundError as error:
        raise MissingDependencyError(error.name or "torch", "train", "gantool evaluate") from error
    scores = evaluate(source, data, features, samples, out)
    typer.echo(dumps(scores.to_json()) if json else scores.table())
    typer.echo(f"nearest training images beside generated ones: {scores.nearest}", err=True)


@app.command()
def plot(
    run: Annotated[
        Path | None, typer.Argument(help="The folder of a run.", metavar="[RUN]", show_default="newest run")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="A .html or .png.", show_default="plot.html in the run")
    ] = None,
) -> None:
    """Draw the curves of a run and its samples over time: one HTML file, or one PNG."""
    from gantool.train.plot import plot

    typer.echo(plot(run, out))


def _given(**flags: Any) -> dict[str, Any]:
    """Return the flags that were given."""
    return {name: value for name, value in flags.items() if value is not None}


@app.command()
def data(
    source: Annotated[
        str, typer.Argument(help="A folder, .zip or .tar of images, an .npy, or fashion-mnist.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", "--dest", help="The .zip.", metavar="FILE.zip")] = Path(
        "data.zip"
    ),
    size: Annotated[
        int | None,
        typer.Option(
            help="Pixels a side.", show_default="the largest of 16 to 256 that half of the images have"
        ),
    ] = None,
    channels: Annotated[
        int | None, typer.Option(help="1 grey or 3 RGB.", show_default="as the images are")
    ] = None,
    background: Annotated[
        str, typer.Option(help="What transparent images are laid on.", metavar="white|black|#rrggbb")
    ] = "white",
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Classes from dataset.json, or from folders.")
    ] = True,
) -> None:
    """Make a clean data set: checked, cropped, resized, no duplicates, labelled; with a contact sheet."""
    from gantool.train.data.prepare import Wanted, next_command, prepare, summary

    wanted = Wanted(out, size, channels, background, labels)
    made = prepare(source, wanted, lambda line: typer.echo(line, err=True))
    for line in (*made.skipped[:10], *(f"{name}: a duplicate" for name in made.duplicates[:10])):
        typer.echo(f"left out {line}", err=True)
    typer.echo(f"{summary(made)}\n{out}, contact sheet {out.with_suffix('.png')}")
    typer.echo(f"next:\n  {next_command(made, out)}")


@app.command()
def export(
    source: Annotated[
        Path | None,
        typer.Argument(
            help="A checkpoint, a generator's .onnx, or a bundle.",
            metavar="[CHECKPOINT|GRAPH.onnx|BUNDLE.tar]",
            show_default="newest run",
        ),
    ] = None,
    base: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Files are BASE.onnx, BASE.plan ...", metavar="BASE", show_default="g"
        ),
    ] = None,
    fp16: Annotated[bool, typer.Option("--fp16", "--half", help="Compute in FP16.")] = False,
    bf16: Annotated[bool, typer.Option("--bf16", help="Compute in BF16.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Compute in INT8; with --fp16 what is not INT8 is FP16.")
    ] = False,
    int8_ends: Annotated[
        bool, typer.Option("--int8-ends", help="INT8 in the first and the last layer too.")
    ] = False,
    calibration: Annotated[
        str, typer.Option(help="Range of --int8: minmax, percentile or entropy.")
    ] = "minmax",
    keep_fp32: Annotated[
        list[str] | None,
        typer.Option(help="Nodes that stay in FP32, as 'gemm*'; may be repeated.", metavar="PATTERN"),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option(help="Precisions as in another export: its graph, or its plan's .json.", metavar="FILE"),
    ] = None,
    min_psnr: Annotated[
        float | None,
        typer.Option(
            help="dB that the worst image must reach against FP32.", show_default="FP16 40, BF16 30, INT8 30"
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Also measure how far FP32 and what is exported are from these images, as gantool evaluate does.",
            metavar="SOURCE",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(help="What --data compares by, as in gantool evaluate.", show_default="classifier"),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="A generator from elsewhere: pytorch-dcgan, or package.module:function.",
            metavar="SOURCE",
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            help="Weights for --from package.module:function, .pth or .safetensors; KEY where they lie deeper.",
            metavar="FILE[:KEY]",
        ),
    ] = None,
    latent: Annotated[int | None, typer.Option(help="Size of z, for --from.")] = None,
    classes: Annotated[int, typer.Option(help="Classes of a conditional generator from elsewhere.")] = 0,
    distribution: Annotated[
        str, typer.Option(help="Of z, of a generator from elsewhere: normal, uniform or truncated.")
    ] = "normal",
    values: Annotated[
        str,
        typer.Option(
            "--range",
            help="Range of the images that a generator from elsewhere makes: -1,1 or 0,1 or 0,255.",
            metavar="LOW,HIGH",
        ),
    ] = "-1,1",
    clamp: Annotated[
        bool,
        typer.Option("--clamp", help="Cut off what a generator from elsewhere makes outside that range."),
    ] = False,
    engine: Annotated[str, typer.Option(help="auto, tensorrt, rtx or none.")] = "auto",
    min_batch: Annotated[int, typer.Option(help="Smallest batch of the engine.")] = 1,
    opt_batch: Annotated[
        int | None, typer.Option(help="Batch that the engine is tuned for.", show_default="16 or --max-batch")
    ] = None,
    max_batch: Annotated[int, typer.Option(help="Largest batch of the engine.")] = 64,
    workspace: Annotated[
        str | None, typer.Option(help="Memory for building, as 2GiB.", show_default="the library's choice")
    ] = None,
    sm: Annotated[
        str | None, typer.Option(help="Compute capabilities for TensorRT-RTX, as 86,89.", show_default="all")
    ] = None,
    builder_level: Annotated[
        int | None,
        typer.Option(help="0 builds fastest, 5 makes the fastest engine.", show_default="the library's, 3"),
    ] = None,
    timing_cache: Annotated[
        Path | None, typer.Option(help="TensorRT's timings, read and written: builds faster again.")
    ] = None,
    version_compatible: Annotated[
        bool, typer.Option("--version-compatible", help="For later versions of the library, too.")
    ] = False,
    hardware_compatible: Annotated[
        str | None,
        typer.Option(help="TensorRT: for other GPUs, too: ampere+, or same (compute capability)."),
    ] = None,
    strip_weights: Annotated[
        bool, typer.Option("--strip-weights", help="A plan without weights; see gantool refit.")
    ] = False,
    dla: Annotated[
        int | None, typer.Option(help="Core of the DLA of a Jetson, 0 or 1; the batch is --max-batch.")
    ] = None,
    profile_verbosity: Annotated[
        str | None,
        typer.Option(help="What profilers see: none, layer or detailed.", show_default="layer"),
    ] = None,
    triton: Annotated[
        Path | None,
        typer.Option(help="Also write a model repository for Triton.", metavar="REPO[/NAME]"),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also one file to carry to a device: graph and golden images.", metavar="FILE.tar"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Also replace a plan of another precision.")
    ] = False,
    opset: Annotated[int | None, typer.Option(help="ONNX opset, 17 to 23.", show_default="17")] = None,
    lowering: Annotated[
        str | None,
        typer.Option(
            help="Exact rewrite of transposed convolutions: none, subpixel, phases, phases-stack, cpu, dla, "
            "dla-onehot, or auto, which measures.",
            show_default="none",
        ),
    ] = None,
    output: Annotated[
        str | None, typer.Option(help="Type of the images: uint8 or float.", show_default="uint8")
    ] = None,
) -> None:
    """Export a generator: checkpoint -> g.onnx, g.fp16.onnx, g.plan."""
    from gantool.export.options import ExportOptions, Foreign, Precision, ToData
    from gantool.export.source import origin_of

    if fp16 and bf16:
        raise UsageError("--fp16 and --bf16 exclude each other: choose one")
    precision = Precision(
        "fp16" if fp16 else "bf16" if bf16 else None,
        int8,
        int8_ends,
        calibration,
        tuple(keep_fp32 or ()),
        recipe,
        min_psnr,
    )
    foreign = Foreign(origin, weights, latent, classes, distribution, values, clamp)
    origin_of(source, foreign)  # before a data set is read or a library is loaded

    from gantool.export import pipeline
    from gantool.export.engine.options import BuildOptions, parse_compute_capabilities, parse_size

    to_data = None
    if data is not None:
        try:
            from gantool.train.metrics.distance import distance_to
        except ModuleNotFoundError as error:
            raise MissingDependencyError(error.name or "torch", "train", "gantool export --data") from error
        features = features or "classifier"
        to_data = ToData(data, features, distance_to(data, features, lambda line: typer.echo(line, err=True)))
    elif features is not None:
        raise UsageError("--features goes with --data")
    options = ExportOptions(
        base, engine, opset, output, lowering, precision, foreign, triton, bundle, to_data, overwrite
    )
    build_options = BuildOptions(
        min_batch,
        opt_batch,
        max_batch,
        workspace=None if workspace is None else parse_size(workspace),
        compute_capabilities=() if sm is None else parse_compute_capabilities(sm),
        builder_level=builder_level,
        timing_cache=timing_cache,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        strip_weights=strip_weights,
        dla=dla,
        profile_verbosity=profile_verbosity,
    )

    def note(line: str) -> None:
        typer.echo(line, err=True)

    from gantool.export.summary import print_summary

    print_summary(pipeline.export(source, options, build_options, note), build_options, note)


@app.command()
def inspect(
    file: Annotated[
        Path,
        typer.Argument(
            help="A checkpoint, a graph, a plan, a bundle, a run, or a folder of these.",
            metavar="[FILE|FOLDER]",
            show_default="this folder",
        ),
    ] = Path(),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a file is: version, sizes, layers, precisions, without loading it and without a GPU."""
    from gantool.export.inspect import inspect

    inspect(file, json)


@app.command()
def verify(
    files: Annotated[
        list[Path], typer.Argument(help="Checkpoints, runs, graphs, plans, bundles; compared with the first.")
    ],
    seeds: Annotated[str, typer.Option(help="Seeds, as 0,1,4-6; ends included.")] = "0-63",
    min_psnr: Annotated[
        float | None,
        typer.Option(
            help="dB that the worst image must reach.", show_default="FP32 50, FP16 40, BF16 30, INT8 30"
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Run the same seeds through files and compare the images; exit 3 if they disagree."""
    from gantool.export.verify import verify

    verify(files, seeds, min_psnr, json)


@app.command()
def doctor(
    folder: Annotated[Path, typer.Argument(help="Whose files to look at.", metavar="[FOLDER]")] = Path(),
    selftest: Annotated[
        bool, typer.Option("--selftest", help="Build and run tiny generators with all that is here.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path, typer.Option("-o", "--out", help="Report of the self-test.", metavar="FILE")] = Path(
        "gantool-doctor.json"
    ),
) -> None:
    """Say what this machine has, what starts on it, and which files of a folder can run here."""
    from gantool.export.doctor.report import doctor

    doctor(folder, selftest, json, out)


@app.command()
def refit(
    plan: Annotated[Path, typer.Argument(help="A plan that was built with --strip-weights.")],
    graph: Annotated[Path, typer.Argument(help="The graph that it was built from.", metavar="GRAPH.onnx")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The whole plan.", show_default="in place of PLAN")
    ] = None,
) -> None:
    """Put the weights of a graph into a plan without them, on the device."""
    from gantool.export.engine.refit import refit

    refit(plan, graph, out or plan)
    typer.echo(f"next:\n  gantool generate --engine {out or plan}")


@app.command()
def generate(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="g.onnx, g.plan or g.rtx.plan.", metavar="[ENGINE]", show_default="newest g.* that runs here"
        ),
    ] = None,
    engine: Annotated[
        Path | None, typer.Option("--engine", "-e", help="The same as a flag.", metavar="FILE")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, as 0,1,4-6; ends included.")] = "0-63",
    out: Annotated[
        Path, typer.Option("--out", "--outdir", "-o", help="Folder for the images; - as --format -.")
    ] = Path("images"),
    grid: Annotated[
        str | None,
        typer.Option(help="Also write a sheet of the first, grid.png: columns by rows.", metavar="8x8"),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images at a time.", show_default="up to 64")] = None,
    trunc: Annotated[float, typer.Option(help="Scale of z: below 1 more typical, less varied images.")] = 1.0,
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            help="Class of all images, of a conditional generator: its name or number.",
            metavar="CLASS",
            show_default="seed mod classes",
        ),
    ] = None,
    format: Annotated[  # noqa: A002
        str | None,
        typer.Option(
            help="png, webp (lossless), jpg; npy: one array of all; tar: PNG in shards of a WebDataset; "
            "-: raw frames to stdout.",
            show_default="png",
        ),
    ] = None,
    level: Annotated[
        int | None,
        typer.Option(help="Effort: 0 to 9 for PNG, 0 to 6 for WebP.", show_default="fast"),
    ] = None,
    quality: Annotated[int | None, typer.Option(help="Of JPEG: 1 to 100.", show_default="90")] = None,
    shard_size: Annotated[int, typer.Option(help="Images in a tar.")] = 10_000,
    shard: Annotated[
        str | None,
        typer.Option(
            help="One part of the seeds, for one of many machines: the third of 16.", metavar="3/16"
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Make only what is not there yet, or not whole.")
    ] = False,
    threads: Annotated[
        int | None, typer.Option(help="Threads that encode images.", show_default="one a core")
    ] = None,
    provider: Annotated[
        str, typer.Option(help="For graphs: auto, cpu, cuda, tensorrt or openvino.")
    ] = "auto",
    engine_threads: Annotated[
        int | None, typer.Option(help="Threads that run a graph on the CPU.", show_default="one a core")
    ] = None,
) -> None:
    """Generate images from an engine: seeds -> images/seed0000.png ..."""
    from gantool.runtime import generate as launch
    from gantool.runtime.outputs.writer import target

    if file is not None and engine is not None:
        raise UsageError(f"{file} and --engine {engine}: give one of them")
    if (given := file or engine) is None:
        from gantool.runtime.newest import engines

        given = engines(Path())[0]
        typer.echo(f"with {given}, the newest engine here", err=True)
    launch.generate(
        given,
        provider,
        engine_threads,
        launch.Choice(seeds, shard, batch, trunc, label),
        target(out, format, level, quality, threads, shard_size),
        grid,
        resume,
    )


@app.command()
def bench(
    files: Annotated[
        list[Path] | None,
        typer.Argument(help="Graphs and plans.", metavar="[FILES]...", show_default="all g.* that run here"),
    ] = None,
    batch: Annotated[str, typer.Option(help="Batch sizes, with commas between.")] = "1,8,32",
    provider: Annotated[
        str, typer.Option(help="For graphs: as generate's, or several with commas between.")
    ] = "auto",
    seconds: Annotated[float, typer.Option(help="Time for the rate, and for the latency.")] = 2,
    engine_threads: Annotated[
        int | None, typer.Option(help="Threads that run a graph on the CPU.", show_default="one a core")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure engines side by side: rate, latency, start-up, memory, and on a Jetson power."""
    from gantool.runtime.bench.launch import bench
    from gantool.runtime.newest import engines

    bench(files or engines(Path()), batch, provider.split(","), seconds, engine_threads, json)


@app.command()
def cache(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="data, features, speed, kernels or errors.", metavar="[KIND]", show_default="all"
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove it; it is made again when needed.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what gantool keeps to be quick the next time, and its size; --clear removes it."""
    from gantool.runtime.caches import cache

    cache(kind, clear, json)


if __name__ == "__main__":
    main()
