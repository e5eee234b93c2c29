"""The page's own style, script, icon and translations: read once, since a thread for each request costs more than the
rest of its answer.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}  # whatever this system's table says


@dataclass(frozen=True)
class StaticFile:
    """A file in memory."""

    data: bytes
    media_type: str
    etag: str


class StaticFiles:
    """All files of a folder, by their path below it."""

    def __init__(self, folder: Path) -> None:
        self.files = {
            path.relative_to(folder).as_posix(): read_static_file(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    async def get_file(self, request: Request) -> Response:
        """GET /static/PATH: a file, or 304 where the browser has it.

        Raises:
            HTTPException: (404) There is no such file.

        """
        found = self.files.get(request.path_params["path"])
        if found is None:
            raise HTTPException(404)
        headers = {"etag": found.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == found.etag:
            return Response(status_code=304, headers=headers)
        return Response(found.data, media_type=found.media_type, headers=headers)


def read_static_file(path: Path) -> StaticFile:
    """Read a file and choose its media type."""
    data = path.read_bytes()
    media = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    return StaticFile(data, media, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
