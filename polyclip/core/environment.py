"""Environment variables: the one place where they are read, and what each of them does."""

import math
import os

from polyclip.errors import PolyclipError

DIGITS = 20  # more make no number of anything
YEAR = 525_600  # minutes
VARIABLES = {
    "POLYCLIP_CACHE": "Folder of features, converted weights and copies of shards. Default: the user's cache folder.",
    "POLYCLIP_ENCODE_PRECISION": "fp32, bf16, int8 or auto, where --encode-precision is not given. Default: auto.",
    "POLYCLIP_SHARD_BYTES": "Bytes of remote shards that are kept in the cache.",
    "POLYCLIP_TIMEOUT": "Minutes that one process of a job waits for another. Default: 60.",
    "POLYCLIP_TOKEN": "The secret of `polyclip serve`, in place of --token.",
    "APERTIUM_DATADIR": "Folder of Apertium's language pairs. Default: share/apertium beside the program.",
    "TERM": "Kind of terminal; with the next five it says whether `polyclip search` can show thumbnails there.",
    "TERM_PROGRAM": "Set by terminals such as iTerm2, WezTerm and Ghostty to their name.",
    "LC_TERMINAL": "Set by iTerm2, also over ssh.",
    "KITTY_WINDOW_ID": "Set by kitty.",
    "TMUX": "Set by tmux, which hands no images on.",
    "STY": "Set by screen, which hands no images on.",
    "RANK": "Number of this process; set by torchrun and accelerate launch.",
    "LOCAL_RANK": "Number of this process on its machine; set by the same.",
    "WORLD_SIZE": "Number of processes of a job; set by the same.",
    "ACCELERATE_MIXED_PRECISION": "Set by accelerate launch; must agree with --precision.",
    "ACCELERATE_USE_FSDP": "Set by accelerate launch; refused, because --shard divides the encoders.",
    "ACCELERATE_USE_DEEPSPEED": "Set by accelerate launch; refused for the same reason.",
}


def read_variable(name: str) -> str:
    """Read an environment variable.

    Args:
        name: One of `VARIABLES`.

    Returns:
        Its value; empty where it is not set.

    Raises:
        KeyError: The variable is not one that polyclip reads.

    """
    if name not in VARIABLES:
        raise KeyError(f"{name} is not in polyclip.core.environment.VARIABLES; add it there, with what it does.")
    return os.environ.get(name, "")


def read_whole_number(name: str, default: int, least: int = 0) -> int:
    """Read an environment variable that is a whole number.

    Args:
        name: One of `VARIABLES`.
        default: The number where it is not set.
        least: The smallest number that makes sense.

    Returns:
        The number.

    Raises:
        PolyclipError: It is anything else.

    """
    text = read_variable(name).strip()
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < DIGITS) or int(text) < least:
        raise PolyclipError(f"{name} is {text[:40]!r}, expected a whole number from {least}, or no {name} at all.")
    return int(text)


def read_minutes(name: str, default: float) -> float:
    """Read an environment variable that is a number of minutes above 0.

    Args:
        name: One of `VARIABLES`.
        default: The minutes where it is not set.

    Returns:
        Minutes, at most a year.

    Raises:
        PolyclipError: It is anything else.

    """
    text = read_variable(name) or str(default)
    try:
        minutes = float(text)
    except ValueError:
        minutes = math.nan
    if not 0 < minutes <= YEAR:
        raise PolyclipError(f"{name} is {text[:40]!r}, expected minutes such as 60, above 0 and at most {YEAR:,}.")
    return minutes
