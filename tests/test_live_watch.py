"""The page of a watched run: what it reads of folders that grow or are damaged, who may ask, what a browser shows."""

import asyncio
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import browser
import numpy as np
import pytest
from helpers import command, one_line
from PIL import Image
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect

from experiments import live, mixture_2d, normal_1d, numpy_gan
from lab import files, storage
from lab.live.watch import ROWS, Watched, arranged, charts, follow

ROOT = Path(__file__).parent.parent
SMALL = ("--steps", 100, "--eval-every", 50, "--seeds", 2, "--eval-samples", 200)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Short runs of a script of each kind, each made when it is first asked for: script -> folder."""
    made = {}

    def run(script):
        if script not in made:
            folder = made[script] = tmp_path_factory.mktemp("runs") / "run"
            flags = ("--data", "digits", "--steps", 40, "--eval-every", 20) if script is numpy_gan else SMALL
            assert command(script, *flags, "--out", folder, draw=False) == 0
            Image.new("RGB", (30, 20), "red").save(folder / "figures" / "overview.png")
        return made[script]

    return run


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of such a run, to be damaged."""
    return lambda script: Path(shutil.copytree(finished(script), tmp_path / "copy"))


def picture(answer):
    """The pixels of a PNG."""
    assert isinstance(answer, bytes), answer
    return np.asarray(Image.open(io.BytesIO(answer)).convert("RGB"))


def share(pixels, colour):
    """The share of pixels of about this colour, `#rrggbb`."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return float((np.abs(pixels.astype(int) - wanted).max(axis=-1) < 40).mean())


def drawn(watched, name):
    """The line of this name in the curves."""
    return next(line for chart in watched.state["charts"] for line in chart["lines"] if line["name"] == name)


# ------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize("script", [normal_1d, mixture_2d])
def test_a_run_of_many_seeds(finished, script, copied):
    folder, older = finished(script), copied(script)
    watched, result = Watched(folder), storage.read_result(folder)
    state = watched.state
    assert (state["experiment"], state["recipe"]) == (script.__name__.split(".")[1], "stable")
    assert (state["status"], state["step"], state["of"], state["problems"]) == ("finished", 100, 100, [])
    files.write_json(older / "result.json", result | {"steps": 50})
    assert Watched(older).state["headline"] == "" and Watched(older).state["status"] == "interrupted"
    assert watched.greeting() == state | {"age": pytest.approx(watched.greeting()["age"], abs=60)}
    assert state["headline"] == result["headline"] and state["settings"]["seeds"] == 2
    assert state["steps"] == state["pictures"] == [0, 50, 100]
    records = storage.read_log(folder)
    line = drawn(watched, "kl")
    for name, key in (("low", "q10"), ("median", "median"), ("high", "q90")):
        np.testing.assert_allclose(line[name], [r["kl"][key] for r in records], rtol=1e-4)
    assert drawn(watched, "discriminator_loss")["median"][0] is None  # nothing is trained yet at step 0
    floor = next(c["floors"] for c in state["charts"] if c["title"] == "KL, nats")
    assert floor == [{"value": pytest.approx(result["kl_floor"], rel=1e-4), "text": "floor", "of": ""}]


def test_the_histogram_shows_real_and_fake_numbers(finished):
    watched = Watched(finished(normal_1d))
    pixels = picture(watched.picture("100"))
    assert share(pixels, "#31688e") > 0.003 and share(pixels, "#e8a17f") > 0.05
    assert (picture(watched.picture("0")) != pixels).any()


def test_the_histogram_without_the_file_of_the_real_numbers(copied, tmp_path):
    folder = copied(normal_1d)
    config = json.loads((folder / "config.json").read_text())
    config.pop("checksum")
    config["config"]["data"] = str(tmp_path / "gone.csv")
    (folder / "config.json").write_text(json.dumps(config))
    pixels = picture(Watched(folder).picture("100"))
    assert share(pixels, "#31688e") < 0.001 and share(pixels, "#e8a17f") > 0.05


def test_the_plane(finished):
    watched = Watched(finished(mixture_2d))
    pixels = picture(watched.picture("50"))
    assert share(pixels, "#d9622b") > 1e-3 and share(pixels, "#31688e") > 1e-4  # fakes and real points
    assert watched.picture("50") is watched.picture("50")  # drawn once


def test_a_run_of_images(finished):
    folder = finished(numpy_gan)
    watched = Watched(folder)
    with np.load(folder / "snapshots" / "00000040.npz") as file:
        images = file["images"]  # [256, 8, 8]
    pixels = picture(watched.picture("40"))
    for k in (0, 17, 255):  # 16 a row, each pixel 7 wide, 4 between two images
        top, left = k // 16 * 60, k % 16 * 60
        np.testing.assert_array_equal(pixels[top + 3 : top + 56 : 7, left + 3 : left + 56 : 7, 0], images[k])
    assert [f["name"] for f in watched.state["figures"]] == ["overview.png"]
    assert picture(watched.figure("overview.png")).shape == (20, 30, 3)
    floor = next(c["floors"] for c in watched.state["charts"] if c["title"] == "Pixel KL, nats")
    logged = storage.read_log(folder)[-1]["pixel_kl_floor"]  # of as many samples as the curve's numbers
    assert floor[0]["value"] == pytest.approx(logged, rel=1e-4) != storage.read_result(folder)["pixel_kl_floor"]


SHEETS = {(25, 28, 28): (296, 296), (10, 8, 8, 1): (56, 596), (25, 8, 8, 3): (296, 296)}


@pytest.mark.parametrize("shape", SHEETS)
def test_sheets_of_the_other_image_scripts(copied, shape):
    """mnist_*, pix2pix and cyclegan, stacked_mnist."""
    folder = copied(numpy_gan)
    np.savez(folder / "snapshots" / "00000040.npz", images=np.full(shape, 100, np.uint8))
    pixels = picture(Watched(folder).picture("40"))
    assert pixels.shape[:2] == SHEETS[shape] and pixels[0, 0].tolist() == [100] * 3


def test_numbers_that_belong_together_stand_in_one_chart():
    names = ("l1", "l1_of_copy", "l1_floor", "fake_error", "real_error", "digits", "discriminator_loss")
    record = {"step": 3, "fake_counts": [1, 2, 3, 4], "word": "x", "train_seconds": 2.0} | dict.fromkeys(names, 0.5)
    found = {chart.title: chart.names for chart in arranged([record])}
    assert found == {
        "Errors": {"fake_error": "fake", "real_error": "real"},
        "L1": {"l1": "fakes", "l1_of_copy": "of copy"},
        "Digits": {"digits": ""},
        "D loss": {"discriminator_loss": ""},
    }
    too_large = record | {"l1": 10**400, "l1_of_copy": {"median": "x"}}
    assert [line["median"] for line in charts([record, too_large], {})[1]["lines"]] == [[0.5, None]] * 2


def test_a_long_log_is_thinned(copied):
    folder = copied(numpy_gan)
    lines = [json.dumps({"step": k, "pixel_kl": k / 7}) for k in range(3000)]
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    state = Watched(folder).state
    assert (len(state["steps"]), state["steps"][0], state["steps"][-1], state["lines"]) == (ROWS, 0, 2999, 3000)


# ------------------------------------------------------------------------------------------------ growth, damage


def test_a_half_written_line_is_left_out_until_it_is_whole(copied):
    folder = copied(normal_1d)
    watched = Watched(folder)
    assert not watched.changed()
    line = json.dumps(storage.read_log(folder)[-1] | {"step": 150})
    with (folder / "log.jsonl").open("a") as log:
        log.write(line[:40])
        log.flush()
        assert watched.changed()
        assert watched.read()["steps"] == [0, 50, 100] and watched.state["problems"] == []
        log.write(line[40:] + "\n")
    assert watched.changed()
    assert watched.read()["steps"] == watched.state["pictures"] == [0, 50, 100, 150]
    assert not watched.changed()


def test_running_interrupted_resumed_finished(copied):
    folder = copied(numpy_gan)
    (folder / "result.json").rename(folder / "kept")
    watched = Watched(folder)
    assert watched.state["status"] == "interrupted"
    with storage.only_writer(folder, "--resume"):  # the lock was never taken: a run can be resumed at any time
        assert watched.changed() and watched.read()["status"] == "running"
        assert watched.state["writer"].startswith("process ")
        storage.Log(folder, last_step=20).close()  # as a run does that is resumed at its checkpoint
        assert watched.changed() and watched.read()["steps"] == [0, 20]
    assert watched.changed() and watched.read()["status"] == "interrupted"
    (folder / "kept").rename(folder / "result.json")
    assert watched.changed() and watched.read()["status"] == "finished"


def test_a_lock_that_a_killed_process_left_behind(copied):
    folder = copied(numpy_gan)
    (folder / "result.json").unlink()
    (folder / storage.LOCK).write_text(f"process 999999999 on {storage.socket.gethostname()}\n")
    assert Watched(folder).state["status"] == "interrupted"
    (folder / storage.LOCK).write_text("process 1 on another-machine\n")  # which cannot be asked: it is believed
    assert Watched(folder).state["status"] == "running"


def test_a_folder_that_is_away_for_a_while_is_followed_again(monkeypatch):
    monkeypatch.setattr("lab.live.watch.EVERY", 0)
    changed, found, sent = iter([True]), iter([OSError("stale file handle"), {"step": 7}]), []

    def read():
        if isinstance(state := next(found), OSError):
            raise state
        return state

    async def until_something_is_sent():
        watched = SimpleNamespace(changed=lambda: next(changed, False), read=read)
        following = asyncio.create_task(follow(watched, sent.append))
        while not sent and not following.done():
            await asyncio.sleep(0)
        following.cancel()

    asyncio.run(until_something_is_sent())
    assert sent == [{"state": {"step": 7}}]


DAMAGE = {
    "result.json": "The final numbers are unknown: result.json cannot be used",
    "log.jsonl": "log.jsonl is damaged: line 1 cannot be read",
    "config.json": "The settings are unknown: config.json cannot be used",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files_are_named_in_a_sentence(copied, name):
    folder = copied(normal_1d)
    (folder / name).write_text('{"x": \n' + ((folder / name).read_text() if name == "log.jsonl" else ""))
    watched = Watched(folder)
    assert [p[: len(DAMAGE[name])] for p in watched.state["problems"]] == [DAMAGE[name]]
    assert watched.state["headline"] == "" or name != "result.json"
    assert isinstance(watched.picture("100"), bytes)


def test_missing_files_are_named_in_a_sentence(copied):
    folder = copied(normal_1d)
    (folder / "result.json").unlink()
    assert Watched(folder).state["problems"] == []  # it is not finished: nothing is wrong
    watched = Watched(folder)
    (folder / "config.json").unlink()
    assert watched.read()["problems"] == ["The settings are unknown: config.json is missing."]
    (folder / "log.jsonl").unlink()
    assert "There are no curves: log.jsonl is missing." in watched.read()["problems"]
    shutil.rmtree(folder)
    assert watched.changed() and watched.read()["pictures"] == []
    assert watched.picture("100") == "There is no picture of step 100."


def test_damaged_pictures(copied):
    folder = copied(numpy_gan)
    first, second, third = sorted((folder / "snapshots").glob("*.npz"))
    first.write_bytes(first.read_bytes()[:200])
    np.savez(second, images=np.zeros(3))
    np.savez(third, other=np.zeros(3))
    (folder / "figures" / "overview.png").write_bytes(b"\x89PNG")
    watched = Watched(folder)
    for step in ("0", "20", "40"):
        assert watched.picture(step).startswith(f"snapshots/{int(step):08d}.npz cannot be shown: ")
    assert watched.figure("overview.png").startswith("figures/overview.png cannot be shown: ")
    for name in ("../config.json", "/etc/passwd", "", "x" * 10_000):
        assert watched.figure(name).endswith(" is not there.")
    for step in ("-1", "x", "9" * 5000, ""):
        assert watched.picture(step).startswith("There is no picture of step ")


def test_nothing_is_written(finished):
    folder = finished(mixture_2d)

    def everything():
        return {p: (p.stat().st_mtime_ns, p.is_file() and p.read_bytes()) for p in [folder, *folder.rglob("*")]}

    before = everything()
    watched = Watched(folder)
    watched.changed()
    watched.read()
    watched.picture("50")
    watched.figure("overview.png")
    assert everything() == before


# ------------------------------------------------------------------------------------------------ the server


class Server:
    """experiments/live.py --run RUN in another process."""

    def __init__(self, folder):
        words = [sys.executable, "experiments/live.py", "--run", str(folder), "--no-browser", "--port", "0"]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(words, cwd=ROOT, **pipes)
        self.address = self.process.stdout.readline().strip()
        self.base, self.token = self.address.split("/?token=")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        """Ctrl-C ends it with one word and code 0, and there was no other line."""
        self.process.send_signal(2)
        assert (*self.process.communicate(timeout=20), self.process.returncode) == ("ended\n", "", 0)


async def status(url, **headers):
    try:
        return (await AsyncHTTPClient().fetch(HTTPRequest(url, headers=headers))).code
    except HTTPClientError as error:
        return error.code


def test_the_server(copied):
    """403 without the token, for another Host or Origin; growth is pushed; TensorFlow is not imported."""
    folder = copied(normal_1d)
    with Server(folder) as server:
        asked = f"?of=100&token={server.token}"

        async def talk():
            for path in ("picture", "figure"):
                of = asked if path == "picture" else asked.replace("100", "overview.png")
                own = server.base.replace("127.0.0.1", "localhost")
                assert await status(f"{server.base}/{path}{of}") == 200
                assert await status(f"{own}/{path}{of}", Origin=own) == 200
                assert await status(f"{server.base}/{path}?of=100") == 403
                assert await status(f"{server.base}/{path}{of}x") == 403
                assert await status(f"{server.base}/{path}?of=100&token=%ff") == 403
                assert await status(f"{server.base}/{path}{of}", Host="example.org") == 403
                assert await status(f"{server.base}/{path}{of}", Origin="http://example.org") == 403
            assert await status(f"{server.base}/config.json?token={server.token}") == 404
            size = 0
            for name in ("", "watch.css", "watch.js"):
                answer = await AsyncHTTPClient().fetch(f"{server.base}/{name}")
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'self'")
                size += len(answer.body)
            assert size < 60_000 and await status(f"{server.base}/live.js") == 200

            url = server.base.replace("http", "ws") + f"/socket?token={server.token}"
            wrong = await websocket_connect(url + "x")
            assert await wrong.read_message() is None and wrong.close_code == 4003
            wrong.close()
            with pytest.raises(HTTPClientError, match="403"):
                await websocket_connect(HTTPRequest(url, headers={"Origin": "http://example.org"}))
            page = await websocket_connect(url)
            assert json.loads(await page.read_message())["hello"]["step"] == 100
            line = json.dumps(storage.read_log(folder)[-1] | {"step": 150})
            with (folder / "log.jsonl").open("a") as log:
                log.write(line + "\n")
            pushed = json.loads(await asyncio.wait_for(page.read_message(), 20))["state"]
            assert pushed["step"] == 150
            page.close()

        asyncio.run(talk())
        maps = Path(f"/proc/{server.process.pid}/maps")
        assert not maps.exists() or "tensorflow" not in maps.read_text()


BAD = {
    ("--run", ""): "--run '': expected the folder of a run",
    ("--run", "nowhere"): "--run nowhere: no such folder",
    ("--run", "."): "--run .: no run here (there is no config.json)",
    ("--run", "file"): "--run file: no such folder",
    ("--run", "run", "--target", "ring"): "--target: expected no such flag beside --run",
    ("--run", "run", "--seeds=10"): "--seeds=10: expected no such flag beside --run",
    ("--run", "run", "--no-play"): "--no-play: expected no such flag beside --run",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_one_line(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    with pytest.raises(SystemExit) as stop:
        live.main([*words, "--no-browser", "--port", "0"])
    assert stop.value.code == 2
    assert one_line(capsys).startswith(BAD[words])


# ------------------------------------------------------------------------------------------------ a browser

CURVES = """[...document.querySelectorAll(".charts canvas")].map((canvas) => {
  const [width, height] = [canvas.width - 110, canvas.height - 54]; // between the words around the curves
  const { data } = canvas.getContext("2d").getImageData(54, 32, width, height);
  let coloured = 0;
  for (let i = 0; i < data.length; i += 4) coloured += data[i + 3] > 200 && Math.abs(data[i] - data[i + 2]) > 60;
  return coloured;
})"""
PIXELS = """(() => {
  const image = document.querySelector(".picture");
  const canvas = Object.assign(document.createElement("canvas"), { width: 956, height: 956 });
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const rows = [3, 10, 17, 24, 31, 38, 45, 52]; // the middles of the first image's pixels
  return [image.naturalWidth, ...rows.map((y) => context.getImageData(24, y, 1, 1).data[0])];
})()"""

FORGETFUL = """(() => {
  window.freed = 0; // pictures of the page whose memory was given back
  const { fetch } = window;
  const free = URL.revokeObjectURL;
  window.fetch = (...words) => { // the next request fails
    window.fetch = fetch;
    return Promise.reject(new TypeError("no answer"));
  };
  URL.revokeObjectURL = (url) => {
    freed += 1;
    free.call(URL, url);
  };
})()"""


def test_the_page(copied, tmp_path):
    if not browser.CHROMIUM:
        how = "no chromium here: apt-get install -y --no-install-recommends chromium"
        (pytest.fail if os.environ.get("REQUIRE_CHROMIUM") else pytest.skip)(how)
    folder = copied(numpy_gan)
    snapshots = {step: folder / "snapshots" / f"{step:08d}.npz" for step in (0, 20, 40, 60, 80)}

    def column(step):
        with np.load(snapshots[step]) as file:
            return file["images"][0, :, 3].tolist()

    def grow(step):
        shutil.copy(snapshots[20], snapshots[step])
        with (folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(storage.read_log(folder)[-1] | {"step": step}) + "\n")

    with Server(folder) as server:
        page = browser.Browser(tmp_path / "profile")
        try:
            page.open(server.address)
            shown, where = "document.querySelector('.picture').alt", "document.querySelector('output').textContent"
            page.until(f'{shown} === "the run\'s picture of step 40"', 20)
            assert page.value(PIXELS) == [956, *column(40)]
            coloured = page.value(CURVES)
            assert len(coloured) == 5 and min(coloured[:2]) > 20  # errors and accuracies have colours
            assert page.value("document.querySelector('.status').textContent") == "finished"
            assert "last line of the log " in page.value("document.querySelector('header').textContent")
            assert "digits" in page.value("document.querySelector('dl').textContent")
            page.until("document.querySelector('.figures img').naturalWidth === 30", 20)
            labels = page.value("[...document.querySelectorAll('canvas, input')].map((x) => x.ariaLabel)")
            assert all(labels) and labels[-1].startswith("Curve. To fake: ") and "step of the picture" in labels

            page.key("ArrowLeft", "ArrowLeft")  # away from the newest picture
            page.until(f'{shown} === "the run\'s picture of step 20"', 20)
            assert page.value(PIXELS) == [956, *column(20)] and page.value(where) == "step 20"
            grow(60)
            page.until("document.querySelector('.count').textContent.startsWith('step 60')", 20)
            assert page.value(where) == "step 20"
            page.key("End", "End")  # follow the newest one again
            page.until(f'{shown} === "the run\'s picture of step 60"', 20)
            page.value(FORGETFUL)
            shutil.copy(folder / "figures" / "overview.png", folder / "figures" / "second.png")
            page.until("[...document.querySelectorAll('.figures p')].length === 1", 20)  # the program did not answer
            Image.new("RGB", (40, 20), "blue").save(tmp_path / "new.png")
            (tmp_path / "new.png").rename(folder / "figures" / "overview.png")
            page.until(
                "[...document.querySelectorAll('.figures img')].map((x) => x.naturalWidth).join() === '40,30'", 20
            )
            assert page.value("freed") == 1  # the figure that was replaced
            snapshots[80].write_bytes(b"damaged")
            grow_log = json.dumps(storage.read_log(folder)[-1] | {"step": 80}) + "\n"
            with (folder / "log.jsonl").open("a") as log:
                log.write(grow_log)
            page.until("document.querySelector('.missing').textContent.includes('00000080.npz cannot be shown')", 20)
            assert page.value("document.querySelector('.picture').hidden")
            shutil.rmtree(folder / "snapshots")
            page.until("document.querySelector('main').classList.contains('bare')", 20)
            home = "new KeyboardEvent('keydown', { key: 'Home', cancelable: true })"
            assert page.value(f"document.dispatchEvent({home})")  # without pictures the browser scrolls the page
            assert page.errors == []
            assert all(url.startswith((server.base, "ws://127.0.0.1", "blob:", "data:")) for url in page.urls)
        finally:
            page.close()
