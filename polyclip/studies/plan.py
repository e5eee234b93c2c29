"""Methods and learning rates shared by the studies; every method gets the same number of trials."""

from collections.abc import Iterable, Sequence

from polyclip.core.fields import read_fields
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

WHOLE = (5e-5, 1.5e-4)  # where all weights of an encoder, or of some of its blocks, are trained
SMALL = (1e-4, 3e-4)  # where new modules are trained
FEW = (3e-4, 1e-3)  # where only gains and biases are trained
HEADS = (2e-3, 4e-3)
RATES = {"full": WHOLE, "lit": WHOLE, "lit-reversed": WHOLE, "first-blocks": WHOLE, "lilt-ln": FEW, "lilt-bf": FEW}
TRIALS = len(WHOLE)


def list_rates(method: str) -> tuple[float, ...]:
    """List the learning rates to try: none for closed-form methods, which tune their own constants on validation."""
    found = find("methods", method).METHOD
    if found.solve is not None:
        return (0.0,)
    return RATES.get(method, SMALL) if found.trains_towers else HEADS


def make_cell(setting: Setting, method: str, **changes: object) -> Cell:
    """Make the cell of a method under the study's setting, with seed 0."""
    facts = read_fields(setting, ("languages", "asked", "tower", "text_encoder", "corpus")) | changes
    return Cell(method=method, rate=list_rates(method)[0], seed=0, **facts)


def make_variant(setting: Setting, method: str, condition: str = "", tuned_on: str = "", **changes: object) -> Variant:
    """Make a row of a study; a quick study tries the first learning rate only."""
    rates = list_rates(method)[:1] if setting.quick else list_rates(method)
    return Variant(
        label=method, condition=condition, cell=make_cell(setting, method, **changes), rates=rates, tuned_on=tuned_on
    )


def choose_methods(methods: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """Return the study's methods, or the requested ones.

    Raises:
        UnknownName: The study does not have a requested method.

    """
    for name in wanted:
        if name not in methods:
            raise UnknownName("method in this study", name, methods)
    return [name for name in methods if name in set(wanted)] or list(methods)


def plan_all_methods(setting: Setting) -> list[Variant]:
    """Plan every method on all of the data."""
    return [
        make_variant(setting, method)
        for method in choose_methods(QUICK if setting.quick and not setting.methods else METHODS, setting.methods)
    ]
