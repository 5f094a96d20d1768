from pathlib import Path

import pytest

from gpu_workers.codec.contract import EncodeInfo, load_decoding_agent, load_encoding_agent
from gpu_workers.codec.decoder.decode import AGENTS
from gpu_workers.codec.families import ENCODERS
from gpu_workers.codec.spec import TRACK
from lab.errors import UserError
from support.streams import QUICK, crop, decoded, header_of, stream


def test_every_built_in_family_has_its_two_agents() -> None:
    assert set(ENCODERS) == set(AGENTS)
    for family in (name for name in ENCODERS if not TRACK.family(name).missing()):  # with torch, `ci` loads the rest
        load_encoding_agent(ENCODERS[family])
        load_decoding_agent(AGENTS[family])


def test_a_built_in_family_goes_through_the_door_that_an_outside_one_takes(tmp_path: Path) -> None:
    clip = crop("walk_480p30", 3, 64, 64)
    agent = load_encoding_agent(ENCODERS["classic"])
    info = EncodeInfo(video=clip.info, params=QUICK["svtav1"], scratch=tmp_path)
    assert len(decoded(stream(header_of(clip.info), agent.encode(clip, info, None)))) == 3


def test_an_agent_is_a_file_with_a_function(tmp_path: Path) -> None:
    file = tmp_path / "encoding_agent.py"
    file.write_text("def encode(frames, info, model):\n    return []\n")
    assert callable(load_encoding_agent(file).encode)
    with pytest.raises(UserError, match="'decode'"):
        load_decoding_agent(file)
    with pytest.raises(UserError, match="no Python file"):
        load_encoding_agent(tmp_path / "missing.py")
