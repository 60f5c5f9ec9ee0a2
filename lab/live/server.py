"""The page's server, on Tornado: a few fixed files, and a WebSocket to the engine. It binds to 127.0.0.1 alone.

Who may talk to it: a page that this server sent (its Host and Origin are this address, against other sites and
rebound host names) and that knows the token in the printed address, against other users of the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import json
import logging
import secrets
import socket
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tornado.httpserver
import tornado.netutil
import tornado.web
import tornado.websocket

from lab import files, screen, signals
from lab.files import BadInput

HERE = Path(__file__).parent
PAGE = {"": "live.html", "live.css": "live.css", "live.js": "live.js", "page.js": "page.js"}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
LARGEST = 2**21  # bytes of a message: a dropped file of 20,000 points
LARGEST_COMMAND = 10_000  # bytes of any other one
MESSAGES = 400  # a second and a page; the page itself asks for 25 frames and sends 20 values of a slider
POLICY = "default-src 'self'; img-src 'self' data: blob:"


class Clients:
    """The open pages. What one of them is told of twice stands once in the terminal."""

    def __init__(self) -> None:
        self.waiting: set[Socket] = set()  # asked for the next frame
        self.all: set[Socket] = set()
        self.logged: set[str] = set()

    def send(self, message: bytes | dict) -> None:
        """A frame to those that wait for one, and any other message to all."""
        receivers, binary = (self.waiting, True) if isinstance(message, bytes) else (self.all, False)
        text = message if binary else json.dumps(message)
        for client in list(receivers):
            self.waiting.discard(client) if binary else None
            with contextlib.suppress(tornado.websocket.WebSocketClosedError):
                client.write_message(text, binary=binary)

    def refuse(self, client: Socket, words: str) -> None:
        """Answer a bad message, and log it the first time."""
        with contextlib.suppress(tornado.websocket.WebSocketClosedError):
            client.write_message(json.dumps({"error": words}))
        if words not in self.logged and len(self.logged) < 20:
            self.logged.add(words)
            screen.say(f"refused: {words}")


class Guarded(tornado.web.RequestHandler):
    """Answers requests to this very address alone."""

    def prepare(self) -> None:
        """403 for any other Host."""
        if self.request.host not in self.settings["hosts"]:
            raise tornado.web.HTTPError(403)

    def set_default_headers(self) -> None:
        """No other site, no cache, no guess of a type."""
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "no-referrer")
        self.clear_header("Server")


class Page(Guarded):
    """The page's own files."""

    def get(self, name: str) -> None:
        """One of the page's files: of `PAGE`, or of the settings' `page`."""
        names = self.settings.get("page", PAGE)
        if name not in names:
            raise tornado.web.HTTPError(404)
        path = HERE / names[name]
        self.set_header("Content-Type", f"{TYPES[path.suffix]}; charset=utf-8")
        self.write(path.read_bytes())


class Answer(Guarded):
    """What a function of the settings' `answers` makes of the query's `of`: a PNG, or a sentence why there is none.

    The sentence has status 200, too: browsers write each other status to the console as an error.
    """

    def prepare(self) -> None:
        """403 for another Host, another Origin, or a wrong token."""
        super().prepare()
        origin, given = self.request.headers.get("Origin"), self.request.query_arguments.get("token", [b""])[-1]
        foreign = origin is not None and origin.removeprefix("http://") not in self.settings["hosts"]
        if foreign or not hmac.compare_digest(given, self.settings["token"].encode()):
            raise tornado.web.HTTPError(403)

    async def get(self, name: str) -> None:
        """Answer in a thread: drawing takes a while."""
        answer = await asyncio.to_thread(self.settings["answers"][name], self.get_query_argument("of", ""))
        self.set_header("Content-Type", "image/png" if isinstance(answer, bytes) else "text/plain; charset=utf-8")
        self.write(answer)


class Socket(Guarded, tornado.websocket.WebSocketHandler):
    """The connection of one page."""

    def check_origin(self, origin: str) -> bool:
        """Pages of this server; a program without a page sends no Origin."""
        return origin.removeprefix("http://") in self.settings["hosts"]

    def open(self, *args: str, **kwargs: str) -> None:
        """Say which controls there are, if the token is right."""
        self.clients: Clients = self.settings["clients"]
        self.counted, self.second = 0, 0
        given = self.get_query_argument("token", "").encode()
        if not hmac.compare_digest(given, self.settings["token"].encode()):
            self.close(4003, "wrong token")
            return
        self.clients.all.add(self)
        self.write_message(json.dumps({"hello": self.settings["hello"]()}))

    def on_message(self, message: str | bytes) -> None:
        """Pass a command on to the engine."""
        if self not in self.clients.all:
            return
        second = int(time.monotonic())
        self.counted = self.counted + 1 if second == self.second else 1
        self.second = second
        if self.counted > MESSAGES:
            if self.counted == MESSAGES + 1:
                self.clients.refuse(self, f"more than {MESSAGES} messages a second")
            return
        try:
            if isinstance(message, bytes):
                raise ValueError("expected a text")
            command = files.parsed_json(message)
            if not isinstance(command, dict) or not isinstance(command.get("do"), str):
                raise ValueError('expected an object with "do"')
            if len(message) > LARGEST_COMMAND and command["do"] != "points":
                raise ValueError(f"expected at most {LARGEST_COMMAND} characters")
        except (ValueError, RecursionError) as error:
            self.clients.refuse(self, f"a message that is no command: {files.why(error)[:100]}")
            return
        if command["do"] in ("end", "built"):  # the engine's own
            self.clients.refuse(self, f"do {command['do']!r}: no such command")
            return
        if command["do"] == "frame":
            self.clients.waiting.add(self)
        self.settings["obey"](command)

    def on_close(self) -> None:
        """The page is gone; the game plays on."""
        if hasattr(self, "clients"):
            self.clients.all.discard(self)
            self.clients.waiting.discard(self)


def listening(port: int) -> list[socket.socket]:
    """A socket at the port or, which is said, at the next free one; 0 is any free one. BadInput: none is free."""
    for candidate in range(port, min(port + 20, 65536)) if port else (0,):
        try:
            sockets = tornado.netutil.bind_sockets(candidate, "127.0.0.1", socket.AF_INET)
        except OSError as error:
            if error.errno == errno.EACCES:
                raise BadInput(f"--port {port}: not allowed here; expected 1024 or more, or 0 for any") from None
            if error.errno != errno.EADDRINUSE:
                raise
            continue
        if candidate != port:
            screen.say(f"--port {port}: in use; taking {candidate}")
        return sockets
    raise BadInput(f"--port {port}: it and the ports above it are in use; expected a free one, or 0 for any")


def hosts(port: int) -> set[str]:
    """The names of this server, as the browser writes them: without the port if it is 80, the usual one."""
    ends = (f":{port}", "") if port == 80 else (f":{port}",)
    return {name + end for name in ("127.0.0.1", "localhost") for end in ends}


async def serve(sockets: list[socket.socket], handlers: list, settings: dict[str, Any], show: bool) -> None:
    """Serve until a signal comes; print the address, and open it in the browser if `show`."""
    port, token = sockets[0].getsockname()[1], secrets.token_urlsafe(12)
    logging.getLogger("tornado.access").disabled = True
    logging.getLogger("tornado.general").setLevel(logging.CRITICAL)  # malformed requests are refused in silence
    logging.getLogger("tornado.application").setLevel(logging.CRITICAL)
    app = tornado.web.Application(
        [*handlers, (r"/socket", Socket), (r"/(.*)", Page)],
        hosts=hosts(port),
        token=token,
        websocket_max_message_size=LARGEST,
        websocket_ping_interval=20,
        **settings,
    )
    server = tornado.httpserver.HTTPServer(app)
    server.add_sockets(sockets)
    address = f"http://127.0.0.1:{port}/?token={token}"
    screen.say(address)
    with contextlib.ExitStack() as until_the_end:
        if show and not await asyncio.to_thread(opened, address, until_the_end):
            screen.say("no browser could be opened here: open this address in yours")
        while signals.arrived() is None:
            await asyncio.sleep(0.2)


def opened(address: str, until_the_end: contextlib.ExitStack) -> bool:
    """Whether a browser could be opened at the address."""
    with contextlib.suppress(Exception):  # of whatever kind: the address is printed
        return webbrowser.open(until_the_end.enter_context(leading_to(address)))
    return False


@contextlib.contextmanager
def leading_to(address: str) -> Iterator[str]:
    """The URL of a file, readable for its owner alone, from which a browser goes on to the address.

    With the address itself, the token would stand on the browser's command line, which every user of the machine can
    read. The file lies in the home folder, because a browser that was installed as a snap sees no /tmp.
    """
    with tempfile.NamedTemporaryFile("w", prefix="gan-live-", suffix=".html", dir=Path.home()) as page:
        page.write(f'<meta http-equiv="refresh" content="0; url={address}">')
        page.flush()
        yield Path(page.name).as_uri()
