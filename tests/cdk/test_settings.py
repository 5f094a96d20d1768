"""What a deploy may choose: a wrong key or value is refused with one line that names it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cdk.settings import Settings, from_context, lab_settings
from lab.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"email": "me@example.com", "monthlyBudget": "500"}


def test_text_of_the_command_line_and_values_of_cdk_json_say_the_same() -> None:
    typed = from_context({**GIVEN, "disposable": "true", "gpuMax": "7", "prefix": "mine"})
    assert typed == from_context({**GIVEN, "monthlyBudget": 500, "disposable": True, "gpuMax": 7, "prefix": "mine"})
    assert typed == Settings("me@example.com", 500, prefix="mine", disposable=True, gpu_max=7)
    assert typed.maximum("gpu") == 7


def test_several_models_are_told_with_commas_and_none_by_default() -> None:
    asked = from_context({**GIVEN, "llmSecret": "mine/key", "bedrockModel": "anthropic.a-v1:0, us.meta.b-v1:0"})
    assert (asked.llm_secret, asked.bedrock_models) == ("mine/key", ("anthropic.a-v1:0", "us.meta.b-v1:0"))
    assert (from_context(GIVEN).llm_secret, from_context(GIVEN).bedrock_models) == ("", ())


def test_images_are_for_fleets_that_may_have_machines_and_off_by_default() -> None:
    assert from_context(GIVEN).baked == ()
    assert from_context({**GIVEN, "bakedAmi": "true"}).baked == ("cpu", "gpu")
    assert from_context({**GIVEN, "bakedAmi": True, "gpuMax": "0"}).baked == ("cpu",)


def test_the_labs_own_settings_lie_beside_or_where_a_person_says_and_are_read_before_anything_is_made(
        tmp_path: Path) -> None:
    assert lab_settings(from_context(GIVEN), tmp_path) == ""
    (tmp_path / "aether.toml").write_text("[limits]\nminutes = 5\n")
    assert lab_settings(from_context(GIVEN), tmp_path) == "[limits]\nminutes = 5\n"
    other = from_context({**GIVEN, "settings": "other.toml"})
    with pytest.raises(UserError, match=r"settings=.*other.toml cannot be read"):
        lab_settings(other, tmp_path)
    (tmp_path / "other.toml").write_text("[limits]\nminuets = 5\n")
    with pytest.raises(UserError, match=r"other.toml:2: unknown key limits.minuets"):
        lab_settings(other, tmp_path)
    (tmp_path / "other.toml").write_text('[designers]\nfamilies = ["nosuch"]\n')
    with pytest.raises(UserError, match=r"has no family 'nosuch'(?s:.*)-c settings=/dev/null none"):
        lab_settings(other, tmp_path)


@pytest.mark.parametrize(("text", "says"), [
    ("[training]\njob_class = \"cpu\"\n", "runs on the fleet gpu"),
    ("[[clips]]\npath = \"a.mp4\"\nrole = \"score\"\n", "`aether clips add FILE"),
])
def test_what_no_lab_on_an_account_can_do_is_refused_before_it_is_deployed(
        tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "aether.toml").write_text(text)
    with pytest.raises(UserError, match=says):
        lab_settings(from_context(GIVEN), tmp_path)


def test_keys_of_cdk_itself_are_none_of_ours() -> None:
    own = {"@aws-cdk/aws-iam:minimizePolicies": True, "aws:cdk:enable-path-metadata": True}
    assert from_context({**GIVEN, **own}) == from_context(GIVEN)


@pytest.mark.parametrize(("wrong", "told"), [
    ({"emial": "x"}, "no setting is called emial; there are email, monthlyBudget, prefix"),
    ({"email": "me"}, "email=me is no mail address"),
    ({"monthlyBudget": "0"}, "monthlyBudget is at least 1"),
    ({"monthlyBudget": "5.5"}, "monthlyBudget=5.5 is no whole number: -c monthlyBudget=500"),
    ({"prefix": "Mine"}, "'Mine' is no lab's prefix"),
    ({"disposable": "yes"}, "disposable=yes is neither true nor false"),
    ({"gpuMax": "1000"}, "gpuMax=1000 is no size of a fleet: 0 to 100"),
    ({"cpuMax": "0"}, "cpuMax=0 is no size of a fleet: 1 to 100"),
    ({"zones": "1"}, "zones=1 is not 2 to 6"),
    ({"bakedAmi": "use"}, "bakedAmi=use is neither true nor false"),
    ({"llmSecret": "arn:aws:secretsmanager:eu-west-1:1:secret:x"}, "llmSecret='arn:.*' is no name of a secret"),
    ({"llmSecret": "a b"}, "llmSecret='a b' is no name of a secret"),
    ({"llmSecret": "x\nAETHER_X=1"}, r"llmSecret='x\\nAETHER_X=1' is no name"),
    ({"bedrockModel": "claude"}, "bedrockModel='claude' is no id of a model"),
    ({"bedrockModel": "a.b,"}, "bedrockModel='' is no id of a model"),
    ({"bedrockModel": "a.b*"}, r"bedrockModel='a.b\*' is no id of a model"),
])
def test_a_wrong_setting_is_named(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match="^" + told) as refused:
        from_context({**GIVEN, **wrong})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("missing", list(GIVEN))
def test_what_only_the_person_can_know_is_asked_for(missing: str) -> None:
    with pytest.raises(UserError, match=f"^{missing} is missing: npx cdk deploy --all -c {missing}=[^ ]*, or keep"):
        from_context({key: value for key, value in GIVEN.items() if key != missing})


def test_all_that_is_missing_is_asked_for_at_once() -> None:
    with pytest.raises(UserError, match=r"^email and monthlyBudget are missing: .* -c email=.* -c monthlyBudget="):
        from_context({})


def test_a_wrong_setting_is_refused_before_the_cdk_is_imported(tmp_path: Path) -> None:
    """Which takes seconds, and with a CDK that cannot be imported nothing else could be said."""
    (tmp_path / "aws_cdk.py").write_text("raise SystemExit('imported')\n")
    for chosen, told in ({**GIVEN, "email": "x"}, "aether: email=x is no mail address; say -c email=you@example.com"), \
                        (GIVEN, "imported"):
        environment = {"PYTHONPATH": str(tmp_path), "CDK_CONTEXT_JSON": json.dumps(chosen)}
        ran = subprocess.run([sys.executable, "-m", "cdk"], cwd=ROOT, env=environment, text=True, capture_output=True,
                             check=False)
        assert (ran.returncode, ran.stderr.strip()) == (1, told)
