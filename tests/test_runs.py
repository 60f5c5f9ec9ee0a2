"""A run: its periods, what it records, how it stops, and how it goes on."""

import json
import os
import signal
import threading
import time
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import without_times

import gan_core as core
from gan_core import tf
from lab import files, runs, signals, storage


@dataclass(frozen=True)
class Config:
    steps: int = 6
    eval_every: int = 2
    checkpoint_every: int = 2
    seed: int = 5


class Counter:
    """A 'game' of one NumPy array, and a loop that adds the numbers of its batches to it."""

    jit_compile, keep_every = False, None

    def __init__(self, bad=None):
        self.state, self.bad, self.traced = {"total": [np.zeros(1)]}, bad, 0

    def get_concrete_function(self, game, batch, count):
        self.traced += 1

    def __call__(self, game, batch, count):
        x = batch["x"][: int(count)]
        losses = np.stack([x, 10 * x], axis=1).astype(float)  # [n, 2]
        if self.bad in x:
            losses[list(x).index(self.bad), 1] = np.nan
        game["total"][0] += x.sum()
        return tf.constant(losses)


class Keeper(Counter):
    """The same, and it keeps the total at the end of each period of 2 steps, as `gan_core.compiled_periods` does."""

    keep_every = 2

    def __call__(self, game, batch, count):
        totals = game["total"][0] + np.cumsum(batch["x"][: int(count)])
        ends = [k for k, step in enumerate(batch["x"][: int(count)]) if step % 2 == 1 or k == int(count) - 1]
        return super().__call__(game, batch, count), [tf.constant(totals[ends])]


def batches(periods):
    """The numbers of the steps, in calls of at most one step less than a period."""
    for period in periods:
        for chunk in period.chunks(1):
            yield {"x": np.arange(chunk.first, chunk.last)}


def train(counter, run, config=Config()):  # noqa: B008
    with run.training(counter.state, config) as periods:
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


@pytest.mark.parametrize(
    ("done", "unrecorded", "expected"),
    [
        (70, True, [(70, 120), (120, 130)]),  # in the middle of a period
        (120, True, [(120, 120), (120, 130)]),  # between the last step of a period and its record
        (130, True, [(130, 130)]),
        (130, False, []),
    ],
)
def test_periods_after_an_interruption_end_where_they_would_have_ended(done, unrecorded, expected):
    assert ends(runs.Periods(done, steps=130, every=60, unrecorded=unrecorded)) == expected


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
        jit_compile, keep_every = False, None

        def get_concrete_function(self, game, batch, count):
            seen.append(f"traced {game}")

        def __call__(self, game, batch, count):
            return tf.fill([3, 2, 1], float(10 * games.index(game) + batch["x"][0]))

    with run.training({}, Config(steps=3, eval_every=3)) as periods:
        _, period = periods
        losses = run.play(Loop(), games, iter({"x": np.full(3, k)} for k in range(3)), period)
    assert losses.shape == (3, 2, 3) and (losses[0, 0] == [0, 11, 22]).all()
    assert seen == ["traced a"]


def test_warm_up_of_an_xla_loop_leaves_the_game_alone():
    game = core.new_game([tf.Variable([0.0])], [tf.Variable([0.0])])
    loop = core.compiled_loop(lambda game, batch: (batch["x"], tf.cast(game.step.assign_add(1), tf.float32)))
    core.warm_up(loop, game, {"x": np.zeros(2, np.float32)})
    assert game.step.numpy() == 0
    run = runs.Run()
    with run.training({}, Config()) as periods:
        _, period, *_ = periods
        run.play(loop, [game], iter([{"x": tf.zeros(2)}]), period)
    assert game.step.numpy() == 2


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
    run.step, run._progress = 10, runs._Progress(13, 10, quiet=True)
    with pytest.raises(runs.Stopped, match=r"step 12: a is inf \(seed 7\)"):
        run.collect(runs.Period(10, 13), [losses])


def test_fake_that_is_not_finite_stops():
    with pytest.raises(runs.Stopped, match="step 13: the generator's output is not finite"):
        runs.Run().require_finite(runs.Period(10, 13), np.array([[0.0, np.nan]]))


# ---- interruptions


class Slow(Counter):
    """Its loop gets a signal while it trains the steps in `at`."""

    def __init__(self, at, signum):
        super().__init__()
        self.at, self.signum = at, signum

    def __call__(self, game, batch, count):
        if batch["x"][0] == self.at:
            os.kill(os.getpid(), self.signum)
        return super().__call__(game, batch, count)


class Evaluating(runs.Run):
    """A run that gets SIGTERM while it evaluates step 4."""

    def snapshot(self, period, **arrays):
        if period.last == 4 and self.records[-1]["step"] != 4:
            os.kill(os.getpid(), signal.SIGTERM)
        super().snapshot(period, **arrays)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("at", range(6))
def test_signal_while_training_saves_after_the_step_and_the_resumed_run_is_the_same(signum, at, tmp_path):
    (tmp_path / "whole").mkdir()
    whole = runs.Run(tmp_path / "whole")
    train(Counter(), whole, Config(steps=6, eval_every=3))
    before = signal.getsignal(signum)
    name = {signal.SIGINT: "interrupted"}.get(signum, signal.Signals(signum).name)
    expected = f"{name} at step {at + 1} of 6, saved; continue with --resume {tmp_path}"
    config = Config(eval_every=3, checkpoint_every=100)
    with pytest.raises(runs.Stopped, match=expected) as stop:
        train(Slow(at, signum), runs.Run(tmp_path), config)
    assert stop.value.code == 128 + signum and signal.getsignal(signum) is before
    resumed = runs.Run(tmp_path, resume=True)
    assert train(Counter(), resumed, config) == 15
    assert without_times(resumed.records) == without_times(whole.records)  # means over whole periods, too
    assert without_times(storage.read_log(tmp_path)) == without_times(whole.records)


def test_signal_while_evaluating_stops_at_once_and_the_record_is_made_after_resuming(tmp_path):
    whole = runs.Run()
    train(Counter(), whole)
    config = Config(checkpoint_every=100)
    with pytest.raises(runs.Stopped, match="SIGTERM at step 4 of 6, saved") as stop:
        train(Counter(), Evaluating(tmp_path), config)
    assert stop.value.code == 143
    assert [r["step"] for r in storage.read_log(tmp_path)] == [0, 2]  # its record was not written yet
    resumed = runs.Run(tmp_path, resume=True)
    assert train(Counter(), resumed, config) == 15
    assert without_times(resumed.records) == without_times(whole.records)


def test_checkpoints_are_saved_within_a_period_too_and_the_resumed_run_is_the_same(tmp_path):
    """`--eval-every 6 --checkpoint-every 2`, and a kill in step 5."""
    config, whole = Config(eval_every=6, checkpoint_every=2), runs.Run()
    train(Counter(), whole, config)
    with pytest.raises(runs.Stopped, match="the checkpoint of step 4 is kept"):
        train(Counter(bad=4), runs.Run(tmp_path), config)
    resumed = runs.Run(tmp_path, resume=True)
    assert train(Counter(), resumed, config) == 15
    assert without_times(resumed.records) == without_times(whole.records)


def test_an_interruption_before_the_first_step_claims_no_checkpoint(tmp_path):
    run = runs.Run(tmp_path)
    expected = pytest.raises(runs.Stopped, match="interrupted at step 0 of 6, nothing is lost")
    with expected, run.training(Counter().state, Config()):
        raise signals.Interrupted(signal.SIGINT)


def test_interrupt_outside_the_main_thread_is_not_caught():
    thread = threading.Thread(target=train, args=(Counter(), runs.Run()))  # signal.signal would raise there
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


# ---- several periods in one call


def train_together(counter, run, config, together=3):
    """As `train`, but one call plays up to three periods; returns what was kept at the end of each."""
    kept = []
    with run.training(counter.state, config, together=together) as periods:
        drawn = ({"x": np.arange(call.first, call.last)} for call in periods.joined())
        for period in periods:
            losses = run.play(counter, [counter.state], drawn, period)
            average = run.average(period)
            kept.append(counter.state["total"][0].item() if average is None else average[0][0].item())
            run.record(period, losses, "", per_seed=np.array([1.0, 2.0, np.nan]), plain=3)
    return kept


@pytest.mark.parametrize(
    ("done", "checkpoint_every", "expected"),
    [
        (0, 100, [(0, 6), (6, 12), (12, 13)]),
        (0, 4, [(0, 4), (4, 8), (8, 12), (12, 13)]),  # a call ends wherever a checkpoint is due
        (0, 3, [(0, 4), (4, 6), (6, 10), (10, 12), (12, 13)]),
        (3, 100, [(3, 8), (8, 13)]),
        (13, 100, []),
    ],
)
def test_joined_periods_end_with_a_period_and_where_a_checkpoint_is_due(done, checkpoint_every, expected):
    periods = runs.Periods(done, 13, 2, checkpoint_every=checkpoint_every, together=3)
    assert ends(periods.joined()) == expected


def test_periods_of_one_call_are_recorded_as_if_each_had_been_a_call(tmp_path):
    whole, config = runs.Run(), Config(steps=11, checkpoint_every=4)
    (tmp_path / "a").mkdir()
    train(Counter(), whole, config)
    run, counter = runs.Run(tmp_path / "a"), Keeper()
    assert train_together(counter, run, config) == [0, 1, 6, 15, 28, 45, 55]  # 0 + 1, ... + 2 + 3, and so on
    assert without_times(run.records) == without_times(whole.records)
    steps = sorted(int(path.stem.split("-")[1]) for path in (tmp_path / "a" / "checkpoint").iterdir())
    assert steps == [4, 8, 11]


@pytest.mark.parametrize("at", [0, 4, 8])
def test_signal_in_a_call_of_several_periods_waits_until_all_of_them_are_recorded(at, tmp_path):
    class Interrupted(Slow, Keeper):
        pass

    whole, config = runs.Run(), Config(steps=11, checkpoint_every=4)
    train_together(Keeper(), whole, config)
    end = min(at + 4, 11)
    with pytest.raises(runs.Stopped, match=f"SIGTERM at step {end} of 11, saved"):
        train_together(Interrupted(at, signal.SIGTERM), runs.Run(tmp_path), config)
    assert [r["step"] for r in storage.read_log(tmp_path)] == [r["step"] for r in whole.records if r["step"] <= end]
    resumed = runs.Run(tmp_path, resume=True)
    train_together(Keeper(), resumed, config)
    assert without_times(resumed.records) == without_times(whole.records)


def test_averages_of_steps_within_a_period_are_discarded():
    """A call that ends within a period keeps an average there, too; over a long run they would fill the memory."""
    run, counter = runs.Run(), Keeper()
    with run.training(counter.state, Config(steps=12, checkpoint_every=100), together=3) as periods:
        drawn = ({"x": np.arange(part.first, part.last)} for call in periods.joined() for part in call.chunks(5))
        for period in periods:
            run.record(period, run.play(counter, [counter.state], drawn, period), "")
            assert all(step > period.last for step in run._averages)
    assert not run._averages


def test_each_loss_is_checked_once_however_many_calls_a_period_takes(monkeypatch):
    checked = []
    monkeypatch.setattr(runs.Run, "_require_finite_losses", lambda run, losses, first: checked.append(len(losses)))
    train(Counter(), runs.Run(), Config(steps=60, eval_every=60, checkpoint_every=60))  # a call for each step
    assert sum(checked) == 60


def test_periods_before_a_loss_that_is_not_finite_are_recorded():
    run = runs.Run()
    with pytest.raises(runs.Stopped, match="step 4: generator_loss is nan"):
        train_together(Keeper(bad=3), run, Config(steps=11, checkpoint_every=100))
    assert [r["step"] for r in run.records] == [0, 2]


# ---- resuming and reopening


def append(folder, last_step, record):
    log = storage.Log(folder, last_step)
    log.write(record)
    log.close()


def test_resumed_run_goes_on_from_its_checkpoint_and_drops_later_records(tmp_path):
    train(Counter(), runs.Run(tmp_path), Config(steps=4))
    append(tmp_path, 4, {"step": 6, "train_seconds": 1.0})  # logged, then killed before it was saved
    resumed = runs.Run(tmp_path, resume=True)
    assert train(Counter(), resumed) == 15
    assert [r["step"] for r in storage.read_log(tmp_path)] == [0, 2, 4, 6] and "plain" in storage.read_log(tmp_path)[
        -1
    ]
    assert {k: v["total"].item() for k, v in resumed.snapshots.items()} == {0: 0, 2: 1, 4: 6, 6: 15}


def test_run_that_never_saved_starts_again(tmp_path, capsys):
    append(tmp_path, 0, {"step": 0, "train_seconds": 0.0})
    assert train(Counter(), runs.Run(tmp_path, resume=True)) == 15
    assert [r["step"] for r in storage.read_log(tmp_path)] == [0, 2, 4, 6]


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
    with pytest.raises(files.BadInput, match="no checkpoint yet"):
        train(Counter(), runs.Run(tmp_path / "figures", reopen=True))


def test_reopened_run_that_was_stopped_in_the_middle_of_a_period_writes_nothing(tmp_path):
    """Steps 2 to 4 are one period; the checkpoint is of step 3, and the loss of step 3 is in no record yet."""
    with pytest.raises(runs.Stopped):
        train(Slow(2, signal.SIGTERM), runs.Run(tmp_path))
    assert storage.steps(tmp_path)[-1] == 3
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    run = runs.Run(tmp_path, reopen=True)
    assert train(Counter(), run) == 0 + 1 + 2 and run.step == 3
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert [*run.snapshots] == [0, 2]
    assert train(Counter(), runs.Run(tmp_path, resume=True)) == 15
    assert sorted(path.name for path in (tmp_path / "snapshots").iterdir())[-2:] == ["00000004.npz", "00000006.npz"]


def test_what_is_known_of_the_data_is_kept(tmp_path):
    run = runs.Run(tmp_path)
    run.keep_data(name="digits", side=8)
    assert json.loads((tmp_path / "data.json").read_text()) == {"name": "digits", "side": 8}
    train(Counter(), run)
    (tmp_path / "data.json").write_text("garbage")
    assert runs.Run(tmp_path, reopen=True).data == {"name": "digits", "side": 8}  # the checkpoints keep it, too


def test_a_run_does_not_go_on_with_other_data(tmp_path):
    counter, run = Counter(), runs.Run(tmp_path)
    run.keep_data(name="digits", fingerprint="abc")
    train(counter, run, Config(steps=2))
    runs.Run(tmp_path, resume=True).keep_data(name="digits", fingerprint="abc")
    with pytest.raises(files.BadInput, match="trained on other data so far, with the fingerprint abc, and not abd"):
        runs.Run(tmp_path, resume=True).keep_data(name="digits", fingerprint="abd")


# ---- the result


def test_result_holds_the_times(tmp_path):
    run = runs.Run(tmp_path)
    with run.timed():
        sum(range(1000))
    result = run.finish({"steps": 10, "seeds": 3, "kl": 1.0})
    assert {"train_seconds", "wall_seconds", "cpu_seconds", "seed_steps_per_second"} <= set(result)
    assert json.loads((tmp_path / "result.json").read_text()) == result
    assert result["seed_steps_per_second"] == round(30 / run.train_seconds)


def test_times_of_a_resumed_run_add_up(tmp_path, monkeypatch):
    spent = iter([10.0, 5.0, 12.0])  # at the checkpoint of the first process, at that of the second one, at its end
    monkeypatch.setattr(runs, "seconds_spent", lambda: np.array([1, 0.5]) * next(spent))
    train(Counter(), runs.Run(tmp_path), Config(steps=2))
    resumed = runs.Run(tmp_path, resume=True)
    train(Counter(), resumed, Config(steps=4))
    times = resumed.finish({"steps": 4})
    assert (times["wall_seconds"], times["cpu_seconds"]) == (22.0, 11.0)


def test_train_seconds_are_those_in_the_loop_alone_and_of_both_parts_of_a_resumed_run(tmp_path, monkeypatch):
    """A step takes a second; compiling and evaluating take 100 each, and do not count."""
    clock = [0.0]

    class Timed(Counter):
        def get_concrete_function(self, game, batch, count):
            clock[0] += 100

        def __call__(self, game, batch, count):
            clock[0] += int(count)
            return super().__call__(game, batch, count)

    class Evaluated(runs.Run):
        def snapshot(self, period, **arrays):
            clock[0] += 100

    monkeypatch.setattr(
        runs, "time", SimpleNamespace(perf_counter=lambda: clock[0], time=time.time, process_time=time.process_time)
    )
    train(Timed(), Evaluated(tmp_path), Config(steps=2))
    resumed = Evaluated(tmp_path, resume=True)
    train(Timed(), resumed, Config(steps=6))
    assert [record["train_seconds"] for record in resumed.records] == [0, 2, 4, 6] and clock[0] > 600
    assert resumed.finish({"steps": 6})["train_seconds"] == 6


def test_parameters_are_counted():
    assert runs.count_parameters(a=[np.zeros((2, 3)), np.zeros(3)], b=[np.zeros(())]) == {"a": 9, "b": 1}


def test_the_last_step_is_saved_even_if_no_checkpoint_is_due(tmp_path):
    train(Counter(), runs.Run(tmp_path), Config(checkpoint_every=100))
    assert [path.name for path in (tmp_path / "checkpoint").iterdir()] == ["ckpt-6.npz"]
