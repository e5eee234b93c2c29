"""Moments at which a process kills itself: before each change of a file, and in the middle of what it writes."""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "open", "sqlite3.connect")
RANDOM = re.compile(
    r"\.([a-z0-9_]{8,9})\.part|\.tmp\w{6}|(?<=whole)\.\w{8}|\.[a-z0-9_]{8}(?=/whole|$)|\b[0-9a-f]{12,}\b"
)
Act = Callable[[], object]


class Trap:
    """Counts the moments of a process and kills it at one of them.

    Args:
        root: Only changes below this folder count.
        at: The number of the moment at which it is killed; -1 to write them all down.
        log: Where they are written.

    """

    def __init__(self, root: Path, at: int, log: Path) -> None:
        self.root, self.at, self.log, self.seen = str(root), at, log, 0
        self.lines = log.open("w", encoding="utf-8")

    def reach(self, kind: str, path: str, act: Act = lambda: None) -> None:
        """Pass a moment: nothing happens, or `act` and the end."""
        if self.seen == self.at:
            self.at = -1
            act()
            os.kill(os.getpid(), signal.SIGKILL)
        self.seen += 1
        self.lines.write(f"{kind} {RANDOM.sub('.*', os.path.relpath(path, self.root))}\n")
        self.lines.flush()

    def watch(self, event: str, given: tuple[Any, ...]) -> None:
        """Audit hook: what Python is about to do to a file."""
        if event not in CHANGES or not given or not isinstance(given[0], str | bytes | os.PathLike):
            return
        if event == "open" and not given[2] & (os.O_WRONLY | os.O_RDWR):
            return
        path = str(Path(os.fsdecode(given[0])).absolute())
        if path.startswith(self.root + os.sep):
            self.reach(event, path)

    def set(self) -> None:
        """Set the trap in this process, which has just been forked."""
        import safetensors.numpy
        import safetensors.torch

        sys.addaudithook(self.watch)
        for module in (safetensors.numpy, safetensors.torch):
            module.serialize_file = self.halve(module.serialize_file, module.serialize)
        whole = Path.write_text

        def write_text(path: Path, text: str, *given: Any, **named: Any) -> int:
            if str(path.absolute()).startswith(self.root):
                self.reach("half", str(path), lambda: path.write_bytes(text.encode()[: len(text) // 2]))
            return whole(path, text, *given, **named)

        Path.write_text = write_text  # type: ignore[method-assign]

    def halve(self, serialize_file: Any, serialize: Any) -> Any:
        """Let the writing of safetensors be cut in the middle: of its own temporary file, as the library writes it."""

        def write(tensors: Any, path: Any, metadata: Any = None) -> Any:
            def half() -> None:
                data = serialize(tensors, metadata)
                Path(path).with_name(".tmpA1b2C3").write_bytes(data[: len(data) // 2])

            self.reach("half", str(path), half)
            return serialize_file(tensors, path, metadata)

        return write
