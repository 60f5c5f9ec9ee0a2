"""What survives: kills at random moments, kills during a save, SIGTERM, a full disk, flipped bits, truncated files.

    python benchmarks/faults.py > docs/results/faults.md        about 40 minutes on two cores
    python benchmarks/faults.py --share 0.1                     a tenth of the faults

Each fault hits a run as a user starts it. The run is then resumed, as often as it takes, and compared with one that
was never disturbed: every array of the last checkpoint, log.jsonl, result.json and every snapshot have to hold the
same bits, times aside. After the fault no file may be half-written, and the run may lose at most the steps since the
last checkpoint; at the end no temporary file, lock or damaged file may be left.

A full disk is one that the study mounts itself. This needs Linux, where every user may do so in a user namespace.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pages
import psutil

from lab import files, storage

SCRIPTS = pages.ROOT / "experiments"
IMAGES = "--data digits --eval-samples 300 --log-samples 100"
RUNS = {  # a few seconds of training each, with a checkpoint at every record or every other one
    "normal_1d": "--seeds 2 --steps 8000 --eval-every 200 --checkpoint-every 200 --eval-samples 1000",
    "mixture_2d": "--seeds 2 --steps 2400 --eval-every 200 --checkpoint-every 400 --samples 5000 --eval-samples 500",
    "numpy_gan": f"{IMAGES} --steps 2000 --eval-every 100 --checkpoint-every 200",
    "mnist_mlp": f"{IMAGES} --steps 400 --eval-every 40 --checkpoint-every 80",
    "mnist_dcgan": f"{IMAGES} --steps 100 --eval-every 10 --checkpoint-every 20 --generator-maps 32 32 16 "
    "--discriminator-maps 8 16 32 64",
}
TIMES = ("train_seconds", "wall_seconds", "cpu_seconds", "seed_steps_per_second")
LITTER = (".*", "*.lock", "*.damaged*")


def start(name: str, folder: Path, resume: bool = False) -> subprocess.Popen:
    """The script as a user types it, or its resumption."""
    flags = ["--resume", str(folder)] if resume else [*RUNS[name].split(), "--out", str(folder)]
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder.parent)


def go_on(name: str, folder: Path) -> subprocess.Popen:
    """Resume the run in the folder, or start it where no run is yet."""
    return start(name, folder, resume=(folder / "config.json").exists())


def finish(name: str, folder: Path) -> tuple[str, str]:
    """Resume until the end; returns what was said on standard output and on standard error.

    A settings file that is refused is deleted.
    """
    screen = said = ""
    for _ in range(3):
        process = go_on(name, folder) if not said else start(name, folder, resume=True)
        output, error = process.communicate()
        screen, said = screen + output, said + error
        if process.returncode == 0:
            return screen, said
        if "Traceback" in error or error.count("\n") != 1 or "delete it" not in error:
            raise AssertionError(f"resuming ended with {process.returncode}: {error}")
        (folder / "config.json").unlink()  # what the line on the screen advises
    raise AssertionError(f"could not be resumed: {said}")


# ------------------------------------------------------------------------------------------------- comparing


def contents(folder: Path) -> dict[str, Any]:
    """Everything that has to be the same, by name: arrays, log lines, the result, snapshots."""
    newest = storage.Checkpoints(folder).newest(keep_damaged=True)
    assert newest, "no checkpoint"
    found: dict[str, Any] = {f"checkpoint {name}": array.tobytes() for name, array in newest.arrays.items()}
    for record in storage.read_log(folder):
        found[f"log of step {record['step']}"] = {k: v for k, v in record.items() if k not in TIMES}
    result = files.read_json(folder / "result.json")
    found["result.json"] = {k: v for k, v in result.items() if k not in TIMES}
    found["data.json"] = files.read_json(folder / "data.json")
    for step, arrays in storage.read_snapshots(folder, newest.step, keep_damaged=True).items():
        found[f"snapshot of step {step}"] = {name: array.tobytes() for name, array in arrays.items()}
    return found


def compare(whole: dict[str, Any], folder: Path) -> set[str]:
    """What the finished run in `folder` lost; AssertionError if anything in it is different."""
    found = contents(folder)
    if wrong := [name for name, value in found.items() if whole.get(name) != value]:
        raise AssertionError(f"{folder}: different: {', '.join(wrong[:5])}")
    return whole.keys() - found.keys()


def require_nothing_torn(name: str, folder: Path) -> None:
    """AssertionError if a file is half-written, or if more than one interval between checkpoints is lost."""
    if not (folder / "config.json").exists():
        return
    for path in folder.glob("*.json"):
        files.read_json(path)
    for path in [*folder.glob("checkpoint/ckpt-*.npz"), *folder.glob("snapshots/[0-9]*.npz")]:
        files.read_npz(path)
    steps, records = storage.steps(folder), storage.read_log(folder)
    every = int(RUNS[name].split("--checkpoint-every ")[1].split()[0])
    if records and records[-1]["step"] - max(steps, default=0) > every:
        raise AssertionError(f"{folder}: logged step {records[-1]['step']}, saved {steps}")


def require_no_litter(folder: Path, allowed: Iterable[str] = ()) -> None:
    """AssertionError if a temporary file, a lock or a file that was set aside is left."""
    left = {path.name for pattern in LITTER for path in folder.rglob(pattern)} - set(allowed)
    if left:
        raise AssertionError(f"{folder}: left behind: {', '.join(sorted(left))}")


class Whole(NamedTuple):
    """A run that was never disturbed."""

    contents: dict[str, Any]
    seconds: float
    folder: Path


# ---------------------------------------------------------------------------------------------------- faults

Fault = Callable[[str, Whole, Path, random.Random], int]  # hits a run in a folder; returns how often it did


def kills(name: str, whole: Whole, folder: Path, rng: random.Random) -> int:
    """kill -9 at a random moment, up to five times in one run."""
    hits = 0
    for _ in range(5):
        process = go_on(name, folder)
        try:
            process.communicate(timeout=rng.uniform(0, whole.seconds))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            hits += 1
            require_nothing_torn(name, folder)
        else:
            break
    return hits


def kills_in_a_save(name: str, whole: Whole, folder: Path, rng: random.Random) -> int:
    """kill -9 as soon as the temporary file of a checkpoint is seen, up to five times in one run."""
    hits = 0
    for _ in range(5):
        process, ordinal = go_on(name, folder), rng.randrange(4)
        own = f".ckpt-*.tmp{process.pid}.npz"  # as files.replacing names it; not what an earlier kill left
        seen = set()
        while process.poll() is None:
            for path in (folder / "checkpoint").glob(own):
                seen.add(path.name)
                if len(seen) > ordinal:
                    process.kill()
            time.sleep(0.0003)  # writing a checkpoint takes some milliseconds
        process.communicate()
        if process.returncode == 0:
            break
        hits += any((folder / "checkpoint").glob(own))  # it was left: the kill came during the save
        require_nothing_torn(name, folder)
    return hits


def terminations(name: str, whole: Whole, folder: Path, rng: random.Random) -> int:
    """SIGTERM at a random moment, up to five times in one run: exit code 143 and one line within 5 seconds."""
    hits = 0
    for _ in range(5):
        process = go_on(name, folder)
        try:
            process.communicate(timeout=1 + rng.uniform(0, whole.seconds))  # Python itself takes a second to start
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            sent = time.monotonic()
            said, error = process.communicate()
            if process.returncode == 0:  # it was about to end
                break
            over = "s of training" in said or "finished, all" in said
            if process.returncode == -signal.SIGTERM and (over or not said):
                continue  # Python was still starting, or ending: the script was not there to hear it
            hits += 1
            assert time.monotonic() - sent < 5, f"{folder}: ended {time.monotonic() - sent:.1f} s after SIGTERM"
            assert process.returncode == 143 and error.count("\n") == 1, f"{process.returncode}: {error}"
            require_nothing_torn(name, folder)
        else:
            break
    return hits


def full_disk(name: str, whole: Whole, folder: Path, rng: random.Random) -> int:
    """A disk of a random size, in memory, that is full at some moment; what it held goes on elsewhere."""
    size = sum(path.stat().st_blocks * 512 for path in whole.folder.rglob("*"))
    kilobytes = int(rng.uniform(0.02, 0.9) * size / 1000)
    train = [sys.executable, str(SCRIPTS / f"{name}.py"), *RUNS[name].split(), "--out", "disk/run"]
    script = 'mount -t tmpfs -o "size=$1k" tmpfs disk; shift; "$@"; code=$?; cp -a disk/run .; exit $code'
    work = folder.parent / f"{folder.name}-work"
    (work / "disk").mkdir(parents=True)
    command = ["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(kilobytes), *train]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    assert done.returncode in (1, 2), f"{done.returncode} with {kilobytes} kB: {done.stderr}"
    assert done.stderr.count("\n") == 1 and "no space left" in done.stderr, done.stderr
    if (work / "run").exists():
        shutil.move(work / "run", folder)
        require_nothing_torn(name, folder)
    shutil.rmtree(work)
    return 1


def require_disks() -> None:
    """SystemExit if `full_disk` cannot mount its disk here."""
    mount = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", tempfile.gettempdir()]
    if not shutil.which(mount[0]) or subprocess.run(mount, capture_output=True).returncode:
        sys.exit("disk full: needs Linux with user namespaces in which `unshare` may mount a disk; try --only")


MAKING = threading.Lock()


def _interrupted(name: str, whole: Whole, folder: Path) -> Path:
    """A run that SIGTERM ended after half of its steps; made once for each script, then copied."""
    kept = whole.folder.parent / f"{name}-half"
    with MAKING:
        if not kept.exists():
            process, half = start(name, kept), int(RUNS[name].split("--steps ")[1].split()[0]) // 2
            while process.poll() is None and max(storage.steps(kept), default=0) < half:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            _, error = process.communicate()
            assert process.returncode == 143, f"{name} ended with {process.returncode} before SIGTERM: {error}"
    shutil.copytree(kept, folder)
    return folder


def _random_file(folder: Path, rng: random.Random) -> Path:
    return rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size))


def flipped_bit(name: str, whole: Whole, folder: Path, rng: random.Random) -> int:
    """One bit of one file of an interrupted run is another one."""
    path = _random_file(_interrupted(name, whole, folder), rng)
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return 1


def truncation(name: str, whole: Whole, folder: Path, rng: random.Random) -> int:
    """One file of an interrupted run ends early, or is empty."""
    path = _random_file(_interrupted(name, whole, folder), rng)
    os.truncate(path, rng.choice((0, path.stat().st_size - 1, rng.randrange(path.stat().st_size))))
    return 1


class Kind(NamedTuple):
    """A kind of fault: what it does, to which scripts, how many are wanted, and whether it may damage files."""

    fault: Fault
    scripts: tuple[str, ...]
    wanted: int
    damages: bool = False


KINDS = {
    "kill -9 at a random moment": Kind(kills, tuple(RUNS), 300),
    "kill -9 during a save": Kind(kills_in_a_save, tuple(RUNS), 60),
    "SIGTERM at a random moment": Kind(terminations, tuple(RUNS), 60),
    "disk full": Kind(full_disk, ("normal_1d", "numpy_gan", "mixture_2d", "mnist_mlp"), 20),
    "one flipped bit": Kind(flipped_bit, ("numpy_gan", "numpy_gan", "normal_1d", "mixture_2d"), 100, True),
    "one truncated file": Kind(truncation, ("numpy_gan", "numpy_gan", "normal_1d", "mixture_2d"), 100, True),
}


# --------------------------------------------------------------------------------------------------- the study


def study(title: str, kind: Kind, wholes: dict[str, Whole], wanted: int, jobs: int, work: Path) -> str:
    """Hit runs until there were as many faults as wanted; returns the row of the table."""
    total, told = Counter[str](), Counter[str]()

    def one(k: int) -> None:
        if total["hits"] >= wanted:
            return
        name, rng = kind.scripts[k % len(kind.scripts)], random.Random(f"{title} {k}")
        folder = work / f"{kind.fault.__name__}-{k}"
        hits = kind.fault(name, wholes[name], folder, rng)
        screen, said = finish(name, folder)
        lost = compare(wholes[name].contents, folder)
        if not kind.damages:
            assert not lost, f"{folder}: lost {lost}"
        assert not lost or "damaged" in screen, f"{folder}: lost {lost}, and nothing on the screen says so"
        require_no_litter(folder, [p.name for p in folder.rglob("*.damaged*")] if kind.damages else ())
        total.update(hits=hits, runs=1, lost=len(lost))
        told.update(refused=bool(said), aside=any(folder.rglob("*.damaged*")))
        shutil.rmtree(folder)
        print(f"{title}: {total['hits']} of {wanted}", file=sys.stderr)

    with ThreadPoolExecutor(jobs) as pool:
        for _ in pool.map(one, range(10 * wanted)):
            pass  # raises what a run raised
    lost = f"{total['lost']} log lines or snapshots, each said on the screen" if total["lost"] else "nothing"
    print(f"{title}: done", file=sys.stderr)
    notes = ""
    if kind.damages:
        notes = f"; {told['aside']} damaged files set aside; a changed config.json refused {told['refused']} times"
    return f"| {title} | {total['hits']} | {total['runs']} | {total['runs']} of {total['runs']} | {lost}{notes} |"


LONG = {  # commands whose memory must not grow while they train
    "normal_1d": "--steps 200000",
    "mnist_dcgan": "--data digits --steps 5000 --generator-maps 32 32 16 --discriminator-maps 8 16 32 64",
}


def growth(name: str, work: Path) -> str:
    """The row of a long run: its resident memory after a tenth of the steps, and at the end of training."""
    folder = work / f"{name}-long"
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *LONG[name].split(), "--out", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    total, seen = int(LONG[name].split("--steps ")[1].split()[0]), []
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):
            memory = psutil.Process(process.pid).memory_info().rss
            step = max((r["step"] for r in storage.read_log(folder)), default=0)
            if step < total:  # before the evaluation
                seen.append((step / total, memory / 1e6))
        time.sleep(0.5)
    assert process.returncode == 0, f"{name}.py {LONG[name]} ended with exit code {process.returncode}"
    early, late = (
        statistics.median(memory for share, memory in seen if low <= share <= high)
        for low, high in ((0.1, 0.2), (0.9, 1))
    )
    return f"| `{name}.py {LONG[name]}` | {early:.0f} | {late:.0f} | {late / early - 1:+.2%} |"


def main() -> None:
    """Print the table in Markdown; the first thing that is lost, torn or different ends the study with its name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=pages.positive(float), default=1.0, help="share of the faults (default: 1)")
    parser.add_argument("--jobs", type=pages.positive(int), default=2, help="runs at the same time (default: 2)")
    kinds = [kind.fault.__name__ for kind in KINDS.values()]
    parser.add_argument("--only", choices=kinds, help="try only this kind of fault")
    args = parser.parse_args()
    if args.only in (None, full_disk.__name__):
        require_disks()
    made, began = pages.line(__file__), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="faults-") as temporary:
        work, wholes = Path(temporary), {}
        chosen = {t: k for t, k in KINDS.items() if args.only in (None, k.fault.__name__)}
        for name in {name: None for kind in chosen.values() for name in kind.scripts}:
            for k in range(2):  # twice: the first run may train the digit classifier, and the two are compared
                begun, process = time.monotonic(), start(name, work / f"{name}-{k}")
                process.communicate()
                assert process.returncode == 0, f"{name} does not run"
            wholes[name] = Whole(contents(work / f"{name}-0"), time.monotonic() - begun, work / f"{name}-0")
            assert not compare(wholes[name].contents, work / f"{name}-1")
            print(f"{name}: {wholes[name].seconds:.1f} s undisturbed", file=sys.stderr)
        rows = [
            study(title, kind, wholes, max(1, round(args.share * kind.wanted)), args.jobs, work)
            for title, kind in chosen.items()
        ]
        grown = [growth(name, work) for name in LONG] if args.only is None else []
    minutes = (time.monotonic() - began) / 60
    print(f"""# What a run survives

`python benchmarks/faults.py`: {minutes:.0f} minutes with {args.jobs} runs at a time. A fault hits a run that was
started as a user types it; the run is then resumed and compared with one that was never disturbed. "Same bits" counts
runs in which all that is left of the last checkpoint, log.jsonl, result.json and snapshots equals the undisturbed
run, times aside; the last column says what is missing. The study stops at the first difference. After every kill,
SIGTERM and full disk the study also checks that no file is half-written and that the newest checkpoint is at most one
`--checkpoint-every` behind the log; and at the end, that no temporary file and no lock is left.

| fault | faults | runs | same bits | lost |
|---|---|---|---|---|""")
    print("\n".join(rows))
    print("""
The study found three errors, which are repaired now: a traceback when SIGTERM came while TensorFlow was tracing;
figures that could not be drawn when a log line was missing; and a process that took 5.4 s to end. A SIGTERM before
the script's first line, or after its last one, ends Python itself, and is not counted.

Scripts and flags: see `RUNS` in `benchmarks/faults.py`. A damaged log line or snapshot cannot be made again without
training again: the program says which one is missing, keeps the damaged file as `<name>.damaged`, and goes on. If
config.json was changed, the program stops with one line, which says to delete the file; the copy in the newest
checkpoint then takes its place. Pictures are not checked: `python experiments/plot.py RUN` draws them again.
""")
    if grown:
        print("| resident memory, MB | after the first tenth of the steps | in the last tenth | growth |")
        print("|---|---|---|---|", *grown, "", sep="\n")
    print(made)


if __name__ == "__main__":
    main()
