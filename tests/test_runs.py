"""A run and its folder: periods, records, checkpoints, interruptions, files that are written whole or not at all."""

import json
import os
import signal
import threading
from dataclasses import asdict, dataclass

import numpy as np
import pytest

from gan_core import tf
from lab import runs


@dataclass(frozen=True)
class Config:
    steps: int = 6
    eval_every: int = 2
    checkpoint_every: int = 2
    seed: int = 5


class Counter:
    """A 'game' of one NumPy array, and a loop that adds the numbers of its batches to it."""

    jit_compile = False

    def __init__(self, bad=None):
        self.state, self.bad, self.traced = {"total": [np.zeros(1)]}, bad, 0

    def get_concrete_function(self, game, batch):
        self.traced += 1

    def __call__(self, game, batch):
        losses = np.stack([batch["x"], 10 * batch["x"]], axis=1).astype(float)  # [n, 2]
        if self.bad in batch["x"]:
            losses[list(batch["x"]).index(self.bad), 1] = np.nan
        game["total"][0] += batch["x"].sum()
        return tf.constant(losses)


def batches(periods):
    """The numbers of the steps, in calls of at most one step less than a period."""
    for period in periods:
        for chunk in period.chunks(1):
            yield {"x": np.arange(chunk.first, chunk.last)}


def train(counter, run, config=Config()):  # noqa: B008
    with run.training(counter.state, config, checkpoints=runs.ArrayCheckpoints) as periods:
        drawn = batches(periods)
        for period in periods:
            losses = run.play(counter, [counter.state], drawn, period)
            run.snapshot(period, total=counter.state["total"][0].copy())
            run.record(period, losses, "", per_seed=np.array([1.0, 2.0, np.nan]), plain=3)
    return counter.state["total"][0].item()


# ---- periods


def ends(periods):
    return [(period.first, period.last) for period in periods]


def test_chunks_end_with_the_period():
    assert ends(runs.Period(60, 120).chunks(50)) == [(60, 110), (110, 120)]
    assert list(runs.Period(3, 3).chunks(50)) == [] and runs.Period(60, 120).count == 60


def test_periods_start_with_the_untrained_state_and_can_be_walked_twice():
    new = runs.Periods(done=0, steps=130, every=60)
    assert ends(new) == ends(new) == [(0, 0), (0, 60), (60, 120), (120, 130)]
    assert ends(runs.Periods(done=60, steps=130, every=60)) == [(60, 120), (120, 130)]
    assert list(runs.Periods(done=130, steps=130, every=60)) == []


def test_a_run_of_very_many_steps_makes_no_list():
    periods = iter(runs.Periods(done=0, steps=10**15, every=10))
    assert [next(periods) for _ in range(3)][-1] == runs.Period(10, 20)


# ---- training


def test_records_hold_means_of_losses_and_summaries_over_seeds():
    counter, run = Counter(), runs.Run()
    assert train(counter, run) == 15  # 0 + 1 + ... + 5
    first, second, *_, last = run.records
    assert first["step"] == 0 and "generator_loss" not in first  # before training
    assert (second["step"], second["discriminator_loss"], second["generator_loss"]) == (2, 0.5, 5.0)
    assert last["step"] == 6 and last["discriminator_loss"] == 4.5
    assert last["per_seed"] == {"median": 1.5, "q10": 1.1, "q90": 1.9, "failed": 1} and last["plain"] == 3
    assert json.dumps(run.records) and list(run.snapshots) == [0, 2, 4, 6]
    assert counter.traced == 1 and run.train_seconds > 0


def test_games_train_side_by_side_and_their_seeds_are_joined():
    run, games, seen = runs.Run(), ["a", "b", "c"], []

    class Loop:
        jit_compile = False

        def get_concrete_function(self, game, batch):
            seen.append(f"traced {game}")

        def __call__(self, game, batch):
            return tf.fill([3, 2, 1], float(10 * games.index(game) + batch["x"]))

    with run.training({}, Config(steps=3, eval_every=3)) as periods:
        _, period = periods
        losses = run.play(Loop(), games, iter({"x": k} for k in range(3)), period)
    assert losses.shape == (3, 2, 3) and (losses[0, 0] == [0, 11, 22]).all()
    assert seen == ["traced a"]


def test_warm_up_of_an_xla_loop_leaves_the_game_alone():
    value = tf.Variable(0.0)

    @tf.function
    def loop(game, batch):
        game["value"].assign_add(1.0)
        return tf.zeros([2, 2])

    loop.jit_compile = True
    run = runs.Run()
    with run.training({}, Config()) as periods:
        _, period, *_ = periods
        run.play(loop, [{"value": value}], iter([{"x": tf.zeros(2)}]), period)
    assert value.numpy() == 1.0


def test_loss_that_is_not_finite_stops_with_step_name_and_seed(tmp_path):
    with pytest.raises(
        runs.Stopped, match=rf"step 4: generator_loss is nan \(seed 5\); .*step 2 is kept in {tmp_path}"
    ):
        train(Counter(bad=3), runs.Run(tmp_path))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["ckpt-2.npz"]
    run = runs.Run()
    run._config, run._logged = Config(), ("a", "b")
    losses = np.zeros((3, 2, 4))
    losses[1, 0, 2] = np.inf
    with pytest.raises(runs.Stopped, match=r"step 12: a is inf \(seed 7\)"):
        run.require_finite_losses(runs.Period(10, 13), losses)


def test_fake_that_is_not_finite_stops():
    with pytest.raises(runs.Stopped, match="step 13: the generator's output is not finite"):
        runs.Run().require_finite(runs.Period(10, 13), np.array([[0.0, np.nan]]))


# ---- interruptions


def interrupting(at, save):
    class Interrupted(runs.Run):
        def snapshot(self, period, **arrays):
            super().snapshot(period, **arrays)
            if period.last == at:
                os.kill(os.getpid(), signal.SIGINT)

    return Interrupted(save)


def test_interrupt_saves_and_says_how_to_resume(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    config = Config(checkpoint_every=100)
    expected = f"interrupted at step 4 of 6, saved; continue with --resume {tmp_path}"
    with pytest.raises(runs.Stopped, match=expected) as stop:
        train(Counter(), interrupting(4, tmp_path), config)
    assert stop.value.code == 130 and signal.getsignal(signal.SIGINT) is before
    assert train(Counter(), runs.Run(tmp_path, resume=True), config) == 15


def test_interrupt_outside_the_main_thread_is_not_caught():
    thread = threading.Thread(target=train, args=(Counter(), runs.Run()))  # signal.signal would raise there
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


# ---- resuming and reopening


def append(folder, last_step, record):
    log = runs.Log(folder, last_step)
    log.write(record)
    log.close()


def test_resumed_run_goes_on_from_its_checkpoint_and_drops_later_records(tmp_path):
    train(Counter(), runs.Run(tmp_path), Config(steps=4))
    append(tmp_path, 4, {"step": 6, "train_seconds": 1.0})  # logged, then killed before it was saved
    resumed = runs.Run(tmp_path, resume=True)
    assert train(Counter(), resumed) == 15
    assert [r["step"] for r in runs.read_log(tmp_path)] == [0, 2, 4, 6] and "plain" in runs.read_log(tmp_path)[-1]
    assert {k: v["total"].item() for k, v in resumed.snapshots.items()} == {0: 0, 2: 1, 4: 6, 6: 15}


def test_run_that_never_saved_starts_again(tmp_path, capsys):
    append(tmp_path, 0, {"step": 0, "train_seconds": 0.0})
    assert train(Counter(), runs.Run(tmp_path, resume=True)) == 15
    assert [r["step"] for r in runs.read_log(tmp_path)] == [0, 2, 4, 6]


def test_reopened_run_restores_trains_nothing_and_writes_nothing(tmp_path, capsys):
    train(Counter(), runs.Run(tmp_path))
    capsys.readouterr()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    run = runs.Run(tmp_path, reopen=True)
    run.keep_data(name="other")
    assert train(Counter(), run) == 15
    assert [r["step"] for r in run.records] == list(run.snapshots) == [0, 2, 4, 6]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert capsys.readouterr().out == ""
    with pytest.raises(runs.BadInput, match="no checkpoint yet"):
        train(Counter(), runs.Run(tmp_path / "figures", reopen=True))


def test_what_is_known_of_the_data_is_kept(tmp_path):
    runs.Run(tmp_path).keep_data(name="digits", side=8)
    assert runs.Run(tmp_path).data == {"name": "digits", "side": 8}


# ---- checkpoints


class State:
    """Variables or arrays with their kind of checkpoints."""

    def __init__(self, kind):
        self.kind = kind
        self.values = [tf.Variable([0.0, 0.0]), tf.Variable(0, dtype=tf.int64)]
        if kind is runs.ArrayCheckpoints:
            self.values = [value.numpy() for value in self.values[:1]] + [np.zeros(1, np.int64)]

    def set(self, number):
        for value in self.values:
            if isinstance(value, np.ndarray):
                value[...] = number
            else:
                value.assign(tf.fill(value.shape, tf.cast(number, value.dtype)))

    def checkpoints(self, folder):
        return self.kind(folder, {"game": self.values})


@pytest.fixture(params=[runs.Checkpoints, runs.ArrayCheckpoints])
def saved(request, tmp_path):
    """Checkpoints of steps 10, 20, 30, 40, of which three are kept."""
    state = State(request.param)
    checkpoints = state.checkpoints(tmp_path)
    for step in (10, 20, 30, 40):
        state.set(step)
        checkpoints.save(step)
    state.set(0)
    return state, tmp_path


def files_of(folder, step):
    return sorted((folder / "checkpoint").glob(f"ckpt-{step}.*"))


def test_newest_checkpoint_is_restored_and_three_are_kept(saved):
    state, folder = saved
    assert state.checkpoints(folder).restore() == 40
    assert all((np.asarray(value) == 40).all() for value in state.values)
    assert not files_of(folder, 10) and all(files_of(folder, step) for step in (20, 30, 40))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damaged_checkpoint_falls_back_to_the_one_before(saved, capsys):
    state, folder = saved
    for path in files_of(folder, 40):
        flip_a_bit(path)
    assert state.checkpoints(folder).restore() == 30
    assert "ckpt-40 is damaged" in capsys.readouterr().out
    assert all((np.asarray(value) == 30).all() for value in state.values)


def test_every_checkpoint_damaged_is_bad_input(saved):
    state, folder = saved
    for path in (folder / "checkpoint").glob("ckpt-*"):
        path.write_bytes(b"\0" * 100)
    with pytest.raises(runs.BadInput, match="no checkpoint that can be read"):
        state.checkpoints(folder).restore()


def test_leftovers_of_torn_writes_are_removed(saved):
    state, folder = saved
    (folder / "checkpoint" / "ckpt-50_temp").mkdir()
    (folder / "checkpoint" / "checkpoint.tmp123").touch()
    state.checkpoints(folder).sweep()
    assert not list((folder / "checkpoint").glob("*temp")) and not list((folder / "checkpoint").glob("*tmp*"))


# ---- files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a" / "x.json"
    runs.write_json(path, {"a": 1})
    with pytest.raises(ValueError), runs.replacing(path) as temporary:
        temporary.write_text("half")
        raise ValueError
    assert json.loads(path.read_text()) == {"a": 1} and [p.name for p in path.parent.iterdir()] == ["x.json"]


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError):
        runs.write_json(tmp_path / "x.json", {"a": np.nan})
    assert not list(tmp_path.iterdir())


def test_torn_last_line_of_the_log_is_dropped(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3, "k')
    assert [r["step"] for r in runs.read_log(tmp_path)] == [1, 2]
    log = runs.Log(tmp_path, last_step=1)
    log.write({"step": 9})
    log.close()
    assert (tmp_path / "log.jsonl").read_text() == '{"step": 1}\n{"step": 9}\n'


def test_settings_survive_the_folder(tmp_path):
    config = Config(steps=9)
    runs.save_config(tmp_path, "counting", "fast", config)
    saved = runs.read_config(tmp_path, "--resume")
    assert (saved["experiment"], saved["recipe"], saved["config"]) == ("counting", "fast", asdict(config))
    assert runs.load_config(tmp_path, "--resume", Config) == config
    assert runs.Run(tmp_path).about == {"experiment": "counting", "recipe": "fast"}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"experiment": "x"}', '{"experiment": 1, "recipe": 1, "config": 3}']
)
def test_config_that_cannot_be_used_is_bad_input(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(runs.BadInput, match="RUN .*config.json cannot be used"):
        runs.load_config(tmp_path, "RUN", Config)


def test_settings_of_another_version_are_bad_input(tmp_path):
    runs.save_config(tmp_path, "counting", "fast", Config())
    saved = json.loads((tmp_path / "config.json").read_text())
    saved["config"]["colour"] = "red"
    runs.write_json(tmp_path / "config.json", saved)
    with pytest.raises(runs.BadInput, match="colour"):
        runs.load_config(tmp_path, "--resume", Config)


def test_new_folder_is_empty_and_never_another_runs(tmp_path):
    folder = runs.folder_for("x", 3, str(tmp_path / "a" / "b"))
    assert runs.create(folder) == [folder, folder.parent] and folder.is_dir()
    assert runs.create(runs.folder_for("x", 3, str(folder))) == []  # it is still empty
    (folder / "notes").touch()
    with pytest.raises(runs.BadInput, match="not empty"):
        runs.folder_for("x", 3, str(folder))
    with pytest.raises(runs.BadInput, match="notes"):
        runs.create(folder / "notes")
    (folder / "config.json").touch()
    with pytest.raises(runs.BadInput, match="already holds a run"):
        runs.folder_for("x", 3, str(folder))


def test_default_folder_names_experiment_time_and_seed():
    folder = runs.folder_for("normal_1d", 3, None)
    assert folder.parts[:2] == ("runs", "normal_1d") and folder.name.endswith("-seed3")


def test_result_holds_the_times(tmp_path):
    run = runs.Run(tmp_path)
    with run.timed():
        sum(range(1000))
    result = run.finish({"steps": 10, "seeds": 3, "kl": 1.0})
    assert {"train_seconds", "wall_seconds", "cpu_seconds", "seed_steps_per_second"} <= set(result)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["seed_steps_per_second"] == round(30 / run.train_seconds)


def test_parameters_are_counted():
    assert runs.count_parameters(a=[np.zeros((2, 3)), np.zeros(3)], b=[np.zeros(())]) == {"a": 9, "b": 1}


def test_the_last_step_is_saved_even_if_no_checkpoint_is_due(tmp_path):
    train(Counter(), runs.Run(tmp_path), Config(checkpoint_every=100))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["ckpt-6.npz"]
