"""Time of queries while an index is open: from the start of `polyclip serve` to its first answer, a query, the search.

    python -m speed.search_time --model runs/sw-head-mlp [--rows 100000] [--queries 200] [--rounds 5]

An index of so many rows is written: embeddings of images of the starter corpus, with noise, under names of images that
are not there. The server is a process of its own and is asked over HTTP, with names of the starter corpus, each once;
answers without HTTP, and the search alone, are timed in this process.
"""

import http.client
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch.nn.functional import normalize

from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.model_identity import hash_model
from polyclip.search._format import Entry
from polyclip.search.build import IndexRows, IndexSources, write_index
from polyclip.search.server.collections import Catalog
from polyclip.search.server.query import SearchRequest, answer_request, detect_request_language, parse_request
from speed._material import load_captions, load_images

IMAGES = 200  # of which rows are made
NOISE = 0.7  # length of what is added to each
TOP = 48  # hits of a page
Spent = tuple[float, float | None]  # seconds and CPU seconds, where these are known
WAIT = 20.0  # seconds after the first answer, in which the server builds its text encoder


def make_index(model: Path, aligner: PolyCLIP, rows: int, folder: Path) -> Path:
    """Write an index of `rows` rows into `folder` and return its path."""
    numbers = torch.Generator().manual_seed(0)
    some = torch.cat([aligner.encode_image([image.open()]) for image in load_images(IMAGES, "noto")])
    noise = normalize(torch.randn(rows, some.shape[1], generator=numbers), dim=1) * NOISE
    embeddings = normalize(some[torch.randint(len(some), (rows,), generator=numbers)] + noise, dim=1)
    entries = [Entry(path=f"{row:06}.jpg", number=row, size=-1, changed=0, key="") for row in range(rows)]
    (folder / "images").mkdir()
    (folder / "index").mkdir()
    of = IndexSources(folder / "images", model, hash_model(model / "aligner.safetensors"))
    write_index(folder / "index", None, IndexRows(entries, embeddings, rows), of, aligner)
    return folder / "index"


@contextmanager
def serve(index: Path) -> Iterator[tuple[http.client.HTTPConnection, float]]:
    """Start `polyclip serve`; yields a connection and the moment when the process was started."""
    started = time.monotonic()
    command = [sys.executable, "-m", "polyclip", "serve", "--index", str(index), "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None  # noqa: S101 (for the type checker)
        address = server.stdout.readline().strip()
        if not address:
            raise SystemExit("The server did not start; its message stands above.")
        yield http.client.HTTPConnection(address.split("/")[2]), started
    finally:
        server.terminate()
        server.wait()


def ask(connection: http.client.HTTPConnection, text: str) -> float:
    """Ask the API for a text, and return the seconds until the whole answer was read."""
    started = time.monotonic()
    connection.request("GET", f"/api/search?lang=sw&top={TOP}&q={quote(text)}")
    answer = connection.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"The server answered {answer.status} to {text!r}.")
    return time.monotonic() - started


def time_first(index: Path, text: str) -> float:
    """Seconds from the start of a server to its first answer."""
    with serve(index) as (connection, started):
        ask(connection, text)
        return time.monotonic() - started


def time_queries(index: Path, texts: list[str]) -> list[float]:
    """Seconds of each query of a server whose text encoder is built."""
    with serve(index) as (connection, started):
        ask(connection, texts[0])
        time.sleep(WAIT)
        connection.close()  # the server hangs up on those who say nothing; the next question connects again
        ask(connection, texts[1])
        return [ask(connection, text) for text in texts[2:]]


def time_search(index: Path, texts: list[str]) -> dict[str, list[Spent]]:
    """Seconds and CPU seconds of answers and of the search in them, in this process, for each text."""
    catalog = Catalog.open([index])
    (each,) = catalog.collections.values()
    each.model.build_text_encoder()
    answers: list[Spent] = []
    searches: list[Spent] = []
    for text in texts:
        asked = parse_request(catalog, {"q": text, "lang": "sw", "top": str(TOP)})
        answers.append(time_call(partial(answer_text, asked)))
        row = each.model.embed_text(text, "sw")
        searches.append(time_call(partial(each.index.search_embeddings, row, TOP)))
    return {"answer, in one process": answers[1:], "search itself": searches[1:]}  # the first reads from disk


def answer_text(asked: SearchRequest) -> None:
    """Answer a request as the server does."""
    answer_request(asked, detect_request_language(asked))


def time_call(call: Callable[[], object]) -> Spent:
    """Seconds and CPU seconds, of all threads, of a call."""
    started, used = time.monotonic(), time.process_time()
    call()
    return time.monotonic() - started, time.process_time() - used


def main(
    model: Annotated[Path, typer.Option(help="Run folder of the model.")],
    rows: Annotated[int, typer.Option(min=100)] = 100_000,
    queries: Annotated[int, typer.Option(min=10)] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="Starts of the server.")] = 5,
) -> None:
    """Print the table of times."""
    aligner = load_model(model)
    texts = list(dict.fromkeys(load_captions(5 * queries)))[:queries]
    with tempfile.TemporaryDirectory() as name:
        index = make_index(model, aligner, rows, Path(name))
        starts: list[Spent] = [(time_first(index, texts[0]), None) for _ in range(rounds)]
        asked: list[Spent] = [(seconds, None) for seconds in time_queries(index, texts)]
        found = {"first answer, from the start of polyclip serve": starts, "query over HTTP": asked}
        found |= time_search(index, texts)
    table = Table("", "ms, median", "95 %", "CPU ms, median", "times", title=f"an index of {rows:,} images")
    for label, each in found.items():
        seconds = sorted(one for one, _ in each)
        cpu = [one for _, one in each if one is not None]
        late = seconds[round(0.95 * (len(each) - 1))]
        spent = f"{1e3 * statistics.median(cpu):,.1f}" if cpu else ""
        table.add_row(label, f"{1e3 * statistics.median(seconds):,.1f}", f"{1e3 * late:,.1f}", spent, str(len(each)))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
