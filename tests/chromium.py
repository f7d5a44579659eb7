"""A headless Chromium, driven over its DevTools protocol: no driver and no package of its own."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
KEYS = {"ArrowRight": 39, "Enter": 13, "Tab": 9}


class Page:
    """One tab. Commands are those of the protocol; what the page asks for is in ``asked``."""

    def __init__(self, folder: Path, width: int = 1280):
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"]
        flags += [f"--user-data-dir={folder}", f"--window-size={width},900", "about:blank"]
        self.process = subprocess.Popen(
            [CHROMIUM, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.loop, self.asked, self.faults, self.number = asyncio.new_event_loop(), [], [], 0
        port = self._wait_for_port(folder / "DevToolsActivePort")
        self.socket = self.loop.run_until_complete(self._connect(port))
        for domain in ("Page", "Runtime", "Network", "DOM"):
            self.send(f"{domain}.enable")

    def _wait_for_port(self, file: Path) -> str:
        for _ in range(600):
            if file.exists() and "\n" in file.read_text():
                return file.read_text().splitlines()[0]
            time.sleep(0.1)
        raise TimeoutError("Chromium did not start within a minute")

    async def _connect(self, port: str):
        from tornado.httpclient import AsyncHTTPClient
        from tornado.websocket import websocket_connect

        answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json/list")
        tab = next(t for t in json.loads(answer.body) if t["type"] == "page")
        return await websocket_connect(tab["webSocketDebuggerUrl"], max_message_size=2**28)

    def send(self, method: str, **parameters) -> dict:
        """Send a command and return its result; note on the way what the page asks for."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        return self.loop.run_until_complete(self._answered(message))

    async def _answered(self, message: dict) -> dict:
        await self.socket.write_message(json.dumps(message))
        while True:
            answer = json.loads(await self.socket.read_message())
            if answer.get("method") == "Network.requestWillBeSent":
                self.asked.append(answer["params"]["request"]["url"])
            if answer.get("method") == "Runtime.exceptionThrown":
                self.faults.append(str(answer["params"]["exceptionDetails"]))
            if answer.get("id") == message["id"]:
                assert "error" not in answer, (message["method"], answer["error"])
                return answer["result"]

    def open(self, url: str) -> None:
        self.send("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def value(self, expression: str):
        """Evaluate JavaScript; a promise is waited for."""
        how = {"returnByValue": True, "awaitPromise": True}
        answer = self.send("Runtime.evaluate", expression=expression, **how)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 120) -> None:
        end = time.monotonic() + seconds
        while not self.value(f"!!({expression})"):
            assert time.monotonic() < end, f"not within {seconds} s: {expression}; {self.faults}"
            time.sleep(0.1)

    def press(self, key: str) -> None:
        codes = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r"} if key == "Enter" else {}  # without it no button is pressed
        self.send("Input.dispatchKeyEvent", type="keyDown", **codes, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **codes)

    def choose(self, selector: str, file: Path) -> None:
        """Give a file input its file."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", files=[str(file)], nodeId=node)

    def picture(self, file: Path) -> None:
        """Save a screenshot of the whole page."""
        answer = self.send("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(answer["data"]))

    def close(self) -> None:
        self.send("Browser.close")
        self.process.wait(60)
        self.loop.close()
