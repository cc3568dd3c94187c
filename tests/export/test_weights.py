"""Which weights of a checkpoint a generator gets: by their names, wherever they are in the file."""

from __future__ import annotations

import json
import runpy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file, save_model
from torch import nn

from field.cases import gantool
from gantool.export.graph.weights import expected_state, read_weights
from gantool.export.source import split_key
from gantool.runtime.errors import GantoolError
from helpers.logs import logged
from helpers.networks import enliven

State = dict[str, torch.Tensor]
Change = Callable[[State], Any]


class Net(nn.Module):
    """A small generator with names as they are usual."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.main = nn.Sequential(
            nn.ConvTranspose2d(8, 8, 4, bias=False),
            nn.BatchNorm2d(8),
            nn.ConvTranspose2d(8, 3, 4, 2, 1),
            nn.Tanh(),
        )
        enliven(self)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        images: torch.Tensor = self.main(z[:, :, None, None])
        return images


def state() -> State:
    return Net().state_dict()


def other() -> State:
    return {name: value * 0.5 if value.is_floating_point() else value for name, value in state().items()}


def under(prefix: str, values: State) -> State:
    return {prefix + name: value for name, value in values.items()}


def read(path: Path, module: nn.Module, given: str = "c.pth") -> tuple[State, str]:
    """Return the weights that a module gets, and what is said of them."""
    file, key = split_key(path / given)
    with logged() as lines:
        return read_weights(file, key, expected_state(module)), "\n".join(lines)


@pytest.mark.parametrize(
    "name",
    [
        "generator-ema",
        "netGEMA",
        "netG_EMA",
        "Gs",
        "gs",
        "g_running",
        "ema_generator",
        "G_avg",
        "gema",
        "genEMA",
        "EMA.generator",
        "emaG",
        "netGema",
        "generator_smooth",
        "g_mavg",
        "G_averaged",
        "swa_model",
        "averaged_model",
        "movingG",
        "model/ema",
        "g_ema_0",
    ],
)
@pytest.mark.parametrize("raw", ["netG", "g", "schema"])
def test_averaged_weights_come_first(name: str, raw: str, tmp_path: Path) -> None:
    torch.save({raw: other(), name: state(), "netD_ema": {"w": torch.zeros(1)}}, tmp_path / "c.pth")
    found, said = read(tmp_path, Net())
    assert torch.equal(found["main.0.weight"], state()["main.0.weight"])
    assert f"takes {name}, the averaged weights; for the raw ones give {tmp_path}/c.pth:{raw}" in said


@pytest.mark.parametrize("name", ["netG", "damage", "Regs", "schema", "emanuel", "smoothie", "G_shadowed2"])
def test_other_words_are_not_averages(name: str, tmp_path: Path) -> None:
    torch.save({"G": other(), name: state()}, tmp_path / "c.pth")
    with pytest.raises(GantoolError, match="holds several state_dicts that fit: "):
        read(tmp_path, Net())


ADAM = {"state": {0: {"exp_avg": torch.zeros(3), "step": torch.zeros(())}}, "param_groups": [{"lr": 0.1}]}
PLACES: list[tuple[str, Change, str]] = [
    ("c.pth", lambda s: {"models": [{"w": torch.zeros(1)}, s]}, "takes models.1"),
    ("c.pth", lambda s: (s, {"epoch": 3}, [1.0] * 1000), "takes 0"),
    ("c.pth:models.1", lambda s: {"models": (other(), s)}, "takes models.1"),
    ("c.pth:0.netG", lambda s: [{"netG": s, "G2": other()}], "takes 0.netG"),
    ("c.pth:g:ema", lambda s: {"g:ema": s, "g:ema2": other()}, "takes g:ema"),
    ("c.pth", lambda s: {"g": s, "opt": [ADAM, ADAM["state"]]}, "takes g"),
    ("c.pth", lambda s: {"state_dict": under("module._orig_mod.", s)}, "takes state_dict"),
    ("c.pth", lambda s: under("_forward_module.generator.", s), "takes _forward_module.generator"),
    ("c.pth", lambda s: under("model.module.netG._orig_mod.", s), "takes model.module.netG"),
    ("c.pth", lambda s: under("_orig_mod.module._fsdp_wrapped_module.", s), ""),
    ("c.pth", lambda s: {"module." + k.replace("main.", "main.module."): v for k, v in s.items()}, ""),
    ("c.pth", lambda s: {"G": s, "ema": {"decay": 0.9, "shadow_params": list(s.values())}},
     "c.pth has averaged weights in ema.shadow_params as a list without names"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "change", "says"), PLACES)
def test_the_generator_is_found(given: str, change: Change, says: str, tmp_path: Path) -> None:
    torch.save(change(state()), tmp_path / "c.pth")
    found, said = read(tmp_path, Net(), given)
    assert says in said
    assert found.keys() == state().keys()
    assert all(torch.equal(value, state()[name]) for name, value in found.items())


def strange(values: State) -> State:
    """Have tensors in other types, transposed in memory, and vectors that are parts of one storage."""
    types = (torch.float16, torch.bfloat16, torch.float64, torch.float32)
    out = {
        name: value.transpose(0, 1).contiguous().transpose(0, 1).to(types[number % 4])
        if value.ndim == 4
        else value
        for number, (name, value) in enumerate(values.items())
    }
    vectors = {name: value for name, value in values.items() if value.ndim == 1}
    whole = torch.cat(list(vectors.values()))
    parts = torch.split(whole, [len(value) for value in vectors.values()])
    return {**out, **dict(zip(vectors, parts, strict=True))}


def test_weights_in_any_type_and_order(tmp_path: Path) -> None:
    torch.save(strange(state()), tmp_path / "c.pth")
    found, _ = read(tmp_path, Net())
    module = Net()
    nn.init.zeros_(module.main[0].weight)  # type: ignore[arg-type]
    module.load_state_dict(found)
    assert all(torch.allclose(value, state()[name], atol=1e-2) for name, value in module.state_dict().items())


REFUSED: list[tuple[str, Change, str]] = [
    ("c.pth", lambda s: {"G": s, "G_A_ema": s, "G_B_ema": other()}, r"choose one, as in .*c\.pth:G_A_ema"),
    ("c.pth", lambda s: {"models": [s, other()]}, r"fit: models\.0, models\.1; choose one, as in .*:models\.0"),
    ("c.pth:models.2", lambda s: {"models": [s, other()]}, r"no state_dict under 'models\.2'; it holds models\.0"),
    ("c.pth", lambda _: {"opt": ADAM, "opts": [ADAM["state"]]}, "holds no state_dict"),
    ("c.pth", lambda s: {**s, "n" * 10_000: torch.zeros(1)}, r"unexpected: n{80} \.\.\.$"),
    ("c.pth", lambda s: {**s, "main.1.weight": torch.zeros(*[1] * 60)}, r"main\.1\.weight is \[1(, 1){7} \.\.\.\]"),
    ("c.pth", lambda s: {name: value.to("meta") for name, value in s.items()}, "no values"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "change", "says"), REFUSED)
def test_what_is_refused(given: str, change: Change, says: str, tmp_path: Path) -> None:
    torch.save(change(state()), tmp_path / "c.pth")
    with pytest.raises(GantoolError, match=says):
        read(tmp_path, Net(), given)


NORMS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "weight_norm": (nn.utils.weight_norm, nn.utils.parametrizations.weight_norm),
    "spectral_norm": (nn.utils.spectral_norm, nn.utils.parametrizations.spectral_norm),
}


def normed(wrap: Callable[[Any], Any]) -> nn.Module:
    """Return a generator with a norm of weights, as it is after some training."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the old ones are deprecated
        module = nn.Sequential(
            wrap(nn.Linear(8, 48, bias=False)),
            nn.Unflatten(1, (3, 4, 4)),
            wrap(nn.ConvTranspose2d(3, 3, 4, 2, 1)),
            nn.Tanh(),
        ).train()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.rand_like(parameter))
        for _ in range(20):
            module(torch.randn(8, 8))
    return module.eval()


@pytest.mark.parametrize("prefix", ["", "module.G."])
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("norm", NORMS)
def test_both_forms_of_a_norm(norm: str, back: bool, prefix: str, tmp_path: Path) -> None:
    mine, theirs = NORMS[norm][::-1] if back else NORMS[norm]
    saved, module = normed(mine), normed(theirs)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    torch.save({"G": under(prefix, saved.state_dict())}, tmp_path / "c.pth")
    found, _ = read(tmp_path, module)
    module.load_state_dict(found)
    z = torch.randn(4, 8)
    assert torch.allclose(module(z), saved(z), atol=1e-6)


@pytest.mark.parametrize("form", [0, 1])
@pytest.mark.parametrize("norm", NORMS)
def test_a_norm_on_one_side_alone(norm: str, form: int, tmp_path: Path) -> None:
    with_it, without = normed(NORMS[norm][form]), normed(lambda layer: layer)
    torch.save(with_it.state_dict(), tmp_path / "c.pth")
    with pytest.raises(
        GantoolError, match=f"saved with {norm}: let the function return the generator with it"
    ):
        read(tmp_path, without)
    torch.save(without.state_dict(), tmp_path / "c.pth")
    with pytest.raises(GantoolError, match=f"saved without {norm}: let the function return"):
        read(tmp_path, with_it)


class Renaming(Net):
    """A generator that takes the names of an earlier version of itself."""

    def _load_from_state_dict(self, values: State, prefix: str, *rest: Any) -> None:
        for name in [name for name in values if "layers." in name]:
            values[name.replace("layers.", "main.")] = values.pop(name)
        super()._load_from_state_dict(values, prefix, *rest)


def test_a_module_that_renames_by_itself(tmp_path: Path) -> None:
    values = {name.replace("main.1.", "layers.1."): value for name, value in state().items()}
    torch.save(values, tmp_path / "c.pth")
    found, _ = read(tmp_path, Renaming())
    Renaming().load_state_dict(found)


def test_tied_weights_in_safetensors(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    module[1].weight = module[0].weight
    save_model(module, str(tmp_path / "c.safetensors"))
    found, _ = read(tmp_path, module, "c.safetensors")
    assert torch.equal(found["1.weight"], found["0.weight"])


def test_parts_of_a_checkpoint(tmp_path: Path) -> None:
    names = sorted(state())
    for number, inside in enumerate((names[:3], names[3:]), 1):
        part = {name: state()[name] for name in inside}
        save_file(part, tmp_path / f"model-0000{number}-of-00002.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {}}))
    with pytest.raises(GantoolError, match="it is part 2 of 2 of a checkpoint: merge"):
        read(tmp_path, Net(), "model-00002-of-00002.safetensors")
    with pytest.raises(GantoolError, match="is in several files"):
        read(tmp_path, Net(), "model.safetensors.index.json")


def test_a_norm_and_a_list_by_command(tmp_path: Path) -> None:
    (tmp_path / "old_norms.py").write_text(
        "from torch import nn\nfrom torch.nn.utils.parametrizations import spectral_norm as wrap\n"
        "def make():\n    return nn.Sequential(wrap(nn.Linear(8, 48, bias=False)), nn.Unflatten(1, (3, 4, 4)),\n"
        "        wrap(nn.ConvTranspose2d(3, 3, 4, 2, 1)), nn.Tanh())\n"
    )
    runpy.run_path(str(tmp_path / "old_norms.py"))["make"]()
    saved = normed(nn.utils.spectral_norm).state_dict()
    torch.save({"models": [{"w": torch.zeros(1)}, under("module.", saved)]}, tmp_path / "c.pth")
    command = "export --from old_norms:make --weights c.pth:models.1 --latent 8 --engine none"
    answer = gantool(command, tmp_path)
    assert answer.code == 0, answer.err
    assert "c.pth: gantool takes models.1" in answer.err
