"""The live page as a widget of a notebook: the same view and the same engine, with anywidget as their connection."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

from lab.files import BadInput
from lab.live import controls, engine

HERE = Path(__file__).parent
INSTALL = "pip install -e '.[notebook]' -c constraints.txt"


def play(target: str = "ring", recipe: str = "stable", seeds: int = 10, steps: int | None = None) -> Any:
    """The live page, for the last line of a cell; the flags of `experiments/live.py` say what it takes.

    The game plays in a thread of its own until `close()` is called on the widget or the kernel ends. BadInput: a
    value that is not accepted, or anywidget is not installed.
    """
    live, folder = _new_class(), tempfile.TemporaryDirectory(prefix="live-")
    try:
        source, config = controls.new_source(target, recipe, seeds, 0, steps, Path(folder.name))
        return live(engine.Engine(source, config, lambda message: None), folder)
    except BaseException:
        folder.cleanup()
        raise


@functools.cache
def _new_class() -> Any:
    """The class of the widget. anywidget is an extra, so that nothing imports it before it is needed."""
    try:
        from anywidget import AnyWidget
    except ImportError:
        raise BadInput(f"the page in a notebook needs the package anywidget: {INSTALL}") from None

    class Live(AnyWidget):
        """The connection of one engine to all views of it in the notebook.

        Attributes:
            engine: the thread that plays. Its frames go out as binary buffers, and its other messages as JSON.
            folder: for drawings and dropped files.
        """

        _esm = "".join((HERE / name).read_text() for name in ("live.js", "widget.js"))
        _css = (HERE / "live.css").read_text()

        def __init__(self, player: engine.Engine, folder: tempfile.TemporaryDirectory):
            self.engine, self.folder = player, folder
            super().__init__()
            player.send = self._show
            self.on_msg(self._obey)
            self.comm.on_close(lambda message: self._end())
            player.start()

        def _show(self, message: bytes | dict) -> None:
            if isinstance(message, bytes):
                self.send({}, buffers=[message])
            else:
                self.send(message)

        def _obey(self, widget: Any, command: dict, buffers: list) -> None:
            """A command of the page. A view that opens asks for the controls first: it may be the second one."""
            if command["do"] == "hello":
                self.send({"hello": self.engine.hello()})
            else:
                self.engine.commands.put(command)

        def _end(self) -> None:
            self.engine.stop()
            self.folder.cleanup()

        def close(self) -> None:
            """End the game and remove its views."""
            self._end()
            super().close()

    return Live
