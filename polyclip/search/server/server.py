"""Start the server of `polyclip serve`."""

import os
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from threading import Thread

import uvicorn
from starlette.types import ASGIApp

from polyclip.errors import RunError
from polyclip.languages.identify import load_identifier
from polyclip.search.ranking import CAPTION_WEIGHT
from polyclip.search.server.collections import Catalog
from polyclip.search.server.connections import IDLE, Connection, allow_files
from polyclip.search.server.logs import Level, log_to_stderr
from polyclip.search.server.policy import Hosts, Token, check_origin, is_loopback
from polyclip.search.server.routes import build_application

SENT = 2**17  # bytes of answers that the system keeps for a client that does not take them, at least
TURN = 0.0005  # seconds for which a thread keeps the interpreter while others wait
PRODUCTS = 64  # of matrices, whose code oneDNN keeps
GRACE = 10  # seconds for requests under way when the server is stopped


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Where the server listens, its host names, its token (empty: none), other sites that may ask, its log, and the
    weight of captions.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    names: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    log_level: Level = "warning"
    caption_weight: float = CAPTION_WEIGHT

    def make_token(self) -> Token | None:
        """Return the token, or None where none is needed.

        Raises:
            RunError: Others can reach the host and there is no token, or the token is too short.

        """
        if not self.token and not is_loopback(self.host):
            example = secrets.token_urlsafe(24)
            raise RunError(
                f"--host {self.host} is reachable from other machines, so it requires a token, such as: --token "
                f"{example}"
            )
        return Token(self.token) if self.token else None


def bind_socket(options: ServerOptions) -> socket.socket:
    """Bind a socket to host and port.

    Raises:
        RunError: That is not possible.

    """
    bound = None
    try:
        family, _, _, _, address = socket.getaddrinfo(
            options.host, options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SENT)  # its connections inherit it
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # else a body waits 40 ms for its header's receipt
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise RunError(
            f"Cannot listen on {options.host}, port {options.port}: {error.strerror or error}. Choose another --port "
            "or --host."
        ) from error
    return bound


def format_address(bound: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def open_application(indexes: Sequence[Path], options: ServerOptions) -> ASGIApp:
    """Open the indexes and build the application, with its text encoders loaded.

    Args:
        indexes: Index folders, or folders of images that hold one.
        options: Host names, token and origins.

    Returns:
        An ASGI application.

    Raises:
        DataError: An index cannot be opened.
        RunError: The options are insecure, or a run does not match its index.

    """
    token, origins = options.make_token(), [check_origin(origin) for origin in options.origins]
    catalog = Catalog.open(indexes, options.caption_weight)
    catalog.warm_up()
    return build_application(catalog, Hosts(options.host, options.names), token, origins)


def serve(indexes: Sequence[Path], options: ServerOptions, ready: Callable[[str], None]) -> None:
    """Serve until interrupted.

    Args:
        indexes: Index folders, or folders of images that hold one.
        options: Address, host names, token, origins and logging.
        ready: Called with the URL once the server listens.

    Raises:
        DataError: An index cannot be opened.
        RunError: The address cannot be bound, the options are insecure, or a run does not match its index.

    """
    prepare_process()
    Thread(target=load_identifier, daemon=True).start()  # a third of the time until the first answer, beside the rest
    options.make_token(), [check_origin(origin) for origin in options.origins]  # before anything is loaded
    with closing(bind_socket(options)) as bound, log_to_stderr(options.log_level):
        app = open_application(indexes, options)
        bound.listen()  # so that whoever reads the address is let in
        ready(format_address(bound))
        uvicorn.Server(configure_uvicorn(app)).run(sockets=[bound])


def prepare_process() -> None:
    """Set what a process that answers many at once needs: files, short turns of its threads, and few kept products.

    A thread that encodes would keep the one that reads requests waiting for up to 5 ms at each read. oneDNN keeps the
    code of 1,024 products by their shapes, and each batch of queries has another: hundreds of megabytes.
    """
    allow_files()
    sys.setswitchinterval(TURN)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(PRODUCTS))


def configure_uvicorn(app: ASGIApp) -> uvicorn.Config:
    """Return uvicorn's settings: our own limits and time-outs, and our own log."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_keep_alive=ceil(IDLE),
        timeout_graceful_shutdown=GRACE,
    )
