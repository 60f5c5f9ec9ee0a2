"""The live page against the figures that it should reach, in a headless chromium on this machine.

    python benchmarks/speed_live.py                 a few minutes; add --minutes 30 for the memory

The page plays the ring with ten seeds and layers of 64 units, as fast as it can. Beside it stands the rate of
`python experiments/mixture_2d.py` with the same settings and no page, before and after. A control's time is that from
its change to the first picture that shows it, while the game plays on.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from browser import CHROMIUM, Browser
from pages import ROOT, positive

SCRIPT = "--seeds 10 --steps 1500 --eval-every 1500"


def script_rate(folder: Path) -> float:
    """Seed-steps a second of the script's loop, without its compilation and evaluation."""
    flags = [*SCRIPT.split(), "--out", str(folder)]
    subprocess.run([sys.executable, str(ROOT / "experiments/mixture_2d.py"), *flags], check=True, capture_output=True)
    return json.loads((folder / "result.json").read_text())["seed_steps_per_second"]


def played(browser: Browser, seconds: float) -> tuple[float, float, float, float]:
    """Over this many seconds: frames a second, seed-steps a second, bytes of a frame, milliseconds to draw one."""
    ask = "[performance.now(), live.frames, live.step * live.header.seeds, live.bytes, live.drawMs]"
    before = browser.value(ask)
    browser.value(f"new Promise((done) => setTimeout(done, {1000 * seconds}))")
    ms, frames, steps, size, drawn = (b - a for a, b in zip(before, browser.value(ask), strict=True))
    return 1000 * frames / ms, 1000 * steps / ms, size / frames, drawn / frames


def latencies(browser: Browser) -> list[float]:
    """Milliseconds from a change of G's learning rate, R1 or D's rate to the first picture that shows it."""
    change = """(name, value) => { const e = document.querySelector(`[name="${name}"]`); e.value = value;
        e.dispatchEvent(new Event("input", {bubbles: true})); }"""
    for k in range(10):
        for name in ("learning_rate", "r1", "discriminator_rate"):
            before = browser.value("live.latencies.length")
            browser.value(f"({change})('{name}', {40 + 3 * k})")
            browser.until(f"live.latencies.length > {before}", seconds=10)
    return [ms for _, ms in browser.value("live.latencies")]


def memory(process: psutil.Process) -> float:
    """Megabytes that the command has in memory."""
    return process.memory_info().rss / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = "how many minutes the game plays between two looks at its memory (default: 1)"
    parser.add_argument("--minutes", type=positive(float), default=1.0, help=what)
    minutes = parser.parse_args().minutes
    if not CHROMIUM:
        parser.error("this needs chromium; install it")
    with tempfile.TemporaryDirectory() as folder:
        before = script_rate(Path(folder, "before"))
        began = time.perf_counter()
        command = [sys.executable, str(ROOT / "experiments/live.py"), "--no-browser", "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with contextlib.ExitStack() as stack:
            assert server.stdout
            for end in (server.stdout.close, server.wait, server.terminate):  # the last one first
                stack.callback(end)
            address = next(line.strip() for line in server.stdout if line.startswith("http"))
            browser = stack.enter_context(contextlib.closing(Browser(Path(folder, "browser"), fast=True)))
            browser.open(address)
            browser.until("live.frames > 0")
            first = time.perf_counter() - began
            browser.until("live.header.busy === ''")
            compiled = time.perf_counter() - began
            size = browser.value(
                "performance.getEntries().filter((e) => e.decodedBodySize).reduce((n, e) => n + e.decodedBodySize, 0)"
            )
            browser.key(" ", "Space", " ")
            browser.until("live.step > 100")
            played(browser, 3)
            frames, rate, bytes_of_frame, draw_ms = played(browser, 20)
            process = psutil.Process(server.pid)
            start = memory(process)
            time.sleep(60 * minutes)
            grown = memory(process) / start - 1
            answered = latencies(browser)
        after = script_rate(Path(folder, "after"))
    ratio = rate / statistics.mean((before, after))
    print(f"first frame {first:.1f} s after the command, ready to play {compiled:.1f} s")
    print(f"page {size / 1000:.0f} kB, a frame {bytes_of_frame / 1000:.0f} kB, drawn in {draw_ms:.1f} ms")
    print(f"{frames:.1f} frames a second, {rate:.0f} seed-steps a second")
    print(f"the script without a page: {before:.0f} before, {after:.0f} after; the page's share {ratio:.2f}")
    print(f"a control is answered after {statistics.median(answered):.0f} ms (median of {len(answered)})")
    print(f"memory {start:.0f} MB, {grown:+.1%} after {minutes:g} minutes of play")


if __name__ == "__main__":
    main()
