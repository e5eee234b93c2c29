"""Cells of the studies that ask what captions bring on top of a model trained on English alone."""

from polyclip.studies.cells import Cell, ShotSpec
from polyclip.studies.runner import Setting
from polyclip.training.config import CONTINUED_HEADS

METHOD = "head-glu"
DIM = 96  # as in the other studies


def make_continued_cell(setting: Setting, code: str, trained: tuple[str, ...], few: ShotSpec) -> Cell:
    """Make a cell with seed 0 that goes on from English alone.

    Args:
        setting: Tower, text encoder and corpus.
        code: Of the language that the study asks about.
        trained: Codes of the languages whose captions are seen, English last.
        few: The captions.

    Returns:
        The cell; the language is asked about also where it is not trained.

    """
    return Cell(
        method=METHOD,
        rate=CONTINUED_HEADS.learning_rate,
        seed=0,
        languages=trained,
        asked=() if code in trained else (code,),
        tower=setting.tower,
        text_encoder=setting.text_encoder,
        corpus=setting.corpus,
        dim=DIM,
        few=few,
    )
