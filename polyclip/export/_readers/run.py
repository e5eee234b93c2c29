"""python -I run.py TARGET FOLDER MATERIAL: encode MATERIAL's captions and pictures, write MATERIAL/vectors.npz."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def main() -> None:
    """Read, encode, write; `polyclip` must not have been imported on the way."""
    program, folder, material = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    captions = json.loads((material / "captions.json").read_text("utf-8"))
    pictures = [Image.open(path).convert("RGB") for path in sorted(material.glob("*.png"))]
    vectors = runpy.run_path(str(Path(__file__).with_name(f"{program}.py")))["vectors"]
    found = vectors(folder, captions, pictures)
    if "polyclip" in sys.modules:
        raise ImportError("polyclip was imported: this check is to be made without it")
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in found.items()}
    np.savez(material / "vectors.npz", **arrays)


if __name__ == "__main__":
    main()
