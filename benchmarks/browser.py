"""A headless chromium, driven by its DevTools protocol over Tornado's WebSocket client."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tornado.httpclient import AsyncHTTPClient
from tornado.websocket import websocket_connect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--remote-debugging-port=0",
    "--hide-scrollbars",
    "--window-size=1180,980",
)


class Browser:
    """One page. `errors` collects what the page throws or writes to its console as an error, `urls` all requests.

    With `fast` neither requests nor the browser's own errors are collected: to report requests chromium also copies
    every message of a WebSocket to this process, which takes time.
    """

    def __init__(self, folder: Path, fast: bool = False):
        self.loop, self.ids, self.errors, self.urls = asyncio.new_event_loop(), 0, list[str](), list[str]()
        flags = (*FLAGS, f"--user-data-dir={folder}", "about:blank")
        self.process = subprocess.Popen([CHROMIUM, *flags], stderr=subprocess.PIPE, text=True)
        address = next(line for line in self.process.stderr if "ws://" in line).split()[-1]
        host = address.split("/")[2]
        pages = json.loads(self.wait(lambda: AsyncHTTPClient().fetch(f"http://{host}/json")).body)
        url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self.socket = self.wait(websocket_connect, url, max_message_size=2**28)
        for domain in ("Page", "Runtime", *(() if fast else ("Network", "Log"))):
            self.call(f"{domain}.enable")

    def wait(self, start: Callable[..., Awaitable], *arguments: Any, **named: Any) -> Any:
        """Start something asynchronous and return its result."""

        async def result() -> Any:
            return await asyncio.wait_for(start(*arguments, **named), 60)

        return self.loop.run_until_complete(result())

    def call(self, method: str, **params: Any) -> dict:
        """One command of the protocol; events that come before its answer are kept."""
        self.ids += 1
        self.wait(self.socket.write_message, json.dumps({"id": self.ids, "method": method, "params": params}))
        while (message := json.loads(self.wait(self.socket.read_message))).get("id") != self.ids:
            self._event(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']['message']}")
        return message["result"]

    def _event(self, message: dict) -> None:
        params = message.get("params", {})
        if message["method"] == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif message["method"] == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif message["method"] == "Runtime.consoleAPICalled" and params["type"] == "error":
            self.errors.append(str(params["args"]))
        elif message["method"] == "Network.requestWillBeSent":
            self.urls.append(params["request"]["url"])

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)

    def value(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"]["exception"]["description"])
        return found["result"].get("value")

    def until(self, script: str, seconds: float = 60) -> None:
        """Wait, animation frame by animation frame, until an expression is true in the page."""
        end = time.monotonic() + seconds
        while not self.value(f"(() => {{ try {{ return Boolean({script}) }} catch {{ return false }} }})()"):
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {script}")
            self.value("new Promise(requestAnimationFrame)")

    def key(self, key: str, code: str, text: str = "") -> None:
        """Press and release a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=code, text=text if kind == "keyDown" else "")

    def mouse(self, kind: str, x: float, y: float) -> None:
        """`mousePressed`, `mouseMoved` or `mouseReleased` at a place of the window."""
        button = {"button": "left", "buttons": 1, "clickCount": 1}
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **button)

    def close(self) -> None:
        """End the browser."""

        async def hang_up() -> None:
            self.socket.close()

        self.wait(hang_up)  # within its loop: outside of it there may be none
        self.process.terminate()
        self.process.wait()
        self.process.stderr.close()
        self.loop.close()
