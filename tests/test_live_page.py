"""The live page in a real browser, on the real command: pixels, keys, and who may talk to the server."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from experiments import live

ROOT = Path(__file__).parents[1]
HOW = "no chromium here: apt-get install -y --no-install-recommends chromium"
FLAGS = ["--no-browser", "--port", "0", "--seeds", "3", "--recipe", "classic"]
COLOURS = """(selector) => { const c = document.querySelector(selector), s = new Set();
    const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
    for (let i = 0; i < d.length; i += 4) if (d[i + 3]) s.add((d[i] << 16) + (d[i + 1] << 8) + d[i + 2]);
    return s.size; }"""
PIXELS = "document.querySelector('.scene').toDataURL()"


@pytest.fixture(scope="module")
def address():
    """The address that the command prints."""
    command = [sys.executable, str(ROOT / "experiments" / "live.py"), *FLAGS]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        yield next(line.strip() for line in process.stdout if line.startswith("http://127.0.0.1:"))
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)
        assert process.returncode == 0 and rest.endswith("ended\n") and errors == ""


def fetched(address, **headers):
    """The status of a request for an address."""

    async def status():
        try:
            return (await AsyncHTTPClient(force_instance=True).fetch(HTTPRequest(address, headers=headers))).code
        except HTTPClientError as error:
            return error.code

    return asyncio.run(status())


def connected(address, origin):
    """The first message of a WebSocket, or the code with which it was closed."""

    async def first():
        socket = await websocket_connect(HTTPRequest(address, headers={"Origin": origin}))
        message = await asyncio.wait_for(socket.read_message(), 30)
        socket.close()
        while message and await socket.read_message():  # until the server has closed it, too
            pass
        return json.loads(message) if message else socket.close_code

    return asyncio.run(first())


def refused(address, **headers):
    """The status of a handshake that does not succeed."""
    key = {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"}
    return fetched(address, Upgrade="websocket", Connection="Upgrade", **key, **headers)


def test_only_this_servers_page_with_the_token_is_answered(address):
    host = address.split("/")[2]
    port = host.split(":")[1]
    handshake, own = address.replace("/?", "/socket?"), f"http://{host}"
    assert fetched(address) == 200 and fetched(f"{own}/live.js") == 200
    assert fetched(address, Host="evil.example") == 403 and fetched(f"{own}/server.py") == 404
    assert fetched(f"{own}/../server.py") == 404 and fetched(f"{own}/%2e%2e/server.py") == 404
    assert refused(handshake, Origin="http://evil.example") == 403
    assert refused(handshake, Origin="http://127.0.0.1:1") == 403
    assert refused(handshake, Origin=f"http://evil.example:{port}", Host=f"evil.example:{port}") == 403
    socket = handshake.replace("http", "ws")
    assert "hello" in connected(socket, own)
    assert connected(socket.split("?")[0], own) == connected(f"{socket}x", own) == 4003


def test_bad_messages_are_answered_and_the_next_good_one_as_well(address):
    async def answers():
        socket = await websocket_connect(address.replace("http", "ws").replace("/?", "/socket?"))
        await socket.read_message()
        found = []
        for bad in ("x", "[]", "{}", '{"do": "set", "value": NaN}', '{"do": "end"}', b"x", "[" * 5000, "x" * 20_000):
            await socket.write_message(bad, binary=isinstance(bad, bytes))
            found.append(json.loads(await socket.read_message()))
        await socket.write_message('{"do": "frame"}')
        frame = await socket.read_message()
        for _ in range(500):
            await socket.write_message('{"do": "seed", "value": 0}')
        found.append(json.loads(await socket.read_message()))
        await socket.write_message("x" * 3_000_000)
        assert await socket.read_message() is None
        socket.close()
        return found, frame, socket.close_code

    found, frame, code = asyncio.run(answers())
    assert all("error" in answer for answer in found) and isinstance(frame, bytes) and code == 1009


def test_help_and_wrong_flags_need_one_line(capsys):
    for flags, words in {
        "--target nonsense": "--target nonsense: expected norm",
        "--port 70000": "--port 70000: expected 0 to 65535",
        "--recipe pacgan": "recipe pacgan: expected one of stable, classic",
        "--seeds 0": "--seeds 0: expected at least 1",
        "--steps 0": "--steps 0: expected at least 1",
        "--target missing.csv": "missing.csv",
        "--sede 1": "--sede: no such flag; did you mean --seed",
        "--seeds 1000000000": "--seeds 1000000000",
    }.items():
        with pytest.raises(SystemExit) as stop:
            live.main(["--no-browser", *flags.split()])
        error = capsys.readouterr().err
        assert stop.value.code == 2 and words in error and error.count("\n") == 1


# ------------------------------------------------------------------------------------------ in the browser


@pytest.fixture(scope="module")
def page(address, tmp_path_factory):
    """The page after its first frame."""
    if not CHROMIUM:
        (pytest.fail if os.environ.get("REQUIRE_CHROMIUM") else pytest.skip)(HOW)
    browser = Browser(tmp_path_factory.mktemp("browser"))
    try:
        browser.open(address)
        browser.until("live.frames > 0 && live.header.busy === ''")
        yield browser
        assert browser.errors == []
        assert all(
            url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "about:")) for url in browser.urls
        )
    finally:
        browser.close()


def click(page, selector):
    """Click the first element of this kind."""
    page.value(f"document.querySelector('{selector}').click()")


def set_control(page, name, value):
    """Choose a value of a list, by its place, or move a slider, as a user does."""
    page.value(f"""(() => {{ const e = document.querySelector('[name="{name}"]');
        if (e.options) e.selectedIndex = {value}; else e.value = {value};
        for (const kind of ["input", "change"]) e.dispatchEvent(new Event(kind, {{bubbles: true}})); }})()""")


def paused(page):
    """Let the game stand still, at a step that is returned."""
    if page.value("live.header.playing"):
        click(page, ".play")
    page.until("!live.header.playing")
    return page.value("live.step")


def test_everything_is_drawn_and_a_step_changes_the_heat_map(page):
    assert page.value(f"({COLOURS})('.scene')") > 50
    assert page.value("document.querySelectorAll('.thumbs canvas').length") == 3
    at = paused(page)
    for layer in ("real", "fakes", "pushes"):  # what is left is D's heat map
        click(page, f".layers [value={layer}]")
    page.until(f"({COLOURS})('.scene') > 20")
    before = page.value(PIXELS)
    page.key("s", "KeyS", "s")
    page.until(f"live.step === {at + 1} && {PIXELS} !== {json.dumps(before)}")
    for layer in ("real", "fakes", "pushes"):
        click(page, f".layers [value={layer}]")


def test_keys_play_and_pause_and_a_reset_begins_again(page):
    at = paused(page)
    page.key(" ", "Space", " ")
    page.until(f"live.step > {at} + 20")
    page.key(" ", "Space", " ")
    page.until("!live.header.playing")
    assert page.value(f"({COLOURS})('.charts canvas')") > 5
    page.key("r", "KeyR", "r")
    page.until("live.step === 0")


def test_one_player_alone(page):
    at = paused(page)
    page.key("d", "KeyD", "d")
    page.until(f"live.header.turns[0] === {at + 1} && live.header.turns[1] === {at}")
    page.key("g", "KeyG", "g")
    page.until(f"live.header.turns[1] === {at + 1}")


def test_a_rate_changes_without_a_reset_and_stands_in_the_address(page):
    at = paused(page) + 1
    click(page, ".step")
    page.until(f"live.step === {at}")
    changes = page.value("live.header.changes")  # turns of one player alone are among them
    set_control(page, "learning_rate", 150)
    page.until(f"live.header.settings.learning_rate > 5e-3 && live.header.changes === {changes + 1}")
    assert page.value("live.step") == at
    page.until("location.hash.includes('learning_rate=')")
    assert "token=" in page.value("location.search")


def test_seed_and_target(page):
    click(page, ".thumbs > :nth-child(3)")
    page.until("live.header.seed === 2")
    page.key("1", "Digit1", "1")
    page.until("live.header.seed === 1")
    set_control(page, "target", 1)
    page.until("live.header.settings.target === 'grid' && live.step === 0 && !live.header.busy")


def test_a_drawing_is_learned(page):
    click(page, ".draw")
    box = page.value("(({x, y, width}) => [x, y, width])(document.querySelector('.scene').getBoundingClientRect())")
    x, y, width = box
    page.mouse("mousePressed", x + 0.2 * width, y + 0.3 * width)
    for k in range(40):
        page.mouse("mouseMoved", x + (0.2 + 0.015 * k) * width, y + (0.3 + 0.3 * (k % 2)) * width)
    page.mouse("mouseReleased", x + 0.8 * width, y + 0.3 * width)
    click(page, ".train")
    page.until("live.header.settings.target === 'drawing' && !live.header.busy")
    assert page.value("document.querySelector('.layers [value=optimal]').disabled")  # its density is not known


def test_slow_motion_has_captions(page):
    paused(page)
    click(page, ".speeds [value=stages]")
    seen = []
    for name in ("latents", "fakes", "verdict", "loss", "gradients", "update"):
        click(page, ".next")
        page.until(f"live.header.stage?.name === '{name}'")
        seen.append(page.value("document.querySelector('.caption').textContent"))
    assert len(set(seen)) == 6 and seen[3].startswith("Losses of this minibatch")
    click(page, ".speeds [value=fast]")
    page.until("live.header.speed === 'fast'")


def test_the_line_is_drawn(page):
    page.value("live.header.settings.target")
    set_control(page, "target", 3)
    page.until("live.header.kind === 'line' && !live.header.busy")
    page.until(f"({COLOURS})('.scene') > 20")
    assert page.value("document.querySelectorAll('.charts canvas').length") == 4


def test_every_control_has_a_label_and_every_picture_a_text(page):
    lost = """[...document.querySelectorAll("input, select, button")].filter((e) =>
        !(e.labels?.length || e.ariaLabel || e.textContent.trim())).map((e) => e.outerHTML)"""
    assert page.value(lost) == []
    mute = """[...document.querySelectorAll('canvas')].filter((c) =>
        c.offsetParent && !c.ariaLabel && !c.closest('button[aria-label]')).length"""
    page.until(f"{mute} === 0", seconds=10)


def test_a_second_page_sees_the_same_game(page, address, tmp_path):
    click(page, ".step")
    page.until("live.step > 0")
    second = Browser(tmp_path)
    try:
        second.open(address)
        step, kind = page.value("[live.step, live.header.kind]")
        second.until(f"live.step === {step} && live.header.kind === '{kind}'")
        assert second.errors == []
    finally:
        second.close()
