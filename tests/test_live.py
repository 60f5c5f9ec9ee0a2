"""The live page without a browser: what may be changed, what a command does, what is refused, what is saved."""

import contextlib
import json
import queue
import struct
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import one_line

import gan_core as core
from experiments import live, mixture_2d, normal_1d
from lab import points, storage
from lab.files import BadInput
from lab.live import controls, curves, engine, scenes, server
from lab.runs import Period

SMALL = {"generator_hidden": (8,), "discriminator_hidden": (8,), "samples": 200, "eval_samples": 200, "batch": 32}


def source_and_config(folder, target="norm", recipe="classic", **settings):
    source, config = controls.new_source(target, recipe, 2, 0, None, folder)
    return source, replace(config, **(SMALL | settings))


def parts(frame):
    """Header and arrays of a frame."""
    (n,) = struct.unpack("<I", frame[:4])
    header, body = json.loads(frame[4 : 4 + n]), np.frombuffer(frame[4 + n :], "<f4")
    return header, {
        k: body[at : at + int(np.prod(shape))].reshape(shape) for k, (shape, at) in header["arrays"].items()
    }


class Player:
    """An engine, and what it has sent."""

    def __init__(self, folder, **settings):
        self.sent = queue.Queue()
        self.engine = engine.Engine(*source_and_config(folder, **settings), self.sent.put)
        self.messages = []
        self.engine.start()

    def do(self, **command):
        self.engine.commands.put(command)

    def frame(self):
        """Header and arrays of the next frame."""
        self.do(do="frame")
        while not isinstance(message := self.sent.get(timeout=60), bytes):
            self.messages.append(message)
        return parts(message)

    def until(self, good):
        """The first frame whose header is good."""
        end = time.monotonic() + 60
        while not good((found := self.frame())[0]):
            assert time.monotonic() < end, f"no such frame within 60 s; the last one: {found[0]}"
        return found

    def ready(self):
        """The first frame with nothing left to compile."""
        return self.until(lambda header: not header["busy"])

    def after(self, **command):
        """The first frame after a command."""
        self.do(**command)
        return self.frame()


@pytest.fixture(scope="module")
def player(tmp_path_factory):
    playing = Player(tmp_path_factory.mktemp("points"))
    playing.ready()
    yield playing
    playing.engine.stop()
    playing.engine.join(30)
    assert not playing.engine.is_alive()


def test_a_frame_holds_everything_that_the_page_shows(player):
    header, arrays = player.after(do="reset")
    assert header["kind"] == "line" and header["step"] == 0 and not header["playing"]
    assert arrays["p"].shape == arrays["q"].shape == arrays["logits"].shape == (300,)
    assert arrays["thumbs"].shape == (2, 100) and arrays["measures"].shape == (1, 4, 4)
    assert np.trapezoid(arrays["p"], arrays["x"]) == pytest.approx(1, abs=0.01)
    assert [m["name"] for m in header["measures"]][:2] == ["kl", "lost_mass"]
    assert header["measures"][0]["floor"] > 0


def test_steps_and_turns_of_one_player(player):
    player.after(do="reset")
    assert player.after(do="step")[0]["turns"] == [1, 1]
    assert player.after(do="step", players="D")[0]["turns"] == [2, 1]
    assert player.after(do="step", players="G")[0]["turns"] == [2, 2]
    header, arrays = player.frame()
    assert header["step"] == 2 and arrays["curve_steps"].tolist() == [1, 2]
    assert arrays["measure_steps"].tolist() == [0, 1, 2]


def test_after_a_turn_that_catches_up_the_numbers_of_the_step_are_those_of_now(player):
    player.after(do="reset")
    player.after(do="step", players="D")
    _, before = player.frame()
    player.after(do="step", players="G")
    _, after = player.frame()
    assert before["measure_steps"].tolist() == after["measure_steps"].tolist() == [0, 1]
    assert (before["thumbs"] != after["thumbs"]).any()
    assert (before["measures"][1] != after["measures"][1]).any()


def test_a_seed_that_diverges_pauses_the_game_and_the_page_says_it(tmp_path):
    player = Player(tmp_path)
    player.ready()
    playing = player.engine._built.game
    weight = playing.gans.games[0].generator.weights[0]
    weight.assign(np.where(np.arange(2)[:, None, None] == 1, np.nan, weight.numpy()))  # of the second seed
    player.do(do="play", value=True)
    header, _ = player.until(lambda header: header["notice"])
    assert "a loss of seed 1 is not finite" in header["notice"] and not header["playing"]
    player.do(do="play", value=True)  # the others play on
    player.until(lambda later: later["step"] > header["step"] + 5)
    player.do(do="play", value=False)
    assert player.until(lambda later: not later["playing"])[0]["notice"] == ""
    _, arrays = player.frame()
    assert np.isfinite(arrays["optimal"]).any() and np.isfinite(arrays["measures"][-1, 0, 3])  # of the first seed
    assert np.isfinite(arrays["thumbs"][0]).all() and np.isnan(arrays["thumbs"][1]).all()
    header, arrays = player.after(do="seed", value=1)
    assert header["notice"] == "Seed 1 has diverged: the pictures are the last ones that could be drawn."
    assert header["seed"] == 1 and np.isfinite(arrays["q"]).all()
    assert "optimal" not in arrays and np.isnan(arrays["measures"][-1, 0, 3])
    assert not player.engine.notice  # it is said as long as it is true
    player.do(do="reset")
    assert player.until(lambda header: header["step"] == 0)[0]["notice"] == ""
    player.engine.stop()
    player.engine.join(30)


def test_what_was_said_of_the_old_game_is_not_said_of_the_new_one(tmp_path):
    playing = engine.Engine(*source_and_config(tmp_path), lambda message: None)
    playing._begin = lambda built: None
    new = engine.Built(None, None, "a new game", None, None, None, True)
    for before, kept in ((None, "a refusal"), (new._replace(game="an old game"), "")):
        playing._built, playing.notice = before, "a refusal"
        playing._take_over(0, new, None)
        assert playing.notice == kept  # a refusal that came while the first game was loaded


def test_flags_in_a_message_are_controls_on_the_page(tmp_path):
    playing = engine.Engine(*source_and_config(tmp_path), lambda message: None)
    playing._guarded(lambda: playing._change({"unroll": 2, "loss": "hinge"}))
    assert playing.notice.startswith("unroll 2: not with loss hinge; expected ")


def test_the_program_of_the_pictures_is_another_one_only_where_it_has_to_be(tmp_path):
    source, config = source_and_config(tmp_path)
    playing = engine.Engine(source, config, lambda message: None)
    look = playing._look(source.script, config)
    for same in ({"batch": 16}, {"unroll": 1}, {"r1": 1.0}, {"schedule": "cosine"}, {"learning_rate": 1.0}):
        assert playing._look(source.script, replace(config, **same)) is look
    others = {"loss": "hinge", "pack": 2, "latent": "normal", "generator_skip": not config.generator_skip}
    others |= {"generator_activation": "tanh", "discriminator_activation": "tanh"}
    for name, value in others.items():
        assert playing._look(source.script, replace(config, **{name: value})) is not look, name


def test_plays_and_pauses(player):
    player.after(do="reset")
    player.do(do="play", value=True)
    player.until(lambda header: header["step"] > 40)
    player.do(do="play", value=False)
    header, _ = player.until(lambda header: not header["playing"])
    assert player.frame()[0]["step"] == header["step"]


def test_a_rate_changes_without_a_word_and_is_kept_in_the_list_of_changes(player):
    player.after(do="reset")
    player.after(do="set", name="learning_rate", value=5e-4)
    player.after(do="step")
    header, _ = player.after(do="set", name="learning_rate", value=1e-3)
    assert header["settings"]["learning_rate"] == 1e-3 and header["busy"] == "" and header["changes"] == 1
    assert player.engine.changes == [{"step": 1, "setting": "learning_rate", "from": 5e-4, "to": 1e-3}]


def test_a_drag_of_a_slider_is_one_change_and_none_if_it_ends_where_it_began(player):
    player.after(do="reset")
    player.after(do="set", name="learning_rate", value=5e-4)
    player.after(do="step")
    for value in (1e-3, 2e-3, 3e-3):
        header, _ = player.after(do="set", name="learning_rate", value=value)
    expected = {"step": 1, "setting": "learning_rate", "from": 5e-4, "to": 3e-3}
    assert header["changes"] == 1 and player.engine.changes == [expected]
    assert player.after(do="set", name="learning_rate", value=5e-4)[0]["changes"] == 0
    for value in (1e-3, 5e-4):  # before a turn and after it: two changes, because the turn had the first one
        player.after(do="set", name="learning_rate", value=value)
        header, _ = player.after(do="step", players="G")
    assert [change["to"] for change in player.engine.changes] == [1e-3, "G", 5e-4, "G"]


@pytest.fixture
def compiler(monkeypatch):
    """An event without which no program becomes ready, and the losses of the programs that were begun."""
    free, begun, new_program = threading.Event(), [], engine.game.new_program

    def held(script, config, *others):
        begun.append(config.loss)
        assert free.wait(60)
        return new_program(script, config, *others)

    monkeypatch.setattr(engine.game, "new_program", held)
    yield free, begun
    free.set()


def test_a_loss_is_compiled_while_the_old_game_plays_on(player, compiler, monkeypatch):
    asked, new_look = (
        [],
        scenes.new_look,
    )  # the threads that ask the program of the pictures; the first one compiles it

    def noted(config):
        look = new_look(config)
        return lambda *args: (asked.append(threading.current_thread().name), look(*args))[1]

    monkeypatch.setattr(scenes, "new_look", noted)
    player.after(do="reset")
    player.do(do="play", value=True)
    player.do(do="set", name="loss", value="hinge")
    before, _ = player.until(lambda header: "hinge" in header["busy"])
    header, _ = player.until(lambda header: header["step"] > before["step"])
    assert header["settings"]["loss"] == "minimax"
    compiler[0].set()
    header, _ = player.until(lambda header: header["settings"]["loss"] == "hinge")
    assert header["changes"] == 1 and header["busy"] == "" and asked[0].startswith("compiler")
    player.do(do="play", value=False)
    player.do(do="set", name="loss", value="minimax")
    header, _ = player.until(lambda header: header["busy"] or header["settings"]["loss"] == "minimax")
    assert header["busy"] == ""  # its program was kept


def test_a_rate_changes_at_once_while_a_loss_is_compiled(player, compiler):
    player.after(do="reset")
    rate = player.frame()[0]["settings"]["learning_rate"]
    player.do(do="set", name="loss", value="wasserstein")
    player.until(lambda header: "wasserstein" in header["busy"])
    header, _ = player.after(do="set", name="learning_rate", value=2e-3)
    assert header["settings"]["learning_rate"] == 2e-3 and header["settings"]["loss"] == "minimax"
    assert "wasserstein" in header["busy"]
    compiler[0].set()
    header, _ = player.until(lambda header: header["settings"]["loss"] == "wasserstein")
    assert header["settings"]["learning_rate"] == 2e-3 and header["busy"] == ""
    player.do(do="settings", values={"loss": "minimax", "learning_rate": rate})
    player.ready()


def test_the_last_of_many_quick_choices_is_played_and_few_programs_are_compiled(player, compiler):
    free, begun = compiler
    player.after(do="reset")
    for loss in ("least_squares", "wasserstein", "relativistic_average", "relativistic_paired", "minimax"):
        player.do(do="set", name="loss", value=loss)  # the last one is the present one, whose program is kept
    player.until(lambda header: not header["busy"])
    free.set()
    for thread in threading.enumerate():
        if thread.name == "compiler":
            thread.join(60)
    header, _ = player.ready()
    assert header["settings"]["loss"] == "minimax" and len(begun) <= 2


def test_reset_while_a_loss_is_compiled_begins_anew_with_that_loss(player, compiler):
    player.after(do="reset")
    player.after(do="step")
    player.do(do="set", name="loss", value="non_saturating")
    player.until(lambda header: header["busy"])
    player.do(do="reset")
    compiler[0].set()
    header, _ = player.until(lambda header: not header["busy"] and header["settings"]["loss"] == "non_saturating")
    assert header["step"] == 0 and header["changes"] == 0 and player.engine.exact
    player.do(do="set", name="loss", value="minimax")
    player.ready()


def test_the_arrows_follow_the_loss_back_and_forth(player):
    player.after(do="reset")
    first = player.frame()[1]["pushes"]
    for loss in ("hinge", "minimax"):
        player.do(do="set", name="loss", value=loss)
        header, arrays = player.until(lambda header, loss=loss: header["settings"]["loss"] == loss)
        assert ("optimal" in arrays) == (loss == "minimax")  # the best D for hinge is another one
        value = [measure["name"] for measure in header["measures"]].index("game_value")
        assert np.isfinite(arrays["measures"][-1, value, 3]) == (
            loss == "minimax"
        )  # measured again, at the same step
    assert header["step"] == 0
    np.testing.assert_array_equal(arrays["pushes"], first)


def test_settings_of_a_link_that_come_during_the_first_compilation_are_played_and_shown(tmp_path, compiler):
    playing = Player(tmp_path)
    for do in ("reset", "save"):
        playing.do(do=do)
    assert playing.frame()[0]["busy"]
    playing.do(do="settings", values={"loss": "least_squares", "learning_rate": 1e-3})
    playing.until(lambda header: "least_squares" in header["busy"])
    compiler[0].set()
    header, _ = playing.until(lambda header: not header["busy"])
    assert (header["settings"]["loss"], header["settings"]["learning_rate"]) == ("least_squares", 1e-3)
    game = playing.engine._built.game
    assert playing.engine.config is game.gans.config and playing.engine.exact
    playing.engine.stop()
    playing.engine.join(30)


def test_a_game_that_cannot_be_loaded_is_said_on_the_page(tmp_path, monkeypatch):
    def fails(self, config):
        raise OSError("the disk is gone")

    monkeypatch.setattr(controls.Source, "load", fails)
    failing = Player(tmp_path)
    assert failing.sent.get(timeout=60) == {"error": "OSError: the disk is gone"}
    failing.engine.stop()
    failing.engine.join(30)


def test_every_turn_of_one_player_alone_is_a_change(player):
    player.after(do="reset")
    for name in ("G", "D"):  # as many turns of each, but in another order than the script's
        header, _ = player.after(do="step", players=name)
    assert header["turns"] == [1, 1] and header["changes"] == 2
    assert player.engine.changes[1] == {"step": 1, "setting": "turn of one player alone", "to": "D"}


def test_a_penalty_that_is_on_changes_at_once(player):
    player.after(do="reset")
    player.do(do="set", name="r1", value=0.5)
    player.ready()
    player.after(do="step")
    player.do(do="set", name="r1", value=0.25)
    header, _ = player.until(lambda header: header["settings"]["r1"] == 0.25)
    player.do(do="set", name="r1", value=0.75)
    player.until(lambda header: header["settings"]["r1"] == 0.75)
    assert not player.engine.exact
    player.do(do="reset")
    player.ready()
    assert player.engine.exact  # after a reset the penalties are constants, as in the script
    player.do(do="set", name="r1", value=0.0)
    player.until(lambda header: header["settings"]["r1"] == 0)


def test_slow_motion_plays_one_step_in_six_stages(player):
    player.after(do="reset")
    player.do(do="speed", value="stages")
    headers, arrays = zip(*(player.after(do="stage") for _ in range(6)), strict=True)
    assert [header["stage"]["name"] for header in headers] == list(engine.STAGES)
    assert [header["step"] for header in headers] == [0, 0, 0, 0, 0, 1]
    assert (arrays[5]["stage_moved"] != arrays[5]["stage_fakes"]).any() and "stage_moved" not in arrays[4]
    assert player.after(do="stage")[0]["stage"]["name"] == "latents"
    assert player.after(do="seed", value=1)[0]["stage"] is None  # they were those of another seed
    player.after(do="seed", value=0)
    player.after(do="speed", value="fast")


def test_a_stage_pauses_a_game_that_plays(player):
    player.after(do="reset")
    player.do(do="play", value=True)
    player.until(lambda header: header["step"] > 0)
    player.do(do="stage")
    header, _ = player.until(lambda header: header["stage"])
    assert header["stage"]["name"] == "latents" and header["speed"] == "stages" and not header["playing"]
    assert player.frame()[0]["step"] == header["step"]
    player.after(do="speed", value="fast")


def test_at_the_end_slow_motion_says_that_all_steps_are_played(tmp_path):
    over = engine.Engine(*source_and_config(tmp_path, recipe="stable", steps=5), lambda message: None)
    over._built = SimpleNamespace(program="a program", game=SimpleNamespace(step=5))
    over.stage = len(engine.STAGES) - 1
    over._next_stage()
    assert over.stage == -1 and over.notice == "All 5 steps are played; Reset begins again."


def test_turn_by_turn_the_page_says_why_it_is_slow_and_what_ends_it(player):
    player.after(do="reset")
    for _ in range(2):
        header, _ = player.after(do="step", players="D")
    assert header["notice"] == ""
    player.do(do="play", value=True)
    header, _ = player.until(lambda header: header["step"] > 2)
    expected = "D is 2 turns ahead, so steps are played turn by turn, which is slower, until G alone has had 2 turns."
    assert header["notice"] == expected
    player.do(do="play", value=False)
    assert player.until(lambda header: not header["playing"])[0]["notice"] == ""


def test_a_picture_that_fails_is_said_and_the_next_one_comes(player, monkeypatch):
    def fails():
        raise OSError("no picture")

    with monkeypatch.context() as patch:
        patch.setattr(player.engine, "frame", fails)
        player.do(do="frame")
        assert player.sent.get(timeout=60) == {"error": "OSError: no picture"}
    assert player.frame()[0]["notice"] == "OSError: no picture"
    player.after(do="reset")


def test_a_seed_of_a_link_is_shown_once_so_many_seeds_play(tmp_path):
    source, config = source_and_config(tmp_path)
    playing = engine.Engine(source, config, lambda message: None)
    playing._obey({"do": "seed", "value": 7})
    assert playing.seed == 1  # of two seeds
    playing.config = replace(config, seeds=10)
    assert playing.seed == 7


def test_the_losses_of_a_stage_are_those_of_the_packs_that_train(tmp_path):
    source, config = source_and_config(tmp_path, pack=2)
    gans = points.Ensemble(config, np.random.default_rng(0).normal(size=(2, 1, 50)))
    (game,) = gans.games
    batch = {name: values[0] for name, values in next(gans.batches(Period(0, 1))).items()}  # of the first step
    rules, seen = normal_1d.rules(config), points.inputs(config, batch)
    fake = rules.generator(seen["z"], game.generator.weights)
    d_loss, _ = core.discriminator_loss(rules, game.discriminator.weights, seen, fake, game.step)

    playing = engine.Engine(source, config, lambda message: None)
    playing._stage, playing.stage = scenes.stage_arrays(gans, 1, batch), 3
    assert f"D's {float(d_loss[1, 0]):.4f}" in playing._caption()["caption"]


def test_d_gives_a_probability_only_if_the_loss_is_logistic(tmp_path):
    source, config = source_and_config(tmp_path)
    playing = engine.Engine(source, config, lambda message: None)
    playing._stage, playing.stage = dict.fromkeys(STAGE_LOGITS, np.float32([0, 0])), 2
    for loss, words in (
        ("minimax", "its probability of real is 0.50"),
        ("hinge", "the sigmoid of its score is 0.50"),
    ):
        playing.config = replace(config, loss=loss)
        assert words in playing._caption()["caption"]


STAGE_LOGITS = ("stage_d_real", "stage_d_fake", "packs_d_real", "packs_d_fake")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ({"do": "set", "name": "learning_rate", "value": -1}, "learning_rate -1: expected 1e-05 to 0.1"),
        ({"do": "set", "name": "learning_rate", "value": "x"}, "learning_rate: expected a number"),
        ({"do": "set", "name": "out", "value": "/etc"}, "out: no such setting"),
        ({"do": "set", "name": "seeds", "value": 100_000}, "seeds 100000: expected one of 1, 4"),
        ({"do": "set", "name": "target", "value": "/etc/passwd"}, "target /etc/passwd: expected norm"),
        ({"do": "set", "name": "target", "value": "ring 3"}, "target ring 3: expected ring without numbers"),
        ({"do": "set", "name": "target", "value": "beta 2 x"}, "target beta 2 x: expected a name of scipy.stats"),
        ({"do": "settings", "values": 3}, "settings: expected names"),
        ({"do": "speed", "value": "?"}, "speed ?: expected one of"),
        ({"do": "seed", "value": None}, "seed: expected a whole number"),
        ({"do": "seed"}, "seed: expected a whole number"),
        ({"do": "set", "name": "r1", "value": 10**400}, "r1: expected a number"),
        ({"do": "points", "points": [[1, 2]] * 5}, "expected 40 to 20000 points"),
        ({"do": "points", "points": "x"}, "the points are no table"),
        ({"do": "points", "points": [[10**400, 1]] * 60}, "the points are no table"),
        ({"do": "points", "points": [[1.0, 2.0]] * 60}, "drawing: a column is constant"),
        ({"do": "dance"}, "do 'dance': no such command"),
        ({"do": "step", "players": "both of them"}, "players both of them: expected one of both, D, G"),
    ],
)
def test_bad_commands_are_answered_and_training_lives_on(player, command, words):
    player.after(do="reset")
    assert words in player.after(**command)[0]["notice"]
    header, _ = player.after(do="step")
    assert header["step"] == 1 and header["notice"] == ""


def test_a_reset_while_something_is_being_compiled_is_not_undone(player):
    player.after(do="reset")
    player.after(do="step")
    player.do(do="set", name="loss", value="least_squares")
    player.do(do="reset")
    header, _ = player.until(lambda header: header["settings"]["loss"] == "least_squares")
    assert header["step"] == 0 and header["changes"] == 0
    player.do(do="set", name="loss", value="minimax")
    player.ready()


def test_many_changes_in_a_row_are_compiled_one_at_a_time_and_the_last_one_counts(player):
    player.after(do="reset")
    for name, value in (("loss", "hinge"), ("pack", 2), ("loss", "minimax"), ("pack", 1), ("learning_rate", 3e-4)):
        player.do(do="set", name=name, value=value)
    header, _ = player.until(lambda header: header["settings"]["learning_rate"] == 3e-4)
    assert (header["settings"]["loss"], header["settings"]["pack"]) == ("minimax", 1)
    assert sum(thread.name.startswith("compiler") for thread in threading.enumerate()) == 1


def test_an_error_of_a_command_does_not_pause_the_game(player):
    player.do(do="play", value=True)
    assert player.after(do="seed", value="x")[0]["playing"]
    player.after(do="play", value=False)


def test_own_points_are_learned_and_saved_with_the_run(player, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    angle = np.linspace(0, 6, 100)
    player.do(do="points", name="drawing", points=np.stack([np.cos(angle), np.sin(angle)], 1).tolist())
    header, arrays = player.until(lambda header: header["settings"]["target"] == "drawing")
    assert header["kind"] == "plane" and arrays["real"].shape == (2, 50) and "optimal" not in arrays
    player.do(do="save")
    player.frame()
    saved = next(m["saved"] for m in player.messages if "saved" in m)
    config = storage.load_config(Path(saved["folder"]), "RUN", mixture_2d.Config)
    assert header["target"] == "drawing"
    assert len(np.loadtxt(config.target, delimiter=",")) == 100 and saved["changes"] == []
    assert saved["command"] == f"python experiments/mixture_2d.py --resume {saved['folder']}"
    player.do(do="set", name="target", value="norm")
    player.until(lambda header: header["kind"] == "line")


def test_a_saved_run_has_the_settings_of_the_page_and_the_list_of_its_changes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source, config = source_and_config(tmp_path)
    saved = source.save(config, [], 7, True)
    assert storage.load_config(Path(saved["folder"]), "RUN", normal_1d.Config) == config and saved["changes"] == []
    change = {"step": 3, "setting": "r1", "from": 1.0, "to": 2.0}
    saved = source.save(replace(config, seed=1), [change], 7, True)
    assert json.loads(Path(saved["folder"], "live.json").read_text()) == {"steps": 7, "changes": [change]}


def test_a_game_without_an_end_is_saved_with_the_steps_that_were_played(player, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    player.after(do="reset")
    for _ in range(3):
        player.after(do="step")
    config, saved = player.engine.config, {}
    for steps in (2, 9):
        player.engine.config = replace(config, steps=steps)
        player.after(do="save")
        saved[steps] = [m["saved"]["folder"] for m in player.messages if "saved" in m][-1]
    player.engine.config = config
    steps = [storage.load_config(Path(saved[n]), "RUN", normal_1d.Config).steps for n in (2, 9)]
    assert steps == [3, 9] and player.engine.end is None


def test_settings_from_a_link_do_nothing_if_they_are_the_present_ones(tmp_path):
    source, config = source_and_config(tmp_path)
    assert source.changed(config, controls.values(source, config)) == (source, config)
    other, changed = source.changed(config, {"target": "ring", "loss": "hinge", "generator_units": 16})
    assert other.name == "mixture_2d" and changed.loss == "hinge" and set(changed.generator_hidden) == {16}


def test_every_target_of_the_list_is_shown_as_it_stands_there_and_keeps_the_steps_asked_for(tmp_path):
    source, config = controls.new_source("ring", "stable", 2, 0, 70, tmp_path)
    for target in controls.ON_LINE:
        other, changed = source.changed(config, {"target": target})
        assert controls.values(other, changed)["target"] == target and changed.steps == 70


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--target", "ring 3"], "--target ring 3: expected ring without numbers"),
        (["--target", "beta 2 x"], "--target beta 2 x: expected a name of scipy.stats and numbers"),
        (["--target", ""], "--target '': expected a name"),
        (["--recipe="], "--recipe '': expected one of stable, classic"),
        (["--recipe", "pacgan"], "--recipe pacgan: expected one of stable, classic"),
        (["--run", "nowhere", "--no_play"], "--no_play: expected no such flag beside --run"),
    ],
)
def test_wrong_words_of_the_command_line_are_one_line_that_names_the_flag(flags, words, monkeypatch, capsys):
    monkeypatch.setattr(live, "serve", lambda main: pytest.fail("served"))
    with pytest.raises(SystemExit) as stop:
        live.main(["--no-browser", "--port", "0", *flags])
    assert stop.value.code == 2 and one_line(capsys).startswith(words)


def test_every_digit_of_a_typed_number_is_shown(tmp_path):
    source, config = controls.new_source("beta 2.123456789 5", "stable", 2, 0, None, tmp_path)
    assert source.shown_target(config) == "beta 2.123456789 5"


def test_what_is_compiled_is_said_in_the_words_of_the_panel(tmp_path):
    playing = engine.Engine(*source_and_config(tmp_path), lambda message: None)
    playing._made = lambda *job: None  # nothing is compiled here
    playing._change({"generator_units": 64, "generator_layers": 2})
    assert playing.busy == "Compiling for generator layers 2 and generator units 64."
    playing._compiler.shutdown()
    labels = {c["name"]: c["label"] for c in controls.hello(playing.source, playing.config)["controls"]}
    assert labels["discriminator_rate"] == "D's rate / G's rate" and labels["generator_units"] == "generator units"


def test_a_file_with_the_name_of_a_target_does_not_hide_it(tmp_path):
    source, config = controls.new_source("grid", "stable", 2, 0, None, tmp_path)
    source = source.with_points("ring", np.random.default_rng(0).normal(size=(50, 2)).tolist())
    assert [name for name, _ in source.own] == ["ring (file)"]
    assert source.changed(config, {"target": "ring"})[1].target == "ring"


def test_every_control_is_explained_and_shows_a_value_that_it_accepts(tmp_path):
    for target in ("ring", "norm"):
        source, config = source_and_config(tmp_path, target=target, recipe="stable")
        now = controls.values(source, config)
        for control in controls.hello(source, config)["controls"]:
            assert control["help"]
            if control["kind"] in ("slider", "decay"):
                assert source.changed(config, {control["name"]: now[control["name"]]}) == (source, config)
            if control["kind"] == "choice":
                assert now[control["name"]] in control["values"]


def test_a_number_of_the_recipe_or_of_a_flag_can_be_chosen_again(tmp_path):
    """48 units of D and 3 or 100 seeds are none of those in the lists."""
    for name, other, seeds in (("discriminator_units", 64, 3), ("seeds", 4, 3), ("seeds", 64, 100)):
        source, config = controls.new_source("norm", "stable", seeds, 0, None, tmp_path)
        (shown,) = (c["values"] for c in controls.hello(source, config)["controls"] if c["name"] == name)
        assert shown == sorted(shown) and controls.values(source, config)[name] in shown
        _, changed = source.changed(config, {name: other})
        assert source.changed(changed, {name: controls.values(source, config)[name]}) == (source, config)
    for value in (0, 129, 50.5, "48", True):
        with pytest.raises(BadInput, match="^discriminator_units"):
            source.changed(config, {"discriminator_units": value})


def test_windows_of_losses_all_have_one_length():
    windows = curves.Windows(at_most=4)
    losses = np.arange(24.0).reshape(12, 2, 1)
    for part in np.split(losses, [1, 4, 9]):
        windows.add(part)
    found = windows.arrays(0)
    assert windows.length == 4 and found["curve_steps"].tolist() == [4, 8, 12]
    np.testing.assert_allclose(found["curves"][:, :, 1], losses[:, :, 0].reshape(3, 4, 2).mean(axis=1))


def test_bands_hold_80_percent_of_the_seeds_and_nan_is_the_worst():
    rows = np.concatenate([np.arange(10.0), [np.nan]])[None]
    np.testing.assert_array_equal(curves.summarised(rows, 3), [[1, 5, 9, 3]])


def test_bands_have_the_quantiles_of_the_log():
    rows = np.random.default_rng(0).normal(size=(5, 3, 10))
    expected = np.quantile(rows, [0.1, 0.5, 0.9], axis=-1)
    np.testing.assert_allclose(np.moveaxis(curves.summarised(rows, 0)[..., :3], -1, 0), expected)


def test_at_port_80_browsers_leave_the_port_out():
    assert server.hosts(8017) == {"127.0.0.1:8017", "localhost:8017"}
    assert {"localhost", "127.0.0.1", "localhost:80"} <= server.hosts(80)


def test_the_token_does_not_stand_on_the_command_line_of_the_browser(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    asked = []
    monkeypatch.setattr(server.webbrowser, "open", lambda url: not asked.append(url))
    with contextlib.ExitStack() as until_the_end:
        assert server.opened("http://127.0.0.1:1/?token=secret", until_the_end)
        (page,) = tmp_path.iterdir()
        assert asked == [page.as_uri()] and page.stat().st_mode & 0o077 == 0
        assert 'url=http://127.0.0.1:1/?token=secret"' in page.read_text()
    assert not [*tmp_path.iterdir()]
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    assert not server.opened("http://127.0.0.1:1/?token=secret", until_the_end)


def test_no_port_is_free(monkeypatch):
    def taken(*args):
        raise OSError(98, "in use")

    monkeypatch.setattr(server.tornado.netutil, "bind_sockets", taken)
    with pytest.raises(BadInput, match="--port 8000: it and the ports above it are in use"):
        server.listening(8000)

    def forbidden(*args):
        raise OSError(13, "permission denied")

    monkeypatch.setattr(server.tornado.netutil, "bind_sockets", forbidden)
    with pytest.raises(BadInput, match="--port 80: not allowed here; expected 1024 or more"):
        server.listening(80)


def test_only_the_threads_of_the_engine_are_left(player):
    assert [t.name for t in threading.enumerate()].count("engine") == 1


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("kind", ["npy", "spaces.txt", "semicolons.csv", "comment.csv"])
def test_files_are_read_and_saved_as_the_scripts_read_them(tmp_path, monkeypatch, kind, columns):
    monkeypatch.chdir(tmp_path)
    rows, path = np.random.default_rng(0).normal(size=(50, columns)), tmp_path / f"own.{kind}"
    if kind == "npy":
        np.save(path, rows)
    else:
        delimiter, header = {"s": " ", "c": ","}[kind[0]], "three, words, here" if kind == "comment.csv" else ""
        np.savetxt(path, rows, delimiter=";" if kind == "semicolons.csv" else delimiter, header=header)
    source, config = controls.new_source(str(path), "stable", 2, 0, None, tmp_path)
    saved = source.save(config, [], 0, True)
    kept = storage.load_config(Path(saved["folder"]), "RUN", type(config))
    loaded = source.load(kept)[1]
    assert loaded.shape[:2] == (2, columns)
    np.testing.assert_array_equal(loaded, source.load(config)[1])


def test_every_drawing_and_dropped_file_keeps_its_own_points(tmp_path):
    source, config = source_and_config(tmp_path / "settings")
    source = replace(source, folder=tmp_path)
    rows = np.random.default_rng(0).normal(size=(50, 2))
    for k, name in enumerate(("a.csv", "drawing", "drawing", "ring")):
        source = source.with_points(name, (rows + k).tolist())
    assert [*dict(source.own)] == ["a.csv", "drawing", "ring (file)"]
    for (_, path), k in zip(source.own, (0, 2, 3), strict=True):
        np.testing.assert_allclose(np.loadtxt(path, delimiter=","), rows + k)
    with pytest.raises(BadInput):
        source.with_points("drawing", [[1.0, 2.0]] * 60)
    assert len({*dict(source.own).values()}) == 3
    assert source.with_points("a.csv", rows.tolist()).own[-1][0] == "a.csv"  # the last one is what will be played
