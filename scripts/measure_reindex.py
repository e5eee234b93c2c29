"""Time an index of images whose features by the same frozen encoder are kept already.

python scripts/measure_reindex.py runs/sw [NUMBER OF IMAGES]

The images are tiny and drawn by number, and their features random: files are hashed and the head is applied as for
photographs, but large files take longer to hash.
"""

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from PIL import Image

from polyclip.core.encode_precision import current_encode_precision
from polyclip.data.images import make_image_source
from polyclip.models.aligner import load_model
from polyclip.models.image_features import ImageFeatures
from polyclip.search.index import update_index


def main() -> None:
    """Print seconds and rows. The cache keeps about 6 kB an image; 'polyclip cache clear' frees them."""
    run, count = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    vision = load_model(run).vision
    with TemporaryDirectory() as folder:
        images = Path(folder) / "images"
        images.mkdir()
        for number in range(count):
            color = (number % 256, number // 256 % 256, number // 65_536)
            Image.new("RGB", (8, 8), color).save(images / f"{number}.bmp")
        keys = [make_image_source(path).key for path in sorted(images.iterdir())]
        ImageFeatures(vision.tower, current_encode_precision(vision.device)).write(
            keys, torch.rand(count, vision.tower.dim)
        )
        begun = time.perf_counter()
        changes = update_index(images, run, Path(folder) / "index")
        print(f"{len(changes.index):,} images in {time.perf_counter() - begun:.1f} s")


if __name__ == "__main__":
    main()
