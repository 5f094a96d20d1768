"""`aether work keep`, as a person gives it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.aws.keeping import TAG
from lab.backend import open_backend
from lab.clock import SystemClock, month_key
from support.account import Account
from support.commands import command
from support.moto import Machines


def test_a_machine_of_one_s_own_is_not_kept(tmp_path: Path) -> None:
    ended = command(tmp_path, "work", "keep", "i-0abc", "--backend", "local:lab")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "local:lab rents no machines; an instance is kept with --backend aws:PREFIX" in ended.stderr


@pytest.mark.ci
def test_a_worker_s_instance_is_kept_where_the_month_has_the_money(
        account: Account, machines: Machines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", machines.endpoint.url)
    prefix = account.deploy().prefix
    backend = f"aws:{prefix}"
    (id,) = machines.group(f"{prefix}-cpu", 2, 1, ("c5.xlarge",))
    machines.client("ec2").create_tags(Resources=[id], Tags=[{"Key": "aether:lab", "Value": prefix}])
    month, accounts = month_key(SystemClock().wall()), open_backend(backend).ledger.accounts
    accounts.set_cap(month, 10_000, op_id="little")
    refused = command(tmp_path, "work", "keep", id, "--backend", backend)
    assert refused.returncode == 2
    assert "30 minutes of c5.xlarge cost up to $0.0875, and $0.0100 of this month is free" in refused.stderr
    accounts.set_cap(month, 1_000_000, op_id="enough")
    kept = command(tmp_path, "work", "keep", id, "--minutes", "40", "--backend", backend)
    assert kept.returncode == 0, kept.stderr
    assert f"{id} (c5.xlarge) stays for 40 minutes, also without work, and costs up to $0.11" in kept.stdout
    office = open_backend(backend).ledger.office
    epoch = office.take_lease("daemon", host="there", pid=1, observed=None, op_id="lease")
    silent = command(tmp_path, "work", "keep", id, "--minutes", "40", "--backend", backend)
    for told in (kept, silent):
        assert "No daemon is seen to live that reserves for it" in told.stdout
    office.beat_daemon(epoch, 1)
    booked = command(tmp_path, "work", "keep", id, "--minutes", "40", "--backend", backend)
    assert (booked.returncode, "No daemon is seen to live" in booked.stdout) == (0, False)
    tags = machines.client("ec2").describe_tags(Filters=[{"Name": "key", "Values": [TAG]}])["Tags"]
    assert [(one["ResourceId"], one["Value"].partition(",")[0]) for one in tags] == [(id, "40 minutes")]
