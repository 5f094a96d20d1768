"""The front door: what it lists, how a mistake is told, and what it does not load."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import pytest
import typer

from cli.main import COMMANDS, run_command
from lab.errors import NotFound, SettingsError, Unavailable

HEAVY = ("torch", "boto3", "optuna", "numpy", "scipy", "matplotlib", "av", "PIL", "jinja2", "skimage")
Said = Callable[..., str]


def test_help_lists_every_command(said: Said) -> None:
    listed = said("--help")
    assert [row.name for row in COMMANDS if row.name not in listed] == []


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_every_listed_command_is_there_and_can_be_asked_for_help(row: object, said: Said) -> None:
    name, target = row.name, row.target  # type: ignore[attr-defined]
    module, _, attribute = target.partition(":")
    assert callable(getattr(import_module(module), attribute))
    assert f"aether {name}" in said(name, "--help")


@pytest.mark.parametrize("words", [["frobnicate"], ["status", "--frobnicate"], ["experiments", "show"],
                                   ["run", "--minutes", "soon"]], ids=" ".join)
def test_a_wrong_command_line_is_one_line_that_points_to_the_help(words: list[str], said: Said) -> None:
    line = said(*words, code=2)
    assert line.count("\n") == 1
    assert line.startswith("error: ")
    assert "--help`" in line


def test_a_group_without_a_command_shows_its_help_once(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(["codec"]) == 2
    out, err = capfd.readouterr()
    assert (out + err).count("Usage:") == 1


@pytest.mark.parametrize(("error", "code"), [(NotFound("no such thing; make one"), 2),
                                             (Unavailable("the disk is full; free some space"), 1)])
def test_our_errors_are_one_line_and_their_exit_code_says_whose_they_are(
        error: Exception, code: int, monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.setattr("cli.status.status", _failing(error))
    assert said("status", code=code) == f"error: {error}\n"


def test_each_fault_of_a_settings_file_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.setattr("cli.status.status", _failing(SettingsError("aether.toml:3: one\naether.toml:9: two")))
    assert said("status", code=2) == "error: aether.toml:3: one\nerror: aether.toml:9: two\n"


def test_a_fault_of_ours_is_told_as_one_and_shows_its_traceback_only_when_asked(
        monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.setattr("cli.status.status", _failing(ZeroDivisionError("division by zero")))
    line = said("status", code=1)
    assert "ZeroDivisionError" in line
    assert "--debug" in line
    assert line.count("\n") == 1
    for words in (["--debug", "status"], ["status", "--debug"]):
        with pytest.raises(ZeroDivisionError):
            run_command(words)


def test_a_full_disk_or_a_locked_folder_is_told_with_the_fix(monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.setattr("cli.status.status", _failing(OSError(28, "No space left on device", "/lab/logs")))
    line = said("status", code=1)
    assert line.startswith("error: /lab/logs: No space left on device; free some space")
    assert line.count("\n") == 1


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch, said: Said) -> None:
    monkeypatch.setattr("cli.status.status", _failing(KeyboardInterrupt()))
    assert said("status", code=130) == ""


def test_a_reader_that_has_seen_enough_is_told_nothing() -> None:
    ended = subprocess.run(f"{sys.executable} -m cli.main --help | head -1", shell=True, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_version_is_the_packages(said: Said) -> None:
    assert said("--version").startswith("aether 0.")


@pytest.mark.parametrize("words", [["--help"], ["experiments", "--help"], ["status", "--help"], ["run", "--help"]],
                         ids=" ".join)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    script = (f"import sys; from cli.main import run_command; code = run_command({words!r}); "
              f"print('loaded', code, [name for name in {HEAVY!r} if name in sys.modules])")
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "loaded 0 []"


def _failing(error: BaseException) -> Callable[[], None]:
    def command() -> None:
        raise error
    assert not isinstance(command, typer.Typer)
    return command


def test_a_command_leaves_what_python_does_with_signals_and_lost_errors_as_it_was() -> None:
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    assert run_command(["--version"]) == 0
    assert (signal.getsignal(signal.SIGINT), sys.unraisablehook) == before


def test_ctrl_c_while_the_door_still_loads_is_no_traceback() -> None:
    script = ("import sys\n"
              "class Interrupted:\n"
              "    def find_spec(self, name, *_):\n"
              "        if name == 'typer': raise KeyboardInterrupt\n"
              "sys.meta_path.insert(0, Interrupted())\n"
              "from cli.start import main\n"
              "main()")
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
