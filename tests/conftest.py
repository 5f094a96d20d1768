"""What holds for every test: no account of a person is ever reached, and a failing random case can be repeated."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

pytest_plugins = ["support.dynamodb", "support.emulator", "support.templates", "support.account", "support.moto"]

# A slow machine is no failure, and the printed blob repeats a case anywhere.
settings.register_profile("house", deadline=None, print_blob=True)
settings.load_profile("house")

# Before any client is made: keys, profiles and endpoints of the person who runs the tests are out of reach, and
# so is the address that a cloud machine asks for its role.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ.update(
    AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull, AWS_EC2_METADATA_DISABLED="true"
)

# A suite that was started in the background inherits a Ctrl-C that is ignored, and so would every command under test.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    """A command that ran in this process may have set up its log, and the next test expects none."""
    yield
    structlog.reset_defaults()
