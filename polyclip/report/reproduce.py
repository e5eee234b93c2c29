"""The command that reproduces a run, from its settings."""

import shlex
from dataclasses import fields
from pathlib import Path
from typing import Any

from polyclip.core.registry import find
from polyclip.data.corpus_names import split_name
from polyclip.models.config import ModelConfig

# written even where they are the default: a method may have a default of its own
ALWAYS = ("text_encoder", "vision_tower")
SAME = ("tune", "dim", "loss", "text_layers", "vision_layers", "rank", "teacher")  # recipe keys that are options
RENAMED = {"tune": "train-towers", "dim": "head-dim"}  # options with another name than their key


def build_command(run: dict[str, Any], folder: Path) -> str:
    """Build the `polyclip align` command that reproduces a run in a new folder.

    Args:
        run: Settings in result.json or run.toml.
        folder: The run folder; its name is used for the new one.

    Returns:
        The command with languages, method, encoders, corpus and seed.

    """
    words = ["polyclip", "align"]
    words += list_continued_arguments(run["continued"]) if "continued" in run else list_new_arguments(run)
    if run["corpus"] != "emoji":
        words += [word for part in split_name(run["corpus"]) for word in ("--corpus", str(part))]
    words += list_sampling_arguments(run.get("sample", {}))
    own = run["towers" if find("methods", run["recipe"]["method"]).METHOD.trains_towers else "heads"]
    words += [
        "--epochs",
        str(own["epochs"]),
        "--batch-size",
        str(own["batch_size"]),
        "--seed",
        str(run["heads"]["seed"]),
    ]
    words += ["--precision", run.get("precision", "fp32")]
    words += [] if run.get("class_names", True) else ["--no-class-names"]
    words += [word for file in run.get("class_names_from", []) for word in ("--class-names-from", file)]
    words += ["--encode-precision", run.get("encode_precision", "fp32")]
    words += (["--folds", str(run["folds"])] + ["--final"] * run["final"]) if "folds" in run else []
    return shlex.join([*words, "--out", str(Path("runs") / folder.resolve().name)])


def list_new_arguments(run: dict[str, Any]) -> list[str]:
    """List the arguments of a run with new heads: languages, method, and settings that are not the default."""
    languages = (
        run["languages"][:-1] if run["languages"][-1] == "en" and len(run["languages"]) > 1 else run["languages"]
    )
    words = [word for code in languages for word in ("--lang", code)]
    words += [] if "en" in run["languages"] else ["--no-english"]
    words += ["--method", run["recipe"]["method"]]
    words += [word for key in ALWAYS for word in (f"--{key.replace('_', '-')}", run["recipe"][key])]
    usual = {field.name: field.default for field in fields(ModelConfig)}
    for key in SAME:
        value = run["recipe"].get(key, usual[key])
        if value != usual[key]:
            words += [f"--{RENAMED.get(key, key.replace('_', '-'))}", str(value)]
    return words


def list_continued_arguments(start: dict[str, Any]) -> list[str]:
    """List the arguments of a run that was continued from another."""
    words = [word for code in start["new"] for word in ("--lang", code)] + ["--from", start["from"]]
    words += [] if start["shots"] == "all" else ["--shots", str(start["shots"]), "--shots-by", start["shots_by"]]
    return words + ([] if start["rehearse"] else ["--no-rehearse"])


def list_sampling_arguments(sample: dict[str, Any]) -> list[str]:
    """List the arguments for sampling captions and images."""
    words = ["--num-augmentations", str(sample["views"])] if sample.get("views", 1) != 1 else []
    words += [
        word for name, weight in (sample.get("mix") or {}).items() for word in ("--caption-weights", f"{name}={weight}")
    ]
    return words + (["--temperature", str(sample["temperature"])] if sample.get("temperature") is not None else [])
