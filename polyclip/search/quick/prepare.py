"""What queries without torch need in the cache, made once while torch is at hand."""

from pathlib import Path

from polyclip.errors import PolyclipError
from polyclip.search.quick.embed import find_weights, read_text_side
from polyclip.search.quick.tokens import write_pieces


def prepare(run: Path) -> bool:
    """Make the next text queries of a run quick, where that is possible.

    Args:
        run: The run folder.

    Returns:
        Whether they are; a cache that cannot be written leaves them as they are.

    """
    if read_text_side(run / "aligner.safetensors") is None:
        return False
    try:
        if find_weights() is None:
            from polyclip.models.backbone import describe

            describe("encoders", "e5-small").build.weights.get_file("model.safetensors")  # type: ignore[attr-defined]
        write_pieces()
    except PolyclipError:
        return False
    return find_weights() is not None
