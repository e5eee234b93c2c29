"""From the options of `polyclip serve` to a server that runs until it is stopped."""

import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from polyclip.errors import RunError
from polyclip.search.server.collections import Shelf
from polyclip.search.server.policy import Hosts, Token, is_loopback
from polyclip.search.server.routes import application

CONNECTIONS = 256  # at a time; uvicorn answers 503 to more
IDLE = 15  # seconds a connection may stay without a request


@dataclass(frozen=True, kw_only=True)
class Door:
    """Where the server listens, the names it answers to, and the token it asks for (empty: none)."""

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    names: tuple[str, ...] = ()

    def checked(self) -> Token | None:
        """The token. Raises RunError for a host that others can reach and no token, or a token that is easily guessed."""
        if not self.token and not is_loopback(self.host):
            example = secrets.token_urlsafe(24)
            raise RunError(
                f"--host {self.host} lets other machines ask, so it needs a token that they must know, such as: --token {example}"
            )
        return Token(self.token) if self.token else None


def listening(door: Door) -> socket.socket:
    """A socket bound to host and port. Raises RunError where that cannot be."""
    bound = None
    try:
        family, _, _, _, address = socket.getaddrinfo(
            door.host, door.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise RunError(
            f"Cannot listen on {door.host}, port {door.port}: {error.strerror or error}. Choose another --port or --host."
        ) from error
    return bound


def address_of(bound: socket.socket) -> str:
    """Its URL."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def opened(indexes: Sequence[Path], door: Door) -> ASGIApp:
    """The application over these indexes, its text towers built. Raises what `Door.checked` and `Shelf.open` raise."""
    token = door.checked()
    shelf = Shelf.open(indexes)
    shelf.warm()
    return application(shelf, Hosts(door.host, door.names), token)


def serve(indexes: Sequence[Path], door: Door, ready: Callable[[str], None]) -> None:
    """Answer until interrupted; `ready` is told the address. No log of what is asked is kept: addresses hold queries."""
    door.checked()
    bound = listening(door)
    try:
        app = opened(indexes, door)
        ready(address_of(bound))
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=IDLE,
            lifespan="off",
        )
        uvicorn.Server(config).run(sockets=[bound])
    finally:
        bound.close()
