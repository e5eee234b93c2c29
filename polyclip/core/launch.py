"""Whether a launcher started this process as one of several, as its environment says."""

from polyclip.core.environment import read_variable, read_whole_number
from polyclip.errors import PolyclipError


def is_launched() -> bool:
    """Whether a launcher started this process as one of several.

    Raises:
        PolyclipError: WORLD_SIZE or RANK is no such number.

    """
    size, rank = read_whole_number("WORLD_SIZE", 1, least=1), read_whole_number("RANK", 0)
    if size == 1 or not read_variable("RANK"):
        return False
    if rank >= size:
        raise PolyclipError(f"RANK is {rank}, expected a number below WORLD_SIZE, which is {size}.")
    return True
