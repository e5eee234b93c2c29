"""Headless Chromium over its pipe of JSON messages (Chrome DevTools Protocol): no driver, no socket."""

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

PATIENCE = 60  # seconds
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-extensions",
    "--hide-scrollbars",
)
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}


class NavigatedError(AssertionError):
    """The page was left while it was asked."""


class Browser:
    """One page. `problems` are the errors that its console showed."""

    def __init__(self, profile: Path) -> None:
        program = shutil.which("chromium")
        assert program, "Debian's package chromium is not installed: apt-get install $(cat .ci/packages)"
        hear, self._say = os.pipe()
        self._hear, say = os.pipe()
        command = [program, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank"]
        shell = f'exec "$@" 3<&{hear} 4>&{say}'
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *command], pass_fds=(hear, say), stdout=quiet, stderr=quiet
        )
        os.close(hear)
        os.close(say)
        self._rest, self._numbers, self._session = b"", itertools.count(1), ""
        self.problems: list[str] = []
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "DOM"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters} | (
            {"sessionId": self._session} if self._session else {}
        )
        os.write(self._say, json.dumps(message).encode() + b"\0")
        while True:
            heard = self._message()
            if heard.get("id") == number:
                if "navigated or closed" in str(heard.get("error")):
                    raise NavigatedError(heard)
                assert "error" not in heard, heard
                return heard["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._hear, 2**16)
            assert data, "the browser ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        heard = json.loads(line)
        if heard.get("method") == "Runtime.exceptionThrown":
            self.problems.append(heard["params"]["exceptionDetails"]["text"])
        if heard.get("method") == "Log.entryAdded" and heard["params"]["entry"]["level"] == "error":
            self.problems.append(heard["params"]["entry"]["text"])
        return heard

    def close(self) -> None:
        self._session = ""
        self("Browser.close")
        self.process.wait(PATIENCE)
        os.close(self._say)
        os.close(self._hear)

    def js(self, expression: str) -> Any:
        found = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while not self.holds(expression):
            assert time.monotonic() < deadline, (
                expression,
                self.js("location.href + document.getElementById('results')?.innerText"),
                self.problems,
            )
            time.sleep(0.05)

    def holds(self, expression: str) -> bool:
        """Whether an expression is true now; a page that is being left has no answer yet."""
        try:
            return bool(self.js(expression))
        except NavigatedError:
            return False

    def drop(self, path: Path, *, while_over: str = "true") -> None:
        """Drag a file from outside over the page and let go; `while_over` has to be so before."""
        data = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver"):
            self("Input.dispatchDragEvent", type=kind, x=200, y=200, data=data)
        self.until(while_over)
        self("Input.dispatchDragEvent", type="drop", x=200, y=200, data=data)

    def open(self, address: str) -> None:
        self("Page.navigate", url=address)
        self.until(f"location.href.startsWith({json.dumps(address)}) && document.readyState === 'complete'")

    def type(self, text: str) -> None:
        self("Input.insertText", text=text)

    def press(self, key: str) -> None:
        facts = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key], "nativeVirtualKeyCode": KEYS[key]}
        self("Input.dispatchKeyEvent", type="keyDown", **facts, **({"text": "\r"} if key == "Enter" else {}))
        self("Input.dispatchKeyEvent", type="keyUp", **facts)

    def choose(self, selector: str, path: Path) -> None:
        root = self("DOM.getDocument")["root"]["nodeId"]
        node = self("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def size(self, width: int, height: int, *, phone: bool = False) -> None:
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def dark(self, on: bool) -> None:
        self(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}],
        )

    def shoot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))
