"""What the functions carry: locked packages for their own machine, all that the agents import and nothing more."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

from cdk import packages
from gpu_workers.codec.spec import TRACK
from lab.errors import UserError
from support.reported import ReportedLab
from support.templates import need_layer

RUNTIME = ("boto3", "botocore", "dateutil", "jmespath", "s3transfer", "six", "urllib3")  # what AWS's runtime brings
ONLY = """
import sys
from importlib.machinery import PathFinder

class Only:
    def find_spec(self, name, path=None, target=None):
        found = PathFinder.find_spec(name) if path is None and name not in allowed else None
        if found and "site-packages" in (found.origin or ""):
            raise ModuleNotFoundError(f"the functions have no package {name}", name=name)

allowed = sys.argv.pop(1).split()
sys.meta_path.insert(0, Only())
import lab.aws.backend
from agents import reporter
sys.exit(reporter.main(sys.argv[1:]))
"""


def names() -> set[str]:
    """Modules of the layer, by the list that each package brought."""
    layer = str(need_layer() / "python")
    found = {Path(file).parts[0] for one in distributions(path=[layer]) for file in one.files or ()}
    return {name.removesuffix(".py") for name in found if not name.endswith(".dist-info")}


@pytest.mark.ci
def test_they_are_for_arm_and_the_python_of_the_runtime_and_as_locked() -> None:
    folder = need_layer()
    made = list(folder.rglob("*.so"))
    assert {path.name.split(".", 1)[1] for path in made} == {"cpython-312-aarch64-linux-gnu.so"}
    assert {path.read_bytes()[18] for path in made} == {0xB7}, "the machine that an ELF file names: AArch64"
    versions = {line.split(" ")[0] for line in packages.LOCK.read_text().splitlines() if "==" in line}
    found = {f"{one.name.lower().replace('_', '-')}=={one.version}"
             for one in distributions(path=[str(folder / "python")])}
    assert found == versions | {"aether-lab==0.1.0"}


@pytest.mark.ci
def test_the_tracks_are_found_there() -> None:
    [track] = [point for one in distributions(path=[str(need_layer() / "python")]) for point in one.entry_points
               if point.group == "aether.tracks"]
    assert (track.name, track.load()) == ("codec", TRACK)


@pytest.mark.ci
def test_a_report_is_composed_with_nothing_else_installed(tmp_path: Path) -> None:
    lab = ReportedLab(tmp_path / "lab")
    lab.anchors()
    lab.measured(0.8, 37.0)
    allowed = " ".join((*names(), *RUNTIME))
    done = subprocess.run([sys.executable, "-c", ONLY, allowed, lab.backend.address, "2026-11-23T12", "a test"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [one.key for one in lab.ledger.office.reports()] == ["2026-11-23T12"]


def test_what_is_not_here_or_was_made_from_another_lock_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "STAMP", tmp_path / "lambda.sum")
    with pytest.raises(UserError, match="run `make cloud`"):
        packages.layer()
    packages.STAMP.write_text("of another lock")
    with pytest.raises(UserError, match="run `make cloud`"):
        packages.layer()
