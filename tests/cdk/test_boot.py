"""The boot script is a script that a shell takes, carries what it needs, and fits into what EC2 takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType, SimpleNamespace
from urllib.parse import parse_qsl

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cdk.boot import HERE, USER_DATA_BYTES, first_lock, instance, unpacked, user_data
from support.boxes import need_sandbox
from support.metadata import FakeMetadata, metadata
from support.servers import unavailable

SETTINGS = dict.fromkeys(("LAB", "ROLE", "COMMAND", "SET", "TOLD", "RESTART", "REGION", "LOG_GROUP", "TOPIC",
                          "CODE_BUCKET", "CODE_KEY"), "x" * 60)

SCRIPT = "\n".join((HERE / name).read_text() for name in ("install.sh", "boot.sh"))
PATHS = r"/(?=opt/boot|opt/aether|var/log|usr/bin/python3|dev/nv|etc/sys)"
DEVICES = SCRIPT[SCRIPT.index("\n# CUDA has its nodes made"):SCRIPT.index("\nconfine\n")]


def test_a_shell_takes_it_and_ec2_has_room_for_it(tmp_path: Path) -> None:
    """Its settings are 400 characters at most, with the longest prefix and region, beside a secret's name."""
    longest = dict.fromkeys(SETTINGS, "x" * 40) | {"TOLD": "AETHER_LLM_SECRET=" + "x" * 512}
    assert len(user_data(longest).encode()) < USER_DATA_BYTES
    for text in (user_data(SETTINGS), unpacked("boot.sh")):
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_each_setting_that_it_reads_is_given_and_none_is_given_in_vain() -> None:
    used = set(re.findall(r"\$\{?([A-Z_]+)\b", SCRIPT)) - {"LINENO", "SECONDS", "FIRST", "HELPER", "WANTED"}
    assert used == set(SETTINGS)


def test_what_it_carries_comes_out_as_it_was(tmp_path: Path) -> None:
    """It unpacks itself, runs, and stays to be read; quotes and dollars of the helper survive the shell."""
    ends = "\nprintf '%s\\n' \"$HELPER\" \"$FIRST\" \"$COMMAND\"\n"
    carried = user_data(SETTINGS | {"COMMAND": "it's $HOME"}).replace("/opt/boot", f"{tmp_path}/boot")
    stops = carried.replace(f"\n. {tmp_path}", f"\nsed -i '/^set -E/,$d' {tmp_path}/boot/boot.sh\n. {tmp_path}")
    assert stops != carried
    told = subprocess.run(["bash", "-c", stops + ends], check=True, capture_output=True, text=True).stdout
    assert told == (HERE / "instance.py").read_text().rstrip("\n") + f"\n{first_lock()}\nit's $HOME\n"
    subprocess.run(["bash", "-c", carried.rpartition("\n. ")[0]], check=True)
    assert (tmp_path / "boot" / "boot.sh").read_text() == unpacked("boot.sh")
    assert unpacked("boot.sh").endswith(SCRIPT)


def test_of_one_that_came_damaged_nothing_runs(tmp_path: Path) -> None:
    carried = user_data(SETTINGS).replace("/opt/boot", f"{tmp_path}/boot")
    damaged = carried.replace("<<'PACKED'", "<<'PACKED' | tail -c +9") + "echo went on\n"
    ran = subprocess.run(["bash", "-c", damaged], capture_output=True, text=True, check=False)
    assert (ran.returncode == 0, ran.stdout) == (False, "")


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


def test_the_helper_loads_by_a_python_that_has_no_packages() -> None:
    loads = f"import runpy; print(*sorted(set(runpy.run_path({str(HERE / 'instance.py')!r})) & {{'failed', 'leave'}}))"
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", loads], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("failed leave\n", "")


@pytest.mark.ci
@pytest.mark.parametrize("last", ["boot.sh", "bake.sh"])
def test_shellcheck_finds_nothing(last: str, tmp_path: Path) -> None:
    """Neither in what is packed, below the settings that it reads, nor in what unpacks it."""
    if shutil.which("shellcheck", path=str(Path(sys.executable).parent)) is None:
        unavailable("shellcheck is not installed", "run requirements/sync cdk")
    settings, _, _ = user_data(SETTINGS).partition("\nmkdir")
    for text in (user_data(SETTINGS), f"{settings}\n{unpacked(last)}"):
        (tmp_path / "script").write_text(text)
        found = subprocess.run([str(Path(sys.executable).parent / "shellcheck"), "--exclude=SC2034",
                                str(tmp_path / "script")], capture_output=True, text=True)
        assert found.stdout == ""


def run_head(folder: Path, role: str, then: str, *, stubs: Mapping[str, str] = MappingProxyType({}),
             address: str = "", told: str = "") -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """What the script does before it says a word, and `then`, in a folder of its own: the helper fails at all but to
    tell, and no package is installed. Gives also what programs were asked. `address` is the metadata service's."""
    head = unpacked("boot.sh").partition("\nsaid \"boot")[0]
    assert "trap" in head
    for name, text in {"opt/boot/bin/python": "false", "usr/bin/python3": "true", "bin/shutdown": "true",
                       "bin/sleep": "true", "bin/dpkg": "false",
                       "bin/apt-get": f"(($(wc -l <{folder}/asked) > 7))", **stubs}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f'#!/usr/bin/env bash\necho "{name}: $*" >>{folder}/asked\n{text}\n')
        (folder / name).chmod(0o755)
    settings = f"ROLE={role} LAB=tlab REGION=us-east-1 TOPIC=topic LOG_GROUP=group TOLD={told}"
    script = f"{settings}\n{head}\n{then}\necho went on\n".replace("http://169.254.169.254", address)
    (folder / "script").write_text(re.sub(PATHS, f"{folder}/", script))
    (folder / "asked").touch()
    (folder / "user-data").write_text(f". {folder}/script\n")
    ran = subprocess.run(["bash", str(folder / "user-data")], env={"PATH": f"{folder}/bin:/usr/bin:/bin"}, text=True,
                         capture_output=True, check=False)
    return ran, (folder / "asked").read_text().splitlines()


@pytest.mark.parametrize(("failing", "role", "stands"), [
    ("instance fetch bucket key /nowhere", "cpu", False),
    ("instance fetch bucket key /nowhere", "orchestrator", True),
    ("false", "cpu", False),
    ("again instance fetch", "cpu", False),
    ("CODE_BUCKET=b CODE_KEY=k; code", "cpu", False),
    ("rm /opt/boot/bin/python; false", "cpu", False)])
def test_a_boot_that_fails_is_told_once_and_never_stands_in_silence(
        tmp_path: Path, failing: str, role: str, stands: bool) -> None:
    ran, asked = run_head(tmp_path, role, failing + "  # here")
    assert ran.returncode != 0
    [line] = [n for n, text in enumerate((tmp_path / "script").read_text().splitlines(), 1) if text.endswith("# here")]
    assert f"the boot failed in line {line} of " in ran.stdout
    assert "went on" not in ran.stdout
    assert sum(one.endswith(f"instance.py failed the boot of {role}") for one in asked) == 1
    assert asked.count("bin/shutdown: -h +30") == stands


def test_one_that_nobody_could_be_told_of_does_not_stand_for_ever(tmp_path: Path) -> None:
    ran, asked = run_head(tmp_path, "cpu", "false", stubs={"usr/bin/python3": "false"})
    assert "nobody could be told" in ran.stdout
    assert asked.count("bin/shutdown: -h +30") == 1


class Cloud(ThreadingHTTPServer):
    """Keeps what a service of AWS was asked, and answers as it is told, at last with 200."""

    def __init__(self, *answers: int) -> None:
        self.asked: list[tuple[dict[str, str], bytes]] = []
        left = list(answers)

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                cloud.asked.append(({name.lower(): value for name, value in self.headers.items()}, body))
                code = left.pop(0) if left else 200
                self.send_response(code)
                self.end_headers()
                self.wfile.write(b"<Code>Throttling</Code>" if code == 429 else b"<Code>AuthorizationError</Code>")

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Answers)
        cloud, self.address = self, f"http://127.0.0.1:{self.server_address[1]}"

    def forms(self) -> list[dict[str, str]]:
        return [dict(parse_qsl(body.decode())) for _, body in self.asked]


@contextmanager
def cloud(*answers: int) -> Iterator[Cloud]:
    with Cloud(*answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@contextmanager
def machine() -> Iterator[FakeMetadata]:
    """One whose role has keys."""
    with metadata() as here:
        here.told |= {"iam/security-credentials/": "tlab-cpu", "iam/security-credentials/tlab-cpu": json.dumps(KEYS)}
        yield here


KEYS = {"Code": "Success", "AccessKeyId": "AKIATEST", "SecretAccessKey": "very/secret+key", "Token": "to/ken=="}
NOTHING_INSTALLED = {
    "usr/bin/python3": f'exec {sys.executable} -I -S "$@"',  # with nobody's packages
    "bin/python3": "true", "bin/systemctl": "true", "bin/systemd-run": "true",
    "opt/boot/bin/pip": 'echo "no index"; false', "bin/apt-get": 'echo "no mirror"; false'}


@pytest.mark.parametrize(("installed", "words"), [("false", "no mirror"), ("true", "no index")])
def test_a_boot_that_never_came_to_our_packages_is_told_of_and_gives_its_place_back(
        tmp_path: Path, installed: str, words: str) -> None:
    with machine() as here, cloud() as asked_of:
        ran, asked = run_head(tmp_path, "cpu", "again packages; own_python", address=here.address,
                              told=f"AWS_ENDPOINT_URL={asked_of.address}",
                              stubs={**NOTHING_INSTALLED, "bin/dpkg": installed})
        assert ran.returncode != 0
        [told] = asked_of.forms()
        assert (told["Action"], told["TopicArn"]) == ("Publish", "topic")
        assert told["Subject"] == f"Aether: the boot of cpu failed on {here.told['instance-id']}"
        assert "given back in 10 minutes" in told["Message"]
        assert words in told["Message"]
        [later] = [one for one in asked if one.startswith("bin/systemd-run")]
        assert later.endswith("/opt/boot/instance.py leave 600")
        assert not [one for one in asked if one.startswith("bin/shutdown")]

        environment = dict(line.split("=", 1) for line in (tmp_path / "opt/boot/environment").read_text().split())
        subprocess.run([tmp_path / "usr/bin/python3", tmp_path / "opt/boot/instance.py", "leave", "0"],
                       env={**environment, "PATH": "/usr/bin:/bin"}, check=True)
        assert asked_of.forms()[1:] == [{
            "Action": "TerminateInstanceInAutoScalingGroup", "Version": "2011-01-01",
            "InstanceId": here.told["instance-id"], "ShouldDecrementDesiredCapacity": "true"}]


def test_a_boot_that_the_topic_will_not_hear_of_gives_its_place_back_all_the_same(tmp_path: Path) -> None:
    with machine() as here, cloud(403) as asked_of:
        ran, asked = run_head(tmp_path, "cpu", "false", address=here.address, stubs=NOTHING_INSTALLED,
                              told=f"AWS_ENDPOINT_URL={asked_of.address}")
    assert len(asked_of.asked) == 1
    assert "AuthorizationError" in ran.stdout
    assert [one.endswith(" leave 600") for one in asked if one.startswith("bin/systemd-run")] == [True]
    assert asked.count("bin/shutdown: -h +30") == 1, "should that fail too"


def test_what_it_asks_is_signed_as_botocore_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what arrives is what was signed; trouble of the other side is waited out."""
    paused: list[float] = []
    monkeypatch.setattr(instance, "time", SimpleNamespace(sleep=paused.append))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with machine() as here, cloud(503, 429) as asked_of:
        monkeypatch.setattr(instance, "METADATA", f"{here.address}/latest/")
        monkeypatch.setenv("AWS_ENDPOINT_URL", asked_of.address)
        instance.ask("sns", "Publish", TopicArn="arn:aws:sns:us-east-1:1:tlab", Message="a line\n& ünother = 100 %")
    assert (len(asked_of.asked), paused) == (3, [instance.PAUSE_S] * 2)
    headers, body = asked_of.asked[-1]
    assert dict(parse_qsl(body.decode()))["Message"] == "a line\n& ünother = 100 %"
    signer = SigV4Auth(Credentials(KEYS["AccessKeyId"], KEYS["SecretAccessKey"], KEYS["Token"]), "sns", "us-east-1")
    theirs = AWSRequest("POST", f"{asked_of.address}/", {"Content-Type": headers["content-type"]}, body)
    signer.add_auth(theirs)
    ours = {at: instance.signed(body, headers["host"], "sns", "us-east-1", KEYS, at)
            for at in (headers["x-amz-date"], theirs.headers["X-Amz-Date"])}
    assert ours[theirs.headers["X-Amz-Date"]]["authorization"] == theirs.headers["Authorization"]
    assert ours[headers["x-amz-date"]].items() <= headers.items()


def test_a_boot_outlasts_mirrors_and_locks_that_are_away_for_minutes(tmp_path: Path) -> None:
    """Here they are for two tries; the pauses are stubs."""
    ran, asked = run_head(tmp_path, "cpu", "again packages")
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "went on")
    assert asked.count("bin/sleep: 30") == 2
    assert "DPkg::Lock::Timeout" in asked[-1]


@pytest.mark.parametrize(("step", "away"), [
    ("CODE_BUCKET=b CODE_KEY=k; code", "opt/boot/bin/python"), ("FIRST=x; own_python", "opt/boot/bin/pip"),
    ("SET=learned; requirements", "opt/aether/requirements/sync")])
def test_no_store_and_no_index_that_is_away_for_a_minute_ends_a_boot(tmp_path: Path, step: str, away: str) -> None:
    """It answers at the third try."""
    answers = f"(($(grep -c '^{away}:' {tmp_path}/asked) > 2))"
    found = dict.fromkeys(("bin/unzip", "bin/chmod", "bin/python3"), "true")
    ran, asked = run_head(tmp_path, "cpu", step, stubs={**found, away: answers})
    assert (ran.returncode, ran.stdout.splitlines()[-1]) == (0, "went on"), ran
    tries = [one for one in asked if one.startswith(f"{away}:")]
    assert len(tries) == 3
    if "sync" in away:
        assert tries[-1].endswith(": learned cuda")


@pytest.mark.parametrize(("makes", "missing"), [
    ({"nvidia-smi": "nvidia0", "nvidia-modprobe": "nvidia-uvm"}, ""),
    ({"nvidia-smi": "nvidia0", "modprobe": "nvidia-uvm"}, ""),
    ({"nvidia-smi": "nvidia0", "nvidia-modprobe": ""}, "nvidia-uvm"),
    ({"nvidia-smi": "", "nvidia-modprobe": "nvidia-uvm"}, "nvidia0"),
    ({}, "nvidia")])
def test_the_nodes_of_a_gpu_stand_before_any_box_or_the_boot_fails(
        tmp_path: Path, makes: dict[str, str], missing: str) -> None:
    """What has no node to make is a program that fails."""
    dev = tmp_path / "dev"
    dev.mkdir()
    stubs = {f"bin/{name}": f"touch {dev}/{makes[name] or 'null'}" if name in makes else "false"
             for name in ("nvidia-smi", "nvidia-modprobe", "modprobe")}
    steps = SCRIPT[SCRIPT.index("\nunit() {"):SCRIPT.index("\nunit aether-logs")] + DEVICES
    ran, asked = run_head(tmp_path, "gpu", steps, stubs=stubs)
    assert (ran.returncode == 0) == ("went on" in ran.stdout) == (not missing)
    assert asked.count("bin/nvidia-smi: -L") == 1
    if missing:
        assert sum(one.endswith("failed the boot of gpu") for one in asked) == 1
        return
    assert "bin/nvidia-modprobe: -u -c 0" in asked
    assert f"{dev}/nvidia-uvm\n" in ran.stdout
    again = (tmp_path / "etc/systemd/system/aether-gpu.service.d/devices.conf").read_text()
    (dev / "nvidia-uvm").unlink()
    subprocess.run([again.partition("ExecStartPre=+")[2].strip()], env={"PATH": f"{tmp_path}/bin:/usr/bin:/bin"},
                   check=True, capture_output=True)
    assert (dev / "nvidia-uvm").exists(), "after a restart too"


def test_a_machine_without_a_gpu_is_asked_for_none(tmp_path: Path) -> None:
    stubs = dict.fromkeys(("bin/nvidia-smi", "bin/nvidia-modprobe", "bin/modprobe"), "false")
    ran, asked = run_head(tmp_path, "cpu", DEVICES, stubs=stubs)
    assert (ran.returncode, asked) == (0, [])


@pytest.mark.ci
@pytest.mark.parametrize(("nodes", "told"), [
    ((), r"gpu in a box: (RuntimeError: .*(?i:nvidia|cuda)|AssertionError: .*CUDA|ModuleNotFoundError: .*'torch')"),
    (("/dev/no-such",), r"bwrap: .*/dev/no-such: No such file(?s:.*)gpu in a box: NOT TRIED\n")])
def test_the_boot_log_tells_what_a_box_finds_of_the_gpu(tmp_path: Path, nodes: tuple[str, ...], told: str) -> None:
    """A box that is given none finds none, whatever the machine has; and what is to be bound is."""
    need_sandbox()
    steps = SCRIPT[SCRIPT.index("\nif [[ $ROLE == gpu ]]; then\n    cat >/opt/boot/in_a_box"):
                   SCRIPT.index('\nunit "aether-$ROLE')]
    ran, _ = run_head(tmp_path, "gpu", steps.replace("probe()", f"type(probe())(nodes={nodes})"),
                      stubs={"bin/runuser": f'exec {sys.executable} "${{@: -1}}"'})
    assert re.search(told, ran.stdout)
    assert "went on" in ran.stdout


def test_a_restart_of_the_logs_goes_on_where_they_were(tmp_path: Path) -> None:
    told, log = tmp_path / "sent.json", tmp_path / "boot.log"
    assert instance.already_sent(told) == {}
    instance.remember({log: 7}, told)
    instance.remember({log: 9}, told)
    assert instance.already_sent(told) == {log: 9}
    told.write_text("")
    assert instance.already_sent(told) == {}


def test_nothing_of_the_machines_own_runs_beside_an_experiment() -> None:
    """But on the orchestrator, which lives for months."""
    timers = "systemctl disable --now apt-daily.timer apt-daily-upgrade.timer"
    assert SCRIPT.partition(timers)[0].splitlines()[-2].startswith("if [[ $ROLE != orchestrator ]]; then")
    assert SCRIPT.index(timers) < SCRIPT.index("\nagain packages\n")


def test_all_that_runs_after_a_boot_runs_after_a_restart_too() -> None:
    for name in ("aether-logs", '"aether-$ROLE"'):
        assert f"systemctl enable --now {name}\n" in SCRIPT
    assert SCRIPT.count("WantedBy=multi-user.target") == SCRIPT.count("After=network-online.target") == 2
    assert "/swapfile none swap" in SCRIPT


def test_a_box_that_the_kernel_takes_for_memory_takes_no_worker_with_it() -> None:
    [unit] = re.findall(r'^unit "aether-\$ROLE\.service" <<END\n(.*?)^END$', SCRIPT, re.MULTILINE | re.DOTALL)
    assert "\nOOMPolicy=continue\n" in unit.partition("[Service]")[2].partition("[Install]")[0]
