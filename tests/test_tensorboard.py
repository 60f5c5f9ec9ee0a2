"""--tensorboard: the event file, read back with TensorBoard's own reader, holds what the run's folder holds."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import DyingRun, Killed, command, config_of, one_line, quiet_command, without_times

from experiments import dirac_gan, normal_1d, numpy_gan
from lab import storage, tensorboard

ROOT = Path(__file__).parent.parent
POINTS = (
    "--seeds 3 --steps 60 --eval-every 20 --eval-samples 200 --checkpoint-every 20 "
    "--generator-hidden 8 --discriminator-hidden 8"
)
IMAGES = "--data digits --steps 20 --eval-every 10 --checkpoint-every 10 --eval-samples 300 --batch 16"
installed = pytest.mark.skipif(not importlib.util.find_spec("tensorboard"), reason="tensorboard is not installed")


def read(folder):
    """What TensorBoard's reader finds in a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    everything = dict.fromkeys(("scalars", "images", "tensors"), 0)
    return EventAccumulator(str(folder), size_guidance=everything).Reload()


def scalars(events, prefix=""):
    """(tag, step) -> number; `prefix`: of the numbers of the result, or those of the log."""
    tags = [tag for tag in events.Tags()["scalars"] if tag.startswith("result/") == bool(prefix)]
    points = [(tag.removeprefix(prefix), point.step, point.value) for tag in tags for point in events.Scalars(tag)]
    found = {(tag, step): value for tag, step, value in points}
    assert len(found) == len(points)  # no step twice
    return found


def expected(values):
    """tag -> float32, of a record or a result."""
    flat = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= {f"{name}/{part}": value[part] for part in ("median", "q10", "q90", "failed")}
        elif not isinstance(value, str | list | None):
            flat[name] = value
    return {tag: float(np.float32(value)) for tag, value in flat.items() if value is not None}


def of_log(folder):
    """What `scalars` finds if the events are those of log.jsonl."""
    records = storage.read_log(folder)
    assert len(records) > 2
    return {(t, r["step"]): number for r in records for t, number in expected(r).items() if t != "step"}


def pictures(events, tag):
    """step -> the bytes of a PNG."""
    return {image.step: image.encoded_image_string for image in events.Images(tag)}


def event_files(folder):
    return sorted(path.name for path in folder.rglob("*tfevents*"))


@pytest.fixture(scope="module", params=[(normal_1d, POINTS), (numpy_gan, IMAGES)], ids=["normal_1d", "numpy_gan"])
def finished(request, tmp_path_factory):
    """Module, flags, the same run without and with an event file; both folders lie alone in a folder."""
    module, flags = request.param[0], request.param[1].split()
    folder = tmp_path_factory.mktemp("runs")
    assert quiet_command(module, *flags, "--out", folder / "plain")[0] == 0
    code, screen = quiet_command(module, *flags, "--out", folder / "shown", "--tensorboard")
    assert code == 0 and f"tensorboard --logdir {folder / 'shown'}" in screen
    return module, flags, folder


@installed
def test_scalars_are_the_numbers_of_the_log_and_of_the_result(finished):
    _, _, folder = finished
    events, result = read(folder / "shown"), json.loads((folder / "shown" / "result.json").read_text())
    assert scalars(events) == of_log(folder / "shown")
    settings = json.loads((folder / "shown" / "config.json").read_text())["config"]
    numbers = {(t, result["steps"]): n for t, n in expected(result).items() if t not in settings}
    assert scalars(events, "result/") == numbers and len(numbers) > 3


@installed
def test_numbers_over_seeds_have_a_chart_with_a_band(finished):
    from tensorboard.plugins.custom_scalar import layout_pb2

    module, _, folder = finished
    events = read(folder / "shown")
    if module is numpy_gan:
        assert "custom_scalars__config__" not in events.Tags()["tensors"]
        return
    layout = layout_pb2.Layout()
    layout.ParseFromString(events.Tensors("custom_scalars__config__")[-1].tensor_proto.string_val[0])
    bands = [chart.margin.series[0] for chart in layout.category[0].chart]
    shown = [(band.value, band.lower, band.upper) for band in bands]
    assert shown == [(f"{n}/median", f"{n}/q10", f"{n}/q90") for n in ("kl", "discriminator_loss", "generator_loss")]
    assert {tag for band in shown for tag in band} <= {*events.Tags()["scalars"]}


@installed
def test_images_are_the_sheets_and_the_figures(finished):
    module, _, folder = finished
    events, run = read(folder / "shown"), folder / "shown"
    sheets = {int(path.stem): path.read_bytes() for path in (run / "samples").glob("*.png")}
    assert set(sheets) == ({0, 10, 20} if module is numpy_gan else set())
    if sheets:
        assert pictures(events, "samples") == sheets
    steps = json.loads((run / "result.json").read_text())["steps"]
    figures = {f"figures/{path.stem}": {steps: path.read_bytes()} for path in (run / "figures").glob("*.png")}
    shown = {tag: pictures(events, tag) for tag in events.Tags()["images"] if tag != "samples"}
    assert shown == figures and figures


@installed
def test_hparams_are_the_settings(finished):
    from tensorboard.plugins.hparams import api_pb2, metadata

    module, _, folder = finished
    events = read(folder / "shown")
    start, end = (
        getattr(metadata, f"parse_{name}_plugin_data")(
            events.SummaryMetadata(f"_hparams_/{name}").plugin_data.content
        )
        for name in ("session_start_info", "session_end_info")
    )
    saved = json.loads((folder / "shown" / "config.json").read_text())
    given = {"experiment": module.__name__.split(".")[1], "recipe": "stable"} | saved["config"]
    given = {name: value for name, value in given.items() if value is not None}
    shown = {name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()}
    assert shown == {n: " ".join(map(str, v)) if isinstance(v, list) else v for n, v in given.items()}
    assert end.status == api_pb2.STATUS_SUCCESS


@installed
def test_the_run_is_the_same_bit_for_bit_and_only_the_event_file_is_new(finished):
    _, _, folder = finished
    plain, shown = folder / "plain", folder / "shown"
    assert without_times(storage.read_log(plain)) == without_times(storage.read_log(shown))
    names = [path.name for path in (plain / "checkpoint").iterdir()]
    for name in names:
        with np.load(plain / "checkpoint" / name) as a, np.load(shown / "checkpoint" / name) as b:
            assert set(a) == set(b) and all(a[key].tobytes() == b[key].tobytes() for key in a if key != "about")
    files = [{str(path.relative_to(run)) for path in run.rglob("*")} for run in (plain, shown)]
    assert names and len(event_files(shown)) == 1 and files[1] - files[0] == {*event_files(shown)}
    assert {path.name for path in folder.iterdir()} == {"plain", "shown"}


@installed
def test_killed_run_keeps_its_records_and_holds_no_step_twice_once_it_is_resumed(finished, tmp_path):
    module, flags, _ = finished
    config, folder = config_of(module, flags), tmp_path / "run"
    folder.mkdir()
    storage.save_config(folder, module.__name__.split(".")[1], "stable", config)
    run = DyingRun(folder, at=2 * config.eval_every)
    run._events = tensorboard.Events(folder)
    with pytest.raises(Killed):
        module.train(config, run)
    last = max(step for _, step in scalars(read(folder)))
    assert last == 2 * config.eval_every and scalars(read(folder)) == of_log(folder)
    killed = event_files(folder)
    with (folder / killed[0]).open("ab") as file:
        file.write(b"\x20torn")  # an event that the kill cut off
    code, screen = quiet_command(module, "--resume", folder, "--tensorboard", draw=False)
    assert code == 0 and f"resuming at step {config.eval_every}" in screen
    assert len(event_files(folder)) == 1 and event_files(folder) > killed  # the order of reading
    events = read(folder)
    assert scalars(events) == of_log(folder)


@installed
def test_run_without_events_gets_them_later_and_may_go_on_with_and_without(tmp_path, capsys):
    folder = tmp_path / "run"
    assert command(numpy_gan, *IMAGES.split(), "--out", folder) == 0 and not event_files(folder)
    assert command(numpy_gan, "--resume", folder, "--tensorboard") == 0
    assert "finished" in capsys.readouterr().out
    finished, files = read(folder), event_files(folder)
    assert scalars(finished) == of_log(folder) and "figures/samples" in finished.Tags()["images"]
    assert len(pictures(finished, "samples")) == 3

    assert command(numpy_gan, "--resume", folder, "--steps", 30) == 0 and event_files(folder) == files
    (folder / "samples" / "00000010.png").write_bytes(b"\x89PNG")
    capsys.readouterr()
    assert command(numpy_gan, "--resume", folder, "--steps", 40, "--tensorboard", draw=False) == 0
    assert "00000010.png is damaged" in capsys.readouterr().out
    events = read(folder)
    assert scalars(events) == of_log(folder) and {step for _, step in scalars(events, "result/")} == {40}
    assert {*pictures(events, "samples")} == {0, 20, 30, 40}


@installed
def test_script_without_a_log_shows_its_figure(tmp_path):
    flags = "--losses minimax --penalties 0 1 --steps 20 --tensorboard"
    assert quiet_command(dirac_gan, *flags.split(), "--out", tmp_path / "run")[0] == 0
    events = read(tmp_path / "run")
    assert events.Tags()["images"] == ["figures/trajectories"] and not scalars(events)
    assert ("train_seconds", 20) in scalars(events, "result/")


@installed
def test_number_that_is_not_finite_has_no_point(tmp_path):
    storage.save_config(tmp_path, "normal_1d", "stable", config_of(normal_1d, POINTS.split()))
    events = tensorboard.Events(tmp_path)
    events.restart([])
    numbers = {"kl": {"median": None, "q10": None, "q90": None, "failed": 3}, "counts": [1, 2], "share": 0.1}
    events.record({"step": 7, **numbers, "train_seconds": 0.5})
    found = {("kl/failed", 7): 3.0, ("share", 7): float(np.float32(0.1)), ("train_seconds", 7): 0.5}
    assert scalars(read(tmp_path)) == found


@installed
def test_time_of_a_point_is_that_of_training_and_old_records_are_in_the_past(tmp_path):
    storage.save_config(tmp_path, "normal_1d", "stable", config_of(normal_1d, POINTS.split()))
    events, before = tensorboard.Events(tmp_path), time.time()
    events.restart([{"step": 0, "train_seconds": 0.0}, {"step": 10, "train_seconds": 1000.0}])
    after = time.time()
    events.record({"step": 20, "train_seconds": 1002.5})
    times = [point.wall_time for point in read(tmp_path).Scalars("train_seconds")]
    assert before <= times[1] <= after and np.diff(times) == pytest.approx([1000, 2.5])


IMPORTED = """
import sys
from experiments import numpy_gan as m
from lab import cli
try:
    cli.main(m.__doc__, m.RECIPES, m.train, m.evaluate, lambda *given: None, None, sys.argv[1:])
finally:
    print(*sorted({"tensorflow", "tensorboard"} & set(sys.modules)), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words, code, packages",
    [
        ("--help", 0, ""),
        ("--tensorboard --steps 0 --out run", 2, ""),
        ("--tensorboard --out taken", 2, ""),
        pytest.param("--tensorboard --out run " + IMAGES, 0, "tensorboard", marks=installed),
    ],
)
def test_imported_only_where_needed_and_without_tensorflow(words, code, packages, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "config.json").touch()
    run = [sys.executable, "-c", IMPORTED, *words.split()]
    done = subprocess.run(
        run, cwd=tmp_path, env={"PYTHONPATH": ":".join([str(ROOT), *sys.path])}, capture_output=True
    )
    assert done.returncode == code and done.stderr.decode().splitlines()[-1] == packages


def test_absent_package_is_one_line_before_anything_is_created(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert command(normal_1d, *POINTS.split(), "--tensorboard", "--out", tmp_path / "a" / "run") == 2
    line = one_line(capsys)
    assert "--tensorboard: the package tensorboard is not installed" in line and "[tensorboard]" in line
    assert not list(tmp_path.iterdir())


def test_absent_package_does_not_hinder_a_run_without_the_flag(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert command(numpy_gan, *IMAGES.split(), "--out", tmp_path / "run", draw=False) == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")}
    assert command(numpy_gan, "--resume", tmp_path / "run", "--tensorboard") == 2
    assert "[tensorboard]" in one_line(capsys)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*")} == before
