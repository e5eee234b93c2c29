"""From the settings of a run, as run.toml has them, to a configuration: the same run again, or one with changes."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from polyclip.core.encode_precision import get_chosen_precision
from polyclip.core.expected import describe_expected
from polyclip.core.fields import read_fields
from polyclip.core.nearby import RUN_FOLDER, hint_folder
from polyclip.core.registry import find
from polyclip.core.run_folder import read_settings
from polyclip.core.storage import read_plain_text
from polyclip.core.toml import parse_toml
from polyclip.data.pairs import SamplingConfig
from polyclip.errors import PolyclipError, RunError, UnknownName
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_language
from polyclip.models.config import ModelConfig
from polyclip.training.compute import Compute, check_compute
from polyclip.training.config import AlignConfig, OptimizerConfig
from polyclip.training.finetune import Continuation, describe_continuation, plan_continuation, read_recipe
from polyclip.training.options import AlignOptions, AlignRequest
from polyclip.training.shots import Shots

T = TypeVar("T")
SECTIONS: Mapping[str, type] = MappingProxyType(
    {"sample": SamplingConfig, "recipe": ModelConfig, "heads": OptimizerConfig, "towers": OptimizerConfig}
)
TOP: Mapping[str, Any] = MappingProxyType(  # keys outside of sections, and their types
    {"languages": list[str], "corpus": str, "precision": str, "encode_precision": str, "class_names": bool}
    | {"class_names_from": list[str], "folds": int, "final": bool}
)
CONTINUED: Mapping[str, Any] = MappingProxyType(
    {
        "from": str,
        "weights": str,
        "new": list[str],
        "shots": int | str,
        "shots_by": str,
        "seed": int,
        "rehearse": bool,
        "source": str,
    }
)
RECORDED = ("advice", "corpora")  # what a run found out: it follows from the rest
BESIDE = {  # options that settings do not decide
    "settings",
    "changes",
    "out",
    "resume",
    "track",
    "allow_leakage",
    "max_drop",
    "max_bad",
    "micro_batch",
    "shard",
    "typed",
}
DEFAULTS = {field.name: field.default for field in fields(AlignOptions)}
OPTIMIZER = "optimizer"  # in --set: the section of the method's own phase


def load_settings(path: Path, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Load the settings of a run and change them.

    Args:
        path: A run folder, or its run.toml.
        changes: Texts KEY=VALUE such as `heads.epochs=5`; `optimizer.` is the section of the method's own phase.

    Returns:
        The settings, with known keys of the right types.

    Raises:
        RunError: The file cannot be read, or a change or value is of the wrong form.
        UnknownName: There is no such key; the nearest are named.

    """
    table = read_settings(path) if path.is_dir() else read_settings_file(path)
    table = {key: value for key, value in table.items() if key not in RECORDED}
    check_settings(table, str(path))
    for change in changes:
        set_value(table, change)
    check_settings(table, "--set")
    return table


def read_settings_file(path: Path) -> dict[str, Any]:
    """Read settings from a file of any name.

    Raises:
        RunError: It cannot be read or is not TOML.

    """
    try:
        return parse_toml(read_plain_text(path))
    except OSError as error:
        raise RunError(
            f"--settings {path} cannot be read: {error.strerror or error}; give a run.toml or its folder."
            f"{hint_folder(path, RUN_FOLDER)}"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RunError(f"--settings {path} is not TOML ({error}).") from error


def request_from_settings(options: AlignOptions) -> AlignRequest:
    """Resolve languages, method and folder of a run by settings.

    Raises:
        PolyclipError: An option was given that the settings decide, or a change without settings.

    """
    if options.settings is None:
        raise PolyclipError("--set requires --settings: add it with a run's folder or its run.toml.")
    given = {name for name, value in read_fields(options, DEFAULTS).items() if value not in (DEFAULTS[name], [])}
    wrong = sorted((given | options.typed) - BESIDE)
    if wrong:
        first = {"start": "--from", "targets": "--for"}.get(wrong[0], f"--{wrong[0].replace('_', '-')}")
        raise PolyclipError(
            f"--settings {options.settings} decides {first}: omit it, or change a setting with --set KEY=VALUE "
            "(run.toml has the keys)."
        )
    table = load_settings(options.settings, options.changes or [])
    run = options.settings if options.settings.is_dir() else options.settings.parent
    name = run.resolve().name if (run / "run.toml").is_file() else options.settings.stem
    folder = options.out or Path("runs") / f"{name}-{'changed' if options.changes else 'again'}"
    new = table.get("continued", {}).get("new")
    languages = [resolve_language(code) for code in new or table["languages"]]
    return AlignRequest(languages, table["recipe"]["method"], "", folder)


def config_from_settings(options: AlignOptions, out: Path) -> AlignConfig:
    """Build the configuration of a run by settings; how it is computed and noted stays with the options.

    Raises:
        PolyclipError: A setting is wrong, or --encode-precision was given.

    """
    table = load_settings(cast(Path, options.settings), options.changes or [])
    precision = table.get("encode_precision", "fp32")
    chosen = get_chosen_precision()
    if chosen and chosen != precision:
        raise PolyclipError(
            f"--settings {options.settings} decides --encode-precision: omit it, or write --set "
            f"encode_precision={chosen}."
        )
    run = build_from_settings(table, out)
    compute = replace(run.compute, micro_batch=options.micro_batch, shard=options.shard)
    check_compute(compute)
    return replace(
        run,
        compute=compute,
        encode_precision=precision,
        resume=options.resume,
        allow_leakage=options.allow_leakage,
    )


def list_keys(table: Mapping[str, Any]) -> dict[str, Any]:
    """All keys of settings with their types; those of `continued` only where the run was continued."""
    found = dict(TOP)
    for section, kind in SECTIONS.items():
        found |= {f"{section}.{name}": hint for name, hint in get_type_hints(kind).items()}
    continued = {f"continued.{name}": hint for name, hint in CONTINUED.items()} if "continued" in table else {}
    return found | continued


def set_value(table: dict[str, Any], change: str) -> None:
    """Change one value in place.

    Raises:
        RunError: The text is not KEY=VALUE.
        UnknownName: There is no such key.

    """
    key, equals, text = (part.strip() for part in change.partition("="))
    if not (key and equals):
        raise RunError(f"--set {change}: expected KEY=VALUE, such as heads.epochs=5.")
    section, _, name = key.rpartition(".")
    known = list_keys(table)
    if section == OPTIMIZER:
        section = get_own_phase(table)
    full = f"{section}.{name}" if section else name
    if full not in known:
        names = [*known, *(f"{OPTIMIZER}.{field.name}" for field in fields(OptimizerConfig))]
        raise UnknownName("setting", key, names, "run.toml of a run shows all of them.")
    (table.setdefault(section, {}) if section else table)[name] = parse_value(text, known[full])


def parse_value(text: str, kind: Any) -> Any:
    """Parse a value as TOML does; a text needs no quotes, and a list of one language no brackets."""
    if kind is str:
        return text.strip("\"'")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    return value.split(",") if kind == list[str] and isinstance(value, str) else value


def get_own_phase(table: Mapping[str, Any]) -> str:
    """The section of the phase that the method's options of training steer."""
    return "towers" if find("methods", table["recipe"]["method"]).METHOD.trains_towers else "heads"


def check_settings(table: Mapping[str, Any], where: str) -> None:
    """Check that settings have all sections, known keys, and values of the right types.

    Raises:
        RunError: A key is missing, or a value has the wrong type.
        UnknownName: There is no such key.

    """
    known = list_keys(table)
    missing = [key for key in ("languages", "corpus", *SECTIONS) if key not in table]
    if missing:
        raise RunError(f"{where} has no {missing[0]!r}; expected the run.toml of a run that polyclip align made.")
    for key, value in table.items():
        section = key in SECTIONS or key == "continued"
        if section and not isinstance(value, dict):
            raise RunError(f"{where}: {key} is not a section but {value!r}.")
        for full, own in {f"{key}.{name}": one for name, one in value.items()}.items() if section else [(key, value)]:
            check_value(full, own, known, where)


def check_value(key: str, value: Any, known: Mapping[str, Any], where: str) -> None:
    """Check one value.

    Raises:
        RunError: It has the wrong type.
        UnknownName: There is no such key.

    """
    if key not in known:
        raise UnknownName(f"setting in {where}", key, known)
    try:
        TypeAdapter(known[key]).validate_python(value, strict=True)
    except ValidationError as error:
        wanted = describe_expected(error.errors()[0])
        raise RunError(f"{where}: {key} = {value!r}, expected {wanted}.") from error


def build_from_settings(table: dict[str, Any], out: Path) -> AlignConfig:
    """Build the configuration of a run from its settings.

    Args:
        table: As `load_settings` returns it.
        out: The new run's folder.

    Returns:
        The configuration.

    Raises:
        RunError: The run that it was continued from is another one now.
        PolyclipError: A language, method, corpus or option does not exist or does not work here.

    """
    compute = Compute(precision=table.get("precision", "fp32"))
    check_compute(compute)
    continued = build_continuation(table["continued"]) if "continued" in table else None
    recipe = fill(ModelConfig, table["recipe"]) if continued is None else read_recipe(continued.start)
    find("methods", recipe.method)
    return AlignConfig(
        languages=[resolve_language(code) for code in table["languages"]] if continued is None else continued.trained,
        recipe=recipe,
        out=out,
        corpus=table["corpus"],
        sample=fill(SamplingConfig, table["sample"]),
        heads=fill(OptimizerConfig, table["heads"]),
        towers=fill(OptimizerConfig, table["towers"]),
        continued=continued,
        compute=compute,
        class_names=table.get("class_names", True),
        class_names_from=tuple(table.get("class_names_from", ())),
        folds=table.get("folds", 1),
        final=table.get("final", False),
    )


def fill(kind: type[T], section: Mapping[str, Any]) -> T:
    """Make one dataclass of a section; a whole number is taken where a fraction is expected."""
    hints = get_type_hints(kind)
    return kind(**{key: float(value) if hints[key] is float else value for key, value in section.items()})


def build_continuation(table: Mapping[str, Any]) -> Continuation:
    """Build the plan of a continued run.

    Raises:
        RunError: The earlier run is not there, or has other weights.

    """
    shots = Shots(
        count=None if table["shots"] == "all" else int(table["shots"]),
        by=table["shots_by"],
        seed=table["seed"],
        rehearse=table["rehearse"],
        source=table["source"],
    )
    continued = plan_continuation(Path(table["from"]), [load_language(code) for code in table["new"]], shots)
    found = describe_continuation(continued)["weights"]
    if found != table["weights"]:
        raise RunError(
            f"{table['from']} has other weights than the run that was continued (now {found}, then "
            f"{table['weights']}): give the run's folder with --set continued.from=..., or accept this one with "
            f"--set continued.weights={found}."
        )
    return continued
