"""What the studies have in common: methods with the learning rates that are tried for them, as many for each."""

from collections.abc import Iterable, Sequence

from polyclip.core.registry import find
from polyclip.errors import UnknownName
from polyclip.studies.cells import Cell
from polyclip.studies.runner import Setting, Variant

METHODS = [
    *(
        "full",
        "lit",
        "lit-reversed",
        "heads",
        "lilt-ln",
        "lilt-bf",
        "lilt-lwa",
        "lilt-lwa-ln",
        "lilt-lwa-bf",
        "lilt-da",
        "lilt-da-ln",
    ),
    *("lora", "first-blocks", "head-glu", "structure", "ridge", "procrustes", "asif"),
]
QUICK = ["full", "heads", "lilt-da", "head-glu", "asif"]

WHOLE = (5e-5, 1.5e-4)  # where all weights of a tower, or of some of its blocks, are trained
SMALL = (1e-4, 3e-4)  # where new parts are
FEW = (3e-4, 1e-3)  # where only gains and biases are
HEADS = (2e-3, 4e-3)
RATES = {"full": WHOLE, "lit": WHOLE, "lit-reversed": WHOLE, "first-blocks": WHOLE, "lilt-ln": FEW, "lilt-bf": FEW}
TRIALS = len(WHOLE)


def rates_of(method: str) -> tuple[float, ...]:
    """Learning rates tried: of a closed form none, since it tries its own constants on validation."""
    found = find("methods", method).METHOD
    if found.solve is not None:
        return (0.0,)
    return RATES.get(method, SMALL) if found.inside else HEADS


def cell(setting: Setting, method: str, **changes: object) -> Cell:
    """Seed 0 of a method under the study's setting."""
    facts = {key: getattr(setting, key) for key in ("languages", "asked", "tower", "text_encoder", "corpus")} | changes
    return Cell(method=method, rate=rates_of(method)[0], seed=0, **facts)


def variant(setting: Setting, method: str, condition: str = "", tuned_on: str = "", **changes: object) -> Variant:
    """A row: in a quick study the first rate alone is tried."""
    rates = rates_of(method)[:1] if setting.quick else rates_of(method)
    return Variant(
        label=method, condition=condition, cell=cell(setting, method, **changes), rates=rates, tuned_on=tuned_on
    )


def chosen(methods: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """The study's methods, or those of them that were asked for.

    Raises UnknownName for one that the study does not have.
    """
    for name in wanted:
        if name not in methods:
            raise UnknownName("method in this study", name, methods)
    return [name for name in methods if name in set(wanted)] or list(methods)


def every_method(setting: Setting) -> list[Variant]:
    """Every method on all of the data."""
    return [
        variant(setting, method)
        for method in chosen(QUICK if setting.quick and not setting.methods else METHODS, setting.methods)
    ]
