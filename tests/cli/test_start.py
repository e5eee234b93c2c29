"""Start-up: what `polyclip --help` says without importing a command, and what no command may import before it must."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from polyclip import cli
from polyclip.cli.main import COMMANDS, GROUPS, load_command

FILES = {path.stem for path in Path(str(cli.__file__)).parent.glob("[a-z]*.py")} - {"main"}
HEAVY = {
    "torch",
    "transformers",
    "timm",
    "numpy",
    "pydantic",
    "langcodes",
    "PIL",
    "rich.progress",
    "polyclip.data.corpus",
}
HELP = (
    "import sys; sys.argv = ['polyclip', '--help']\nfrom polyclip.cli.main import main\ntry: main()\nexcept "
    "SystemExit: print('imported', *sys.modules)"
)


def test_every_command_is_listed() -> None:
    assert set(COMMANDS) == FILES
    assert set(GROUPS) == {name for name in FILES if hasattr(importlib.import_module(f"polyclip.cli.{name}"), "app")}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name: str) -> None:
    command = load_command(name)
    assert " ".join(command.help.split("\n\n")[0].split()) == COMMANDS[name]
    assert not hasattr(command, "commands") or set(command.commands) == set(GROUPS[name])


def test_a_search_imports_nothing_of_training() -> None:
    """Half a second and more, each."""
    code = "import sys, polyclip.search.folder\nfrom polyclip.cli import search\nprint(*sys.modules)"
    imported = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert {"torch", "polyclip.models.aligner"} <= imported
    assert {
        "torch.distributed.tensor",
        "torch.distributed.fsdp",
        "torch._dynamo",
        "accelerate",
        "transformers",
        "timm",
    } & imported == set()


def test_a_training_step_imports_neither_dtensor_nor_sympy() -> None:
    """Together a second, in the first clip of accelerate."""
    code = (
        "import sys, torch\n"
        "from polyclip.training import compute, loop\n"
        "model = torch.nn.Linear(3, 2)\n"
        "model(torch.ones(1, 3)).sum().backward()\n"
        "compute.clip_gradients(compute.create_accelerator(compute.Compute()), model, 0.5)\n"
        "print(sum(p.grad.square().sum().item() for p in model.parameters()) ** 0.5, *sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    length, *imported = done.stdout.split()
    assert float(length) == pytest.approx(0.5, rel=1e-4)
    assert "accelerate" in imported
    heavy = {"torch.distributed.tensor", "torch._dynamo", "sympy", "scipy", "timm", "transformers"}
    assert heavy & set(imported) == set()


def test_help_imports_no_command_and_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    shown, _, imported = done.stdout.rpartition("imported")
    assert all(name in shown for name in COMMANDS)
    assert "polyclip.cli.main" in imported.split()
    assert HEAVY & set(imported.split()) == set()
    assert {f"polyclip.cli.{name}" for name in COMMANDS} & set(imported.split()) == set()
