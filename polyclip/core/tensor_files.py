"""Safetensors files that equal contents make equal byte for byte. Without torch."""

import json
from pathlib import Path

from polyclip.core.json import parse_json
from polyclip.errors import WeightsError

LENGTH = 8  # bytes before the header of a safetensors file, which hold its length


def sort_metadata(path: Path) -> None:
    """Sort the metadata of a safetensors file, whose order is another in every process: equal models, equal files."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(LENGTH), "little")
        header = parse_json(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) > size:
            raise WeightsError(f"The header of {path.name} grew while it was sorted; please report this.")
        file.seek(LENGTH)
        file.write(text.ljust(size))
