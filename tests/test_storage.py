"""The files of a run: settings, log, checkpoints, the lock; what damage and edits by hand do to them."""

import itertools
import json
import multiprocessing
import os
import socket
import zlib
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
from helpers import attacked
from hypothesis import given, settings
from hypothesis import strategies as st

from gan_core import tf
from lab import files, storage
from lab.files import BadInput


@dataclass(frozen=True)
class Config:
    steps: int = 6
    rate: float = 0.5
    hidden: tuple[int, ...] = (8, 8)
    name: str | None = None
    skip: bool = False

    def __post_init__(self):
        if self.steps < 1:
            raise BadInput(f"--steps {self.steps}: expected at least 1")


# ---- checkpoints


def state(number=0.0):
    """Variables and arrays, nested."""
    return {
        "game": [tf.Variable([number, number]), (tf.Variable(int(number), dtype=tf.int64),)],
        "total": [np.full(1, number)],
    }


def values(made):
    return [np.ravel(leaf)[0] for _, leaf in storage.leaves(made)]


@pytest.fixture
def saved(tmp_path):
    """Checkpoints of steps 10, 20, 30, 40, of which three are kept."""
    for step in (10, 20, 30, 40):
        storage.Checkpoints(tmp_path).save(step, state(float(step)), {"fact": [step, 0.5]})
    return tmp_path


def path_of(folder, step):
    return folder / "checkpoint" / f"ckpt-{step}.npz"


def test_leaves_are_named_by_their_place():
    names = [name for name, _ in storage.leaves({"game": [1, (2,)], "total": [3]})]
    assert names == ["game/0", "game/1/0", "total/0"]


def test_newest_checkpoint_is_restored_and_three_are_kept(saved):
    newest, made = storage.Checkpoints(saved).newest(), state()
    storage.restore(made, newest)
    assert newest.step == 40 and newest.about["fact"] == [40, 0.5] and values(made) == [40, 40, 40]
    assert storage.steps(saved) == [20, 30, 40]
    with np.load(path_of(saved, 40)) as file:  # NumPy alone reads it, too
        assert file["game/0"].tolist() == [40, 40]


def test_the_newest_checkpoint_is_that_of_the_largest_number_and_not_of_the_last_name(tmp_path):
    for step in (8, 9, 10, 100):
        storage.Checkpoints(tmp_path).save(step, {"total": np.full(1, step)})
    assert storage.steps(tmp_path) == [9, 10, 100] and storage.Checkpoints(tmp_path).newest().step == 100


def test_every_flipped_bit_and_every_truncation_is_noticed(saved):
    path = path_of(saved, 40)
    content, rng = path.read_bytes(), np.random.default_rng(0)
    for k in [0, len(content) - 1, *rng.integers(len(content), size=60)]:
        damaged = bytearray(content)
        damaged[k] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="checksum"):
            storage._read_sealed(path)
    for length in [0, 1, len(content) - 1, *rng.integers(len(content), size=20)]:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="checksum"):
            storage._read_sealed(path)


def test_damaged_checkpoint_falls_back_to_the_one_before_and_is_set_aside(saved, capsys):
    path_of(saved, 40).write_bytes(path_of(saved, 40).read_bytes()[:-1])
    path_of(saved, 30).write_bytes(b"")
    assert storage.Checkpoints(saved).newest().step == 20
    screen = capsys.readouterr().out
    assert "ckpt-40.npz is damaged" in screen and "ckpt-30.npz is damaged" in screen
    assert storage.steps(saved) == [20] and (saved / "checkpoint" / "ckpt-40.npz.damaged").exists()
    storage.Checkpoints(saved).save(25, state(25.0))
    assert storage.Checkpoints(saved).newest().step == 25  # the damaged ones do not count any more


def test_a_reader_leaves_damaged_checkpoints_where_they_are(saved):
    path_of(saved, 40).write_bytes(b"")
    before = sorted(saved.rglob("*"))
    assert storage.Checkpoints(saved).newest(keep_damaged=True).step == 30
    assert sorted(saved.rglob("*")) == before


def test_every_checkpoint_damaged_is_bad_input_and_nothing_is_touched(saved):
    for step in (20, 30, 40):
        path_of(saved, step).write_bytes(b"\0" * 100)
    before = sorted(saved.rglob("*"))
    with pytest.raises(BadInput, match="no checkpoint that can be read"):
        storage.Checkpoints(saved).newest()
    assert sorted(saved.rglob("*")) == before


def test_a_checkpoint_for_which_there_is_no_memory_now_is_not_damaged(saved, monkeypatch):
    monkeypatch.setattr(files, "free_memory", lambda: 10)
    before = sorted(saved.rglob("*"))
    with pytest.raises(BadInput, match=r"ckpt-40.npz: .* and only 10 bytes of memory are free"):
        storage.Checkpoints(saved).newest()
    assert sorted(saved.rglob("*")) == before


def test_checkpoint_under_another_name_is_damaged(saved):
    path_of(saved, 40).rename(path_of(saved, 50))
    assert storage.Checkpoints(saved).newest().step == 30


def test_no_checkpoint_yet(tmp_path):
    assert storage.Checkpoints(tmp_path).newest() is None


def test_state_of_another_shape_is_refused_and_left_as_it_is(saved):
    made = state() | {"total": [np.zeros(2)]}
    with pytest.raises(ValueError, match=r"total/0 is float64 \[1\], expected float64 \[2\]"):
        storage.restore(made, storage.Checkpoints(saved).newest())
    with pytest.raises(ValueError, match=r"total/0 is float64 \[1\], expected float32 \[1\]"):
        storage.restore(state() | {"total": [np.zeros(1, np.float32)]}, storage.Checkpoints(saved).newest())
    with pytest.raises(ValueError, match="more is missing"):
        storage.restore(state() | {"more": np.zeros(1)}, storage.Checkpoints(saved).newest())
    assert values(made)[:2] == [0, 0]


# ---- the log


def lines(folder):
    return (folder / "log.jsonl").read_text().splitlines()


@pytest.fixture
def log(tmp_path):
    """A log of five lines, and the checksums of its lines."""
    made = storage.Log(tmp_path)
    for step in range(5):
        made.write({"step": step, "kl": 0.125 * step})
    made.close()
    return tmp_path, made.checksums


def test_torn_last_line_is_dropped_in_silence(log, capsys):
    folder, checksums = log
    with (folder / "log.jsonl").open("a") as file:
        file.write('{"step": 5, "k')
    kept = storage.Log(folder, 3, checksums[:4])  # as the checkpoint of step 3 has them
    kept.close()
    assert [r["step"] for r in kept.records] == [0, 1, 2, 3] and kept.checksums == checksums[:4]
    assert len(lines(folder)) == 4 and capsys.readouterr().out == "" and not list(folder.glob("*.damaged*"))


@pytest.mark.parametrize(
    "damage", ["\0\0\0", "{", "[1]", '{"step": "two"}', '{"step": NaN}', '{"step": true}', "\u00e9"]
)
def test_damaged_line_costs_itself_alone_and_the_file_is_kept_aside(log, damage, capsys):
    folder, checksums = log
    content = lines(folder)
    content[2] = damage
    (folder / "log.jsonl").write_text("\n".join(content) + "\n", encoding="latin-1")
    before = (folder / "log.jsonl").read_bytes()
    kept = storage.Log(folder, 4, checksums)
    kept.close()
    assert [r["step"] for r in kept.records] == [0, 1, 3, 4] and "line 3 damaged" in capsys.readouterr().out
    assert (folder / "log.jsonl.damaged").read_bytes() == before and len(lines(folder)) == 4


def test_a_changed_number_does_not_fit_its_checksum(log, capsys):
    folder, checksums = log
    text = (folder / "log.jsonl").read_text()
    (folder / "log.jsonl").write_text(text.replace("0.25", "0.35"))
    kept = storage.Log(folder, 4, checksums)
    kept.close()
    assert [r["step"] for r in kept.records] == [0, 1, 3, 4]
    assert "line 3 damaged" in capsys.readouterr().out


def test_a_step_that_is_much_too_large_costs_its_line_alone(log, capsys):
    folder, checksums = log
    text = (folder / "log.jsonl").read_text()
    (folder / "log.jsonl").write_text(text.replace('"step": 2', '"step": 2000'))
    assert [r["step"] for r in storage.read_log(folder, 4, checksums)] == [0, 1, 3, 4]
    kept = storage.Log(folder, 4, checksums)
    kept.close()
    assert [r["step"] for r in kept.records] == [0, 1, 3, 4] and "1 line is missing" in capsys.readouterr().out


def test_missing_lines_and_a_missing_file_are_said(log, capsys):
    folder, checksums = log
    (folder / "log.jsonl").write_text("\n".join(lines(folder)[:2]) + "\n")
    kept = storage.Log(folder, 4, checksums)
    kept.close()
    assert len(kept.records) == 2 and "3 lines are missing" in capsys.readouterr().out
    (folder / "log.jsonl").unlink()
    kept = storage.Log(folder, 4, checksums)
    kept.close()
    assert kept.records == [] and "missing" in capsys.readouterr().out


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(data=st.data())
def test_no_damage_to_the_log_gives_a_wrong_record_or_stops_a_run(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("log")
    records = [{"step": step, "kl": 0.125 * step} for step in range(5)]
    intact = [storage._line(record).encode() for record in records]
    (folder / "log.jsonl").write_bytes(data.draw(attacked(b"".join(intact))))
    found = storage.read_log(folder)
    assert all(a["step"] < b["step"] for a, b in itertools.pairwise(found))
    kept = storage.Log(folder, 4, [zlib.crc32(line) for line in intact])
    kept.close()
    assert all(record in records for record in kept.records)


def test_reading_alone_changes_nothing(log):
    folder, _ = log
    (folder / "log.jsonl").write_text("garbage\n" + (folder / "log.jsonl").read_text())
    before = sorted(folder.iterdir())
    assert [r["step"] for r in storage.read_log(folder)] == list(range(5)) and sorted(folder.iterdir()) == before


# ---- settings


def test_settings_survive_the_folder(tmp_path):
    config = Config(steps=9, hidden=(3,))
    storage.save_config(tmp_path, "counting", "fast", config)
    saved = storage.read_config(tmp_path, "--resume")
    assert (saved.experiment, saved.recipe, saved.unchanged) == ("counting", "fast", True)
    assert saved.config == asdict(config) | {"hidden": [3]}
    assert storage.load_config(tmp_path, "--resume", Config) == config


def edited(folder, **changes):
    """config.json with changes by hand."""
    storage.save_config(folder, "counting", "fast", Config())
    saved = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        part = saved["config"] if name in saved["config"] or name == "colour" else saved
        part[name] = value
    (folder / "config.json").write_text(json.dumps({k: v for k, v in saved.items() if v is not ...}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": -5}, "--steps -5: expected at least 1"),
        ({"steps": "six"}, 'steps is "six", expected a whole number'),
        ({"steps": 6.5}, "steps is 6.5, expected a whole number"),
        ({"steps": True}, "steps is true"),
        ({"steps": None}, "steps is null"),
        ({"rate": "fast"}, 'rate is "fast", expected a number'),
        ({"hidden": 8}, "hidden is 8, expected a list of whole numbers"),
        ({"hidden": [8, "x"]}, "hidden is"),
        ({"hidden": [[8]]}, "hidden is"),
        ({"name": 3}, "name is 3, expected a text or null"),
        ({"skip": 1}, "skip is 1, expected true or false"),
        ({"colour": "red"}, "colour is no setting"),
        ({"steps": 7}, "changed after it was written"),
        ({"recipe": "slow"}, "changed after it was written"),
        ({"config": []}, "config is [], expected the settings"),
        ({"experiment": 3}, "experiment is 3"),
        ({"recipe": None}, "recipe is None"),
        ({"format": 3}, "format 3, expected 2; another version of this project wrote it"),
        ({"format": ...}, "format None, expected 2"),
        ({"checksum": "0"}, "changed after it was written"),
    ],
)
def test_settings_edited_by_hand_are_one_line(changes, words, tmp_path):
    edited(tmp_path, **changes)
    with pytest.raises(BadInput) as error:
        storage.load_config(tmp_path, "--resume", Config)
    assert words in str(error.value) and str(error.value).startswith(f"--resume {tmp_path}: config.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"3", b'{"experiment": "x"}', b"\xff\xfe{", b"\0" * 100, b"[" * 100_000, b'{"a": NaN}'],
)
def test_config_that_cannot_be_read_is_one_line(content, tmp_path):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(BadInput, match="RUN .*config.json cannot be used"):
        storage.load_config(tmp_path, "RUN", Config)


def test_missing_setting_is_named(tmp_path):
    storage.save_config(tmp_path, "counting", "fast", Config())
    saved, _ = files.read_checked_json(tmp_path / "config.json")
    del saved["config"]["rate"]
    files.write_checked_json(tmp_path / "config.json", saved)
    with pytest.raises(BadInput, match="rate is missing; if another version of this project made the run, use that"):
        storage.load_config(tmp_path, "--resume", Config)


def test_missing_config_is_read_from_the_newest_checkpoint(tmp_path):
    storage.save_config(tmp_path, "counting", "fast", Config(steps=8))
    kept, _ = files.read_checked_json(tmp_path / "config.json")
    storage.Checkpoints(tmp_path).save(4, {}, {"config": kept})
    (tmp_path / "config.json").unlink()
    assert storage.load_config(tmp_path, "--resume", Config).steps == 8
    (tmp_path / "checkpoint" / "ckpt-4.npz").unlink()
    with pytest.raises(BadInput, match="no run here"):
        storage.load_config(tmp_path, "--resume", Config)


def test_other_versions_and_commits_are_named_and_noted(tmp_path, monkeypatch):
    storage.save_config(tmp_path, "counting", "fast", Config())
    before = storage.read_config(tmp_path, "--resume")
    assert storage.changes_since(before) == []
    now = {"versions": before.everything["versions"] | {"tensorflow": "9.9"}, "commit": "abc"}
    monkeypatch.setattr(storage, "provenance", lambda: now)
    changes = storage.changes_since(before)
    assert any(words.startswith("tensorflow is 9.9, and was ") for words in changes) and len(changes) == 2
    storage.save_config(tmp_path, "counting", "fast", replace(Config(), steps=9), before)
    saved = storage.read_config(tmp_path, "--resume")
    assert saved.everything["versions"] == before.everything["versions"]  # under which it began
    assert saved.everything["resumed"] == [{"step": 0} | now] and storage.changes_since(saved) == []


# ---- the folder and its lock


def test_new_folder_is_empty_and_never_another_runs(tmp_path):
    folder = storage.folder_for("x", 3, str(tmp_path / "a" / "b"))
    assert storage.create(folder) == [folder, folder.parent] and folder.is_dir()
    assert storage.create(storage.folder_for("x", 3, str(folder))) == []  # it is still empty
    (folder / "notes").touch()
    with pytest.raises(BadInput, match="not empty"):
        storage.folder_for("x", 3, str(folder))
    with pytest.raises(BadInput, match="notes"):
        storage.create(folder / "notes")
    (folder / "config.json").touch()
    with pytest.raises(BadInput, match="already holds a run"):
        storage.folder_for("x", 3, str(folder))
    with pytest.raises(BadInput, match="--out ''"):
        storage.folder_for("x", 3, "")


def test_runs_that_start_in_the_same_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = storage.folder_for("normal_1d", 3)
    monkeypatch.setattr(storage, "folder_for", lambda *_: first)
    folders = [storage.new_folder("normal_1d", 3)[0] for _ in range(3)]
    assert [folder.name.removeprefix(first.name) for folder in folders] == ["", "-2", "-3"]


def test_default_folder_names_experiment_time_and_seed():
    folder = storage.folder_for("normal_1d", 3, None)
    assert folder.parts[:2] == ("runs", "normal_1d") and folder.name.endswith("-seed3")


def _write_too(folder, pipe):
    try:
        with storage.only_writer(folder, "--resume"):
            pipe.send("written")
    except BadInput as error:
        pipe.send(str(error))


def second_writer(folder):
    """What another process is told that wants to write."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_write_too, args=(folder, theirs))
    process.start()
    process.join()
    return ours.recv()


def test_a_folder_has_one_writer(tmp_path):
    with storage.only_writer(tmp_path, "--out"):
        said = second_writer(tmp_path)
        assert f"--resume {tmp_path}: in use by process {os.getpid()} on {socket.gethostname()}" == said
    assert second_writer(tmp_path) == "written" and not list(tmp_path.iterdir())


def test_the_lock_of_a_dead_process_is_no_lock(tmp_path):
    (tmp_path / "writer.lock").write_text("process 1 on another machine")  # left by a kill: nobody holds it
    with storage.only_writer(tmp_path, "--resume"):
        assert str(os.getpid()) in (tmp_path / "writer.lock").read_text()
    assert storage.folder_for("x", 0, str(tmp_path)) == tmp_path


def test_folder_that_is_not_there_cannot_be_written(tmp_path):
    with pytest.raises(BadInput, match="no such folder"), storage.only_writer(tmp_path / "no", "--resume"):
        pass
    assert not list(tmp_path.iterdir())


# ---- snapshots and results


def test_damaged_snapshot_is_left_out_said_and_set_aside(tmp_path, capsys):
    (tmp_path / "snapshots").mkdir()
    for step in (0, 10, 20, 30):
        np.savez(tmp_path / "snapshots" / f"{step:08d}.npz", a=np.full(3, step))
    bad = tmp_path / "snapshots" / "00000010.npz"
    bad.write_bytes(bad.read_bytes()[:50])
    assert list(storage.read_snapshots(tmp_path, 20, keep_damaged=True)) == [0, 20] and bad.exists()
    found = storage.read_snapshots(tmp_path, 20)
    assert list(found) == [0, 20] and found[20]["a"].tolist() == [20] * 3
    assert "00000010.npz is damaged" in capsys.readouterr().out and not bad.exists()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"steps": "x"}', '{"steps": 3, "kl": NaN}'])
def test_result_that_cannot_be_used(content, tmp_path):
    assert storage.read_result(tmp_path) is None
    (tmp_path / "result.json").write_text(content)
    with pytest.raises(ValueError):
        storage.read_result(tmp_path)
