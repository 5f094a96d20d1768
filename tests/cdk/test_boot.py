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
