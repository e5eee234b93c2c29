"""A catalog that needs no model: nine plain images, and texts embedded by their letters r, g and b."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from polyclip.search.index import Index
from polyclip.search.server.collections import Catalog, EncoderCache, ServedModel, make_collection
from polyclip.search.server.policy import Hosts
from polyclip.search.server.routes import build_application
from polyclip.search.server.server import ServerOptions, bind_socket, configure_uvicorn

COLOURS = {"red": (1.0, 0.0, 0.0), "green": (0.0, 1.0, 0.0), "blue": (0.0, 0.0, 1.0)}


class LetterModel(ServedModel):
    """Dimension k of a text is its number of letters r, g or b; of an image, its mean red, green or blue."""

    def __init__(self) -> None:
        self.folder, self.name, self.trained = Path("letters"), "letters", ("sw", "en")
        self._encoders = EncoderCache()

    def embed_text(self, query: str, language: str) -> torch.Tensor:
        counts = torch.tensor([[float(query.count(letter)) for letter in "rgb"]])
        return torch.nn.functional.normalize(counts + 1e-3, dim=1)

    def remember_texts(self, texts: Sequence[tuple[str, str]]) -> None:
        return None

    def embed_image(self, image: Image.Image) -> torch.Tensor:
        means = [float(value) for value in image.convert("RGB").resize((1, 1)).getpixel((0, 0))]  # type: ignore[union-attr]
        return torch.nn.functional.normalize(torch.tensor([means]) + 1e-3, dim=1)


class SmallIndex(Index):
    """Three images of each colour, in a folder each."""

    def __init__(self, root: Path) -> None:
        self.folder, self.root, self.model, self._graph, self._loaded = root / "index", root, root, None, None
        self.manifest: Any = SimpleNamespace(
            dim=3, follow_links=False, aligner="letters", different=None, alike=None, examples=None
        )
        self.paths = [f"{colour}/{number}.png" for colour in COLOURS for number in range(3)]
        self.captions = None
        self.numbers = np.arange(len(self.paths))
        self.matrix = np.array([vector for vector in COLOURS.values() for _ in range(3)], np.float32)
        for path in self.paths:
            (root / path).parent.mkdir(exist_ok=True)
            Image.new("RGB", (16, 16), path.partition("/")[0]).save(root / path)


def make_catalog(root: Path) -> Catalog:
    return Catalog({"small": make_collection("small", SmallIndex(root), LetterModel(), None)})


@contextmanager
def serve_locally(app: ASGIApp) -> Iterator[int]:
    """Serve an application as `polyclip serve` does; yields the port."""
    bound = bind_socket(ServerOptions(port=0))
    server = uvicorn.Server(configure_uvicorn(app))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.01)
    try:
        yield bound.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        bound.close()


def make_application(root: Path) -> ASGIApp:
    return build_application(make_catalog(root), Hosts("127.0.0.1"))
