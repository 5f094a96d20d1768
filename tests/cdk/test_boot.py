"""The boot script is a script that a shell takes, carries what it needs, and fits into what EC2 takes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cdk.boot import HERE, USER_DATA_BYTES, first_lock, user_data
from support.servers import unavailable

SETTINGS = dict.fromkeys(("LAB", "ROLE", "COMMAND", "SET", "RESTART", "REGION", "LOG_GROUP", "TOPIC", "CODE_BUCKET",
                          "CODE_KEY"), "x" * 60)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "user-data.sh"
    path.write_text(user_data(SETTINGS))
    return path


def test_a_shell_takes_it_and_ec2_has_room_for_it(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert script.stat().st_size < USER_DATA_BYTES


def test_each_setting_that_it_reads_is_given_and_none_is_given_in_vain() -> None:
    text = (HERE / "boot.sh").read_text()
    used = set(re.findall(r"\$\{?([A-Z_]+)\b", text)) - {"LINENO", "SECONDS", "FIRST", "HELPER"}
    assert used == set(SETTINGS)


def test_what_it_carries_comes_out_as_it_was(tmp_path: Path) -> None:
    """Run up to where the script proper begins: quotes and dollars of the helper must survive the shell."""
    carried = user_data(SETTINGS | {"COMMAND": "it's $HOME"}).removesuffix((HERE / "boot.sh").read_text())
    told = subprocess.run(["bash", "-c", f"{carried}\nprintf '%s\\n' \"$HELPER\" \"$FIRST\" \"$COMMAND\""],
                          check=True, capture_output=True, text=True).stdout
    assert told == (HERE / "instance.py").read_text().rstrip("\n") + f"\n{first_lock()}\nit's $HOME\n"


def test_the_first_packages_are_locked_by_hash_and_complete(tmp_path: Path) -> None:
    """pip itself resolves them, with nothing else to choose from."""
    assert all("--hash=sha256:" in line for line in first_lock().splitlines())
    from importlib.metadata import requires
    needed, names = ["boto3"], set()
    while needed:
        name = needed.pop()
        names.add(name)
        needed += [re.split(r"[ <>=!;(]", one)[0] for one in requires(name) or () if "extra ==" not in one]
    assert names == {line.split("==")[0] for line in first_lock().splitlines()}


def test_the_helper_is_python_of_the_machine() -> None:
    subprocess.run([sys.executable, "-m", "py_compile", str(HERE / "instance.py")], check=True)


@pytest.mark.ci
def test_shellcheck_finds_nothing(script: Path) -> None:
    if shutil.which("shellcheck", path=str(Path(sys.executable).parent)) is None:
        unavailable("shellcheck is not installed", "run requirements/sync cdk")
    found = subprocess.run([str(Path(sys.executable).parent / "shellcheck"), "--exclude=SC2034", str(script)],
                           capture_output=True, text=True)
    assert found.stdout == ""


@pytest.mark.parametrize(("failing", "role", "told", "stands"), [
    ("instance fetch bucket key /nowhere", "cpu", True, False),
    ("instance fetch bucket key /nowhere", "orchestrator", True, True),
    ("false", "cpu", True, False),
    ("rm /opt/boot/bin/python; false", "cpu", False, True)])
def test_a_boot_that_fails_is_told_once_and_never_stands_in_silence(
        tmp_path: Path, failing: str, role: str, told: bool, stands: bool) -> None:
    """Of the script its head, in a folder of its own; the helper fails at all but to tell."""
    head = (HERE / "boot.sh").read_text().partition("\nsaid ")[0]
    assert "trap" in head
    for name, text in {"opt/boot/bin/python": '[[ $2 == failed ]]', "bin/shutdown": "true"}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(f'#!/usr/bin/env bash\necho "{name}: $*" >>{tmp_path}/asked\n{text}\n')
        (tmp_path / name).chmod(0o755)
    script = f"ROLE={role} LAB=tlab REGION=us-east-1\n{head}\n{failing}\necho went on\n"
    path = tmp_path / "script"
    path.write_text(re.sub(r"/(?=opt/boot|var/log)", f"{tmp_path}/", script))
    line = path.read_text().splitlines().index(failing.replace("/opt", f"{tmp_path}/opt")) + 1
    ran = subprocess.run(["bash", str(path)], env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}, text=True,
                         capture_output=True, check=False)
    assert ran.returncode != 0
    assert f"the boot failed in line {line}\n" in ran.stdout
    assert "went on" not in ran.stdout
    asked = (tmp_path / "asked").read_text()
    assert asked.count(f"instance.py failed the boot of {role}") == told
    assert asked.count("bin/shutdown: -h +30") == stands
