"""python -I run.py TARGET FOLDER MATERIAL: encode MATERIAL's captions and pictures, write MATERIAL/vectors.npz."""

import json
import runpy
import sys
from pathlib import Path

import numpy as np
from PIL import Image


def main() -> None:
    """Read, encode, write; `polyclip` must not have been imported on the way."""
    program, folder, material = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    captions = json.loads((material / "captions.json").read_text("utf-8"))
    pictures = [Image.open(path).convert("RGB") for path in sorted(material.glob("*.png"))]
    vectors = runpy.run_path(str(Path(__file__).with_name(f"{program}.py")))["vectors"]
    found = vectors(folder, captions, pictures)
    np.savez(material / "vectors.npz", **{name: np.asarray(value) for name, value in found.items()}, alone="polyclip" not in sys.modules)


if __name__ == "__main__":
    main()
