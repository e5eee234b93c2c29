"""Access rules: Host header against DNS rebinding, fetch metadata against other sites, token, and security headers."""

import hashlib
import hmac
import ipaddress
import socket
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyclip.errors import RunError
from polyclip.search.server.errors import RequestError

SHORTEST_TOKEN = 16  # characters
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self' blob: data:; style-src 'self'; "
    "script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "x-frame-options": "DENY",
}
PORTS = {"http": 80, "https": 443}  # which browsers leave out of an origin
RETRY = "1"  # seconds, in every 503


def add_headers(app: ASGIApp, headers: dict[str, str]) -> ASGIApp:
    """Wrap an application so that every response, errors too, carries these headers; the application may override
    them.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = MutableHeaders(scope=message)
                for name, value in headers.items():
                    own.setdefault(name, value)
                if message["status"] == 503:
                    own.setdefault("retry-after", RETRY)
            await send(message)

        await app(scope, receive, sent if scope["type"] == "http" else send)

    return wrapped


class Hosts:
    """The host names that a server answers to.

    A page that points its own domain at this machine (DNS rebinding) sends that domain as host, so names are listed one
    by one, while IP
    addresses are allowed. A server on the loopback interface answers to loopback addresses only.
    """

    def __init__(self, host: str, more: Iterable[str] = ()) -> None:
        self.loopback = is_loopback(host)
        own = () if self.loopback else (host, socket.gethostname(), f"{socket.gethostname()}.local", socket.getfqdn())
        self.names = {"localhost", *(name.lower().rstrip(".") for name in (*own, *more))}

    def check(self, header: str) -> None:
        """Check a Host header.

        Raises:
            RequestError: (421) The header names another host.

        """
        name = parse_hostname(header)
        address = parse_address(name)
        if name in self.names or (address is not None and (address.is_loopback or not self.loopback)):
            return
        raise RequestError(
            421,
            f"This server does not answer to the name {name[:80]!r}; 'polyclip serve --allow-host NAME' adds a name.",
        )


def is_loopback(host: str) -> bool:
    """Whether an address is reachable from this machine only."""
    address = parse_address(host)
    return host.lower() == "localhost" or (address is not None and address.is_loopback)


def parse_address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """Parse an IP address; None for a name."""
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def parse_hostname(header: str) -> str:
    """Return the host name in a Host header, without port, brackets and trailing dot; "" where there is none."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def parse_netloc(origin: str) -> str:
    """Host and port of an Origin header; "" for what is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def check_site(headers: Headers, method: str, allowed: Collection[str] = ()) -> None:
    """Check that a request does not come from another site's page; following a link from there is allowed.

    Args:
        headers: Of the request.
        method: Of the request.
        allowed: Origins of other sites whose pages may ask.

    Raises:
        RequestError: (403) Another site's page made the request.

    """
    site, mode = headers.get("sec-fetch-site", "none"), headers.get("sec-fetch-mode", "")
    followed = method == "GET" and mode == "navigate" and headers.get("sec-fetch-dest", "document") == "document"
    foreign = site in ("cross-site", "same-site") and not followed
    origin = headers.get("origin")
    if origin in allowed:
        return
    if foreign or (method != "GET" and origin is not None and parse_netloc(origin) != headers.get("host")):
        raise RequestError(403, "This request came from another site's page; open this page itself and ask there.")


def check_origin(origin: str) -> str:
    """Return an origin whose pages may ask this server.

    Raises:
        RunError: It is not what browsers send: `scheme://host` or `scheme://host:port`, in lower case.

    """
    try:
        parts = urlsplit(origin)
        host = parts.hostname or ""
        port = "" if parts.port in (None, PORTS.get(parts.scheme)) else f":{parts.port}"
        exact = f"{parts.scheme}://[{host}]{port}" if ":" in host else f"{parts.scheme}://{host}{port}"
        right = origin == exact and bool(host) and parts.scheme in PORTS
    except ValueError:
        right = False
    if not right or not origin.isascii() or not origin.isprintable() or set(origin) & set("*@ "):
        raise RunError(
            f"--cors {origin!r} is not an origin; expected what browsers send, such as https://photos.example.org or "
            "http://localhost:3000, without a path or *."
        )
    return origin


class Token:
    """The shared secret of a server that others can reach; compared in constant time and never stored in a browser."""

    def __init__(self, token: str) -> None:
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
            raise RunError(
                f"--token needs at least {SHORTEST_TOKEN} printable ASCII characters without spaces, found "
                f"{len(token)} characters."
            )
        self._token = token.encode()
        self.session = hmac.new(
            self._token, b"polyclip session", hashlib.sha256
        ).hexdigest()  # stored in the cookie instead
        # cookies do not tell ports apart
        self.cookie = f"polyclip-{hmac.new(self._token, b'polyclip cookie', hashlib.sha256).hexdigest()[:8]}"

    def matches(self, given: str) -> bool:
        """Whether a string is the token."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._token)

    def is_authorized(self, request: Request) -> bool:
        """Whether a request carries the session cookie, or the token as `Authorization: Bearer`."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        bearer = scheme.lower() == "bearer" and self.matches(given.strip())
        return (
            hmac.compare_digest(request.cookies.get(self.cookie, "").encode("utf-8", "replace"), self.session.encode())
            or bearer
        )
