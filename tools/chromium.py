"""Drive a headless Chromium: open pages, ask them, print them.

Chromium's own protocol over a web socket; Tornado, which Jupyter brings, speaks it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import http.server
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The pages are our own: no sandbox, which a container would not allow.
OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
OPTIONS += ("--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars")
RECEIVED = "Network.responseReceived"
KEYS = {"ArrowRight": 39, "Enter": 13, "Tab": 9}


def find_chromium() -> str | None:
    """Find a Chromium: ``CHROMIUM``, else one on the path; None if there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serve files as the host of the published book does: text travels compressed."""

    def log_message(self, *_):
        """Stay silent."""

    def do_GET(self):
        """Send a file."""
        path = Path(self.translate_path(self.path))
        if path.suffix not in (".html", ".js", ".css", ".svg", ".json") or not path.is_file():
            return super().do_GET()
        content = gzip.compress(path.read_bytes(), 6)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder to this machine alone; yield its address."""
    handler = functools.partial(Handler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class Page:
    """One tab of a running Chromium."""

    def __init__(self, socket, loop):
        self._socket, self._loop, self._number = socket, loop, 0
        self.events: list[dict] = []
        for domain in ("Page", "Network", "Runtime", "DOM"):
            self.call(f"{domain}.enable")
        self.call("Network.setCacheDisabled", cacheDisabled=True)  # each page weighs all it needs

    def call(self, method: str, seconds: float = 120, **parameters) -> dict:
        """Call a method of the protocol; keep the events that arrive meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}

        async def write():
            await self._socket.write_message(json.dumps(message))

        self._loop.run_until_complete(write())
        while (answer := self._read(seconds)).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']['message']}")
        return answer["result"]

    def _read(self, seconds: float) -> dict:
        async def read():
            return await asyncio.wait_for(self._socket.read_message(), seconds)

        text = self._loop.run_until_complete(read())
        if text is None:
            raise RuntimeError("Chromium has closed the connection")
        return json.loads(text)

    def evaluate(self, script: str, seconds: float = 120):
        """Run a script, wait for its promise, return its value."""
        result = self.call(
            "Runtime.evaluate",
            seconds,
            expression=script,
            awaitPromise=True,
            returnByValue=True,
        )
        if "exceptionDetails" in result:
            raise RuntimeError(json.dumps(result["exceptionDetails"])[:800])
        return result["result"].get("value")

    def open(self, address: str, seconds: float = 120) -> None:
        """Open an address; wait until it has loaded and its formulae are set."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        until = time.monotonic() + seconds
        while not any(e.get("method") == "Page.loadEventFired" for e in self.events):
            self.events.append(self._read(until - time.monotonic()))
        self.evaluate("window.MathJax?.startup?.promise?.then(() => true)", seconds)

    def wait(self, condition: str, seconds: float = 120) -> None:
        """Wait until a script's value is true."""
        until = time.monotonic() + seconds
        while not self.evaluate(f"!!({condition})"):
            if time.monotonic() > until:
                raise TimeoutError(f"not within {seconds} s: {condition}; {self.faults()}")
            time.sleep(0.1)

    def press(self, key: str) -> None:
        """Press a key of :data:`KEYS`."""
        codes = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}  # without it no button is pressed
        self.call("Input.dispatchKeyEvent", type="keyDown", **codes, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **codes)

    def choose(self, selector: str, file: Path) -> None:
        """Give a file to an input of files."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def size(self, width: int, height: int = 900) -> None:
        """Give the window a size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def requests(self) -> dict[str, int]:
        """Map each address that was asked since the page was opened to the bytes that travelled."""
        names, sizes = {}, {}
        for event in self.events:
            said = event.get("params", {})
            if event.get("method") == "Network.requestWillBeSent":
                names[said["requestId"]] = said["request"]["url"]
            if event.get("method") == "Network.loadingFinished":
                sizes[said["requestId"]] = int(said["encodedDataLength"])
        found = {name: sizes.get(asked, 0) for asked, name in names.items()}
        return {name: n for name, n in found.items() if not name.startswith(("data:", "blob:"))}

    def faults(self) -> list[str]:
        """List what scripts threw since the page was opened."""
        thrown = [e for e in self.events if e.get("method") == "Runtime.exceptionThrown"]
        return [str(e["params"]["exceptionDetails"]) for e in thrown]

    def missing(self) -> set[str]:
        """List what was asked since the page was opened and is not there."""
        answers = [e["params"]["response"] for e in self.events if e.get("method") == RECEIVED]
        return {a["url"] for a in answers if a["status"] >= 400}


def _port(profile: Path, process: subprocess.Popen, seconds: float = 180) -> str:
    """Wait for the file in which Chromium says where it listens."""
    file = profile / "DevToolsActivePort"
    until = time.monotonic() + seconds
    while not (file.exists() and file.read_text().strip()):
        if process.poll() is not None or time.monotonic() > until:
            raise RuntimeError("Chromium did not start")
        time.sleep(0.1)
    return file.read_text().split()[0]


@contextlib.contextmanager
def browser() -> Iterator[Page]:
    """Start Chromium with an empty profile; yield its tab."""
    from tornado.websocket import websocket_connect

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [find_chromium(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        loop = asyncio.new_event_loop()
        try:
            port = _port(Path(profile), process)
            tabs = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list"))
            address = next(t["webSocketDebuggerUrl"] for t in tabs if t["type"] == "page")

            async def connect():
                return await websocket_connect(address, max_message_size=2**30)

            yield Page(loop.run_until_complete(connect()), loop)
        finally:
            process.terminate()
            process.wait()
            loop.close()
