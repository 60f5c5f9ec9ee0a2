"""The live page in a notebook: commands reach the engine, frames come back, and closing the widget ends the thread.

The Python part runs on a stand-in for anywidget and, where it is installed, on anywidget itself.
"""

import base64
import json
import queue
import struct
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from lab.files import BadInput
from lab.live import controls, engine, game, widget


class StandIn:
    """What `widget.py` uses of anywidget."""

    def __init__(self):
        self.comm, self.closed = SimpleNamespace(on_close=self._keep), False

    def _keep(self, callback):
        self.comm.handle_close = callback

    def on_msg(self, callback):
        self.obey = callback

    def _handle_custom_msg(self, content, buffers):
        self.obey(self, content, buffers)

    def close(self):
        self.closed = True


def recording(base):
    """A class that keeps in `sent` what goes to the page."""

    class Recording(base):
        def __init__(self):
            self.sent = queue.Queue()
            super().__init__()

        def send(self, content, buffers=None):
            self.sent.put((content, buffers))

    return Recording


@pytest.fixture(params=["a stand-in", "anywidget"])
def anywidget(request, monkeypatch):
    base = StandIn if request.param == "a stand-in" else pytest.importorskip("anywidget").AnyWidget
    monkeypatch.setitem(sys.modules, "anywidget", SimpleNamespace(AnyWidget=recording(base)))
    monkeypatch.setattr(game, "new_program", lambda *settings: "a program")  # no step is played here
    monkeypatch.setattr(game.Game, "warm_up", lambda self, program, config: None)
    widget._new_class.cache_clear()
    yield
    widget._new_class.cache_clear()


def command(page, **words):
    page._handle_custom_msg(words, [])


def frame(page):
    """Asks for the next frame; its header."""
    command(page, do="frame")
    content, (data,) = page.sent.get(timeout=60)
    assert content == {}
    (size,) = struct.unpack_from("<I", data)
    return json.loads(data[4 : 4 + size])


def test_two_widgets_play_their_own_games_until_they_are_closed(anywidget):
    first, second = widget.play("norm", seeds=2), widget.play("norm", "classic", seeds=3, steps=9)
    folders = [page.engine.source.folder for page in (first, second)]
    for page in (first, second):
        command(page, do="hello")
        content, buffers = page.sent.get(timeout=60)
        assert content == {"hello": page.engine.hello()} and not buffers
    command(first, do="seed", value=1)
    command(first, do="set", name="learning_rate", value=0.5)
    headers = (frame(first) for _ in range(100))
    assert any(h["seed"] == 1 and h["notice"].startswith("learning_rate 0.5: expected") for h in headers)
    header = frame(second)
    assert (header["seed"], header["seeds"], header["settings"]["recipe"], header["notice"]) == (0, 3, "classic", "")
    assert second.engine.source.ends and not first.engine.source.ends

    first.close()
    first.engine.join(10)
    assert not first.engine.is_alive() and not folders[0].exists()
    assert frame(second)["kind"] == "line" and folders[1].exists()
    second.comm.handle_close({})  # the page has closed the connection
    second.engine.join(10)
    assert not second.engine.is_alive() and not folders[1].exists()


def test_wrong_values_leave_neither_a_thread_nor_a_folder(anywidget, tmp_path, monkeypatch):
    monkeypatch.setattr(widget.tempfile, "tempdir", str(tmp_path))
    for words in ({"target": "nosuch"}, {"recipe": "nosuch"}, {"seeds": 0}, {"steps": 0}):
        with pytest.raises(BadInput, match=rf"{next(iter(words))} (nosuch|0): expected"):
            widget.play(**words)
    assert not list(tmp_path.iterdir())
    assert "engine" not in [thread.name for thread in threading.enumerate()]


def test_without_anywidget_one_line_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)  # as if it were not installed
    widget._new_class.cache_clear()
    with pytest.raises(BadInput) as caught:
        widget.play()
    line = "the page in a notebook needs the package anywidget: pip install -e '.[notebook]' -c constraints.txt"
    assert str(caught.value) == line
    assert caught.value._render_traceback_() == [line]  # all that IPython shows


# ------------------------------------------------------------------------------------------- in the browser


def a_frame():
    """A frame of a line, without an engine."""
    rng = np.random.default_rng(0)
    sizes = {"x": (300,), "p": (300,), "q": (300,), "logits": (300,), "optimal": (300,), "fakes": (60,)}
    sizes |= {"pushes": (60,), "thumbs": (2, 100), "thumb_p": (100,)}
    arrays = {name: rng.random(shape) for name, shape in sizes.items()}
    header = {"kind": "line", "step": 7, "steps": None, "playing": False, "seed": 0, "seeds": 2, "first_seed": 0}
    header |= {"rate": 0.0, "speed": "fast", "view": [0.0, 1.0], "target": "norm", "notice": ""}
    header |= {"busy": "", "settings": {}, "changes": 0, "turns": [7, 7], "measures": [], "stage": None}
    header |= {"own": [], "estimated": False, "logistic": True}
    return engine.packed(header, arrays)


NOTEBOOK = """(async () => {
  const { default: page } = await import("data:text/javascript;base64,ESM");
  window.cells = [0, 1].map(() => {
    const cell = { sent: [], on: {}, el: document.createElement("div") };
    document.body.append(cell.el);
    const model = {
      send: (message) => cell.sent.push(message),
      on: (event, callback) => { cell.on[event] = callback; },
      off: (event, callback) => { if (cell.on[event] === callback) delete cell.on[event]; },
    };
    cell.remove = page.render({ model, el: cell.el });
    return cell;
  });
  window.text = (cell, message) => cells[cell].on["msg:custom"](message, []);
  window.frame = (cell, bytes) => { // a view in the middle of a longer buffer, as Jupyter hands it over
    const data = Uint8Array.from(atob("    " + bytes), (c) => c.charCodeAt(0));
    const longer = new Uint8Array(data.length + 3);
    longer.set(data, 3);
    cells[cell].on["msg:custom"]({}, [new DataView(longer.buffer, 3)]);
  };
})()"""


@pytest.mark.skipif(not CHROMIUM, reason="no chromium")
def test_two_views_in_one_page_speak_with_their_own_models_and_leave_the_address_alone(tmp_path):
    live = "".join((widget.HERE / name).read_text() for name in ("live.js", "widget.js"))
    browser = Browser(tmp_path)
    try:
        browser.open("data:text/html,<title>notebook</title>")
        address = browser.value("location.href")
        browser.value(NOTEBOOK.replace("ESM", base64.b64encode(live.encode()).decode()))
        assert browser.value("cells.map((cell) => cell.sent)") == [[{"do": "hello"}]] * 2
        source, config = controls.new_source("norm", "stable", 2, 0, None, tmp_path)
        browser.value(f"text(0, {json.dumps({'hello': controls.hello(source, config)})})")
        browser.until("cells[0].sent.at(-1).do === 'frame'", 20)
        browser.value(f"frame(0, '{base64.b64encode(a_frame()).decode()}')")
        browser.until("cells[0].el.textContent.includes('step 7')", 20)
        browser.until("cells[0].sent.filter((message) => message.do === 'frame').length === 2", 20)  # the next one
        for event in ("PointerEvent('pointerdown'", "Event('change'"):  # something is chosen with the mouse
            browser.value(f"cells[0].el.querySelector('select').dispatchEvent(new {event}, {{ bubbles: true }}))")
        assert browser.value("cells[0].el.firstChild === document.activeElement")  # keys go to this view
        browser.value("cells[0].el.querySelector('button').click()")
        assert {"do": "play", "value": True} in browser.value("cells[0].sent")
        assert browser.value("cells[0].el.firstChild === document.activeElement")  # keys go to this view
        assert browser.value("cells[1].sent") == [{"do": "hello"}]
        key = "new KeyboardEvent('keydown', { key: 'Escape', bubbles: true, cancelable: true })"
        obeyed = f"!cells[0].el.firstChild.dispatchEvent({key})"
        assert browser.value(obeyed)
        browser.value("cells[0].remove()")
        assert not browser.value(obeyed)
        assert browser.value("cells[0].sent.at(-1)") == {"do": "play", "value": False}
        assert browser.value("Object.keys(cells[0].on)") == [] and browser.value("location.href") == address
        assert browser.errors == []
    finally:
        browser.close()
