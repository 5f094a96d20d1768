"""What a deploy may choose, read from the context: `cdk deploy -c email=me@example.com -c gpuMax=2`.

A wrong key or value is refused with one line. The defaults make a lab that costs little while it has no work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lab.aws.names import require_prefix
from lab.errors import UserError
from lab.experiment import JOB_CLASSES
from lab.settings import SETTINGS_FILE, parse, require_known, require_rented
from lab.track import load_track

MAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
SECRET = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")  # also what a shell and systemd read without quotes
MODEL = re.compile(r"[a-z0-9-]+\.[A-Za-z0-9.:_-]+")
KEYS = {"email": "email", "monthlyBudget": "monthly_budget_usd", "prefix": "prefix", "disposable": "disposable",
        "cpuMax": "cpu_max", "gpuMax": "gpu_max", "zones": "zones", "llmSecret": "llm_secret",
        "bedrockModel": "bedrock_models", "bakedAmi": "baked_ami", "settings": "settings_file"}

REQUIRED = {"email": "you@example.com", "monthlyBudget": "500"}  # with an example each


@dataclass(frozen=True)
class Settings:
    """Raises UserError for a value that no deploy can have."""

    email: str  # where reports and alarms go, once its owner has confirmed it
    monthly_budget_usd: int  # AWS mails at 70, 85 and 95 % of it; the lab's own cap is in its ledger
    prefix: str = "aether"
    disposable: bool = False  # `cdk destroy` leaves nothing, data included
    cpu_max: int = 4  # instances of each fleet; of this one at least 1, since what all is held against runs there
    gpu_max: int = 2
    zones: int = 3  # availability zones; more have more spot capacity, and some regions have only two
    llm_secret: str = ""  # name of a secret of the person's, which the orchestrator alone may read
    bedrock_models: tuple[str, ...] = ()  # ids of models or inference profiles, which the orchestrator alone may ask
    baked_ami: bool = False  # fleets start from images of their own, which a person has built (cdk/images.py)

    settings_file: str = ""  # the lab's own, for the first deploy; aether.toml where that is here

    def __post_init__(self) -> None:
        require_prefix(self.prefix)
        if not MAIL.fullmatch(self.email):
            raise UserError(f"email={self.email} is no mail address; say -c email=you@example.com")
        if self.monthly_budget_usd < 1:
            raise UserError("monthlyBudget is at least 1, in US dollars a month: -c monthlyBudget=500")
        for key, value, least in (("cpuMax", self.cpu_max, 1), ("gpuMax", self.gpu_max, 0)):
            if not least <= value <= 100:
                raise UserError(f"{key}={value} is no size of a fleet: {least} to 100 instances")
        if not 2 <= self.zones <= 6:
            raise UserError(f"zones={self.zones} is not 2 to 6 availability zones")
        if self.llm_secret and not SECRET.fullmatch(self.llm_secret):
            raise UserError(f"llmSecret={self.llm_secret!r} is no name of a secret; give the one that it has in "
                            f"Secrets Manager, not its ARN: -c llmSecret=openai-key")
        for model in self.bedrock_models:
            if not MODEL.fullmatch(model):
                raise UserError(f"bedrockModel={model!r} is no id of a model or an inference profile, as "
                                f"anthropic.claude-… or us.anthropic.claude-…; several with commas")

    def maximum(self, job_class: str) -> int:
        return {"cpu": self.cpu_max, "gpu": self.gpu_max}[job_class]

    @property
    def baked(self) -> tuple[str, ...]:
        """The job classes whose machines start from an image of their own: none that may have no machine."""
        return tuple(one for one in JOB_CLASSES if self.baked_ami and self.maximum(one))


def lab_settings(settings: Settings, here: Path = Path()) -> str:
    """The text of the lab's settings, empty where there are none. Raises UserError where no lab could have them."""
    file = here / (settings.settings_file or SETTINGS_FILE)
    if not settings.settings_file and not file.exists():
        return ""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"settings={file} cannot be read: {error}") from error
    try:
        parsed = parse(text, str(file))
        require_known(parsed, load_track(parsed.lab.track))
        require_rented(parsed)
    except UserError as error:  # also of a destroy, which must not wait for it
        raise UserError(f"{error}\n-c settings=FILE names another file, and -c settings=/dev/null none") from error
    return text


def from_context(context: Mapping[str, Any]) -> Settings:
    """CDK's own keys (`@aws-cdk/…`, `aws:cdk:…`, look-ups) are none of ours. Raises UserError."""
    asked = {key: value for key, value in context.items() if not key.startswith("@") and ":" not in key}
    for key in asked:
        if key not in KEYS:
            raise UserError(f"no setting is called {key}; there are {', '.join(KEYS)}")
    missing = {key: value for key, value in REQUIRED.items() if key not in asked}
    if missing:
        said = " ".join(f"-c {key}={value}" for key, value in missing.items())
        raise UserError(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing: npx cdk deploy --all "
                        f"{said}, or keep them in cdk.context.json, where every cdk command finds them")
    kinds = {field.name: str(field.type) for field in fields(Settings)}
    return Settings(**{KEYS[key]: _read(key, value, kinds[KEYS[key]]) for key, value in asked.items()})


def _read(key: str, value: Any, kind: str) -> Any:
    """`-c` gives text, cdk.json may give the value itself."""
    text = str(value).strip()
    if kind == "bool":
        if text.lower() not in ("true", "false"):
            raise UserError(f"{key}={text} is neither true nor false: -c {key}=true")
        return text.lower() == "true"
    if kind == "int":
        if not re.fullmatch(r"[0-9]{1,9}", text):
            raise UserError(f"{key}={text} is no whole number: -c {key}={REQUIRED.get(key, 2)}")
        return int(text)
    if kind == "tuple[str, ...]":
        return tuple(one.strip() for one in text.split(",")) if text else ()
    return text
