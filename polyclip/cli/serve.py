"""Command `polyclip serve`."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.errors import RunError

CAPTION_WEIGHT = 0.7  # as polyclip/search/ranking.py has it, which would load numpy for --help
NEEDED = ("starlette", "uvicorn", "jinja2", "python_multipart")


def command(
    index: Annotated[
        list[Path],
        typer.Option(help="Folder made by 'polyclip index'; repeat to compare models side by side."),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but the loopback requires --token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 for any free one.")] = 8000,
    token: Annotated[
        str, typer.Option(help="Secret that visitors must enter; at least 16 characters.", envvar="POLYCLIP_TOKEN")
    ] = "",
    allow_host: Annotated[
        list[str] | None, typer.Option(help="Additional host name of the server, such as a proxy's.")
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="Origin of another site whose pages may ask, such as https://example.org; repeat for more."),
    ] = None,
    caption_weight: Annotated[
        float,
        typer.Option(min=0, max=1, help="Weight of captions that an index has; 0 for images alone."),
    ] = CAPTION_WEIGHT,
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        typer.Option(help="Least level of what is logged; info has a line for each request, without its query."),
    ] = "warning",
) -> None:
    """Serve a web page to search images in any language; reachable from this machine only, unless --host says
    otherwise.
    """
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise RunError(
            f"'polyclip serve' needs {', '.join(missing)}, which is not installed: pip install 'polyclip[serve]'."
        )
    from polyclip.search.server.server import ServerOptions, serve

    options = ServerOptions(
        host=host,
        port=port,
        token=token,
        names=tuple(allow_host or ()),
        origins=tuple(cors or ()),
        log_level=log_level,
        caption_weight=caption_weight,
    )
    console = PlainConsole()
    asks = " (asks for the token)" if token else ""
    serve(
        index,
        options,
        lambda address: console.print(f"{address}{asks}\nStop with Ctrl-C.", highlight=False, soft_wrap=True),
    )
