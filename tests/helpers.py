"""What tests of several scripts do alike."""

import subprocess
import sys

import gan_runs as runs


def one_line(capsys):
    """The one line on standard error."""
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error
    return error


def command(module, *args):
    """Run a script's command line in this process; its exit code."""
    try:
        runs.command_line(module.EXPERIMENT, module.RECIPES, module.train_and_report, "", [str(a) for a in args])
    except SystemExit as stop:
        return stop.code
    return 0


def fresh_run(module, flags, home):
    """The folder and the screen of a run made by a fresh process in the folder `home`."""
    script = [sys.executable, module.__file__, *flags, "--out", "run"]
    done = subprocess.run(script, cwd=home, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return home / "run", done.stdout


class Killed(Exception):
    pass


class DyingRun(runs.Run):
    """A run whose process dies right after the record of `at` is logged, before it is saved."""

    def __init__(self, folder, checkpoint_every, at):
        super().__init__(folder, checkpoint_every=checkpoint_every)
        self.at = at

    def record(self, record, headline=""):
        super().record(record, headline)
        if record["step"] == self.at:
            raise Killed
