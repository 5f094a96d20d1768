"""The codec track as the rest of the house knows it: families, metrics, objectives, goals, phases and anchors.

Found by its entry point. Imports no numpy, torch or PyAV: the orchestrator reads it on a machine that has none of them,
and only `facts`, `export` and `health` load what they need, when they are called.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_workers.codec.anchors import ANCHORS, derive
from gpu_workers.codec.explain import explain
from gpu_workers.codec.families.classic_space import SPACE as CLASSIC_SPACE
from gpu_workers.codec.families.hyperprior_space import SPACE as HYPERPRIOR_SPACE
from gpu_workers.codec.families.restore_space import SPACE as RESTORE_SPACE
from gpu_workers.codec.metrics import METRICS
from gpu_workers.codec.phases import DECODING_AGENT, ENCODING_AGENT, MODEL, TRAINING, phases
from lab.experiment import Experiment, Scores, Spec
from lab.space import When
from lab.track import Family, Goal, Health, Objective, Track

if TYPE_CHECKING:
    from lab.backend import Store

PROTOCOL = 1  # 1: psnr_y_db as the mean over frames, ffmpeg's luma SSIM, all bytes of the container
OBJECTIVES = (
    Objective(metric="bitrate_mbps", direction="min", reference=10.0, log=True),
    Objective(metric="psnr_y_db", direction="max", reference=25.0),
)
GOALS = (
    Goal(metric="bitrate_mbps", relation="<=", value=1.0),
    Goal(metric="psnr_y_db", relation=">=", value=35.0),
    Goal(metric="ssim", relation=">=", value=0.95),
    Goal(metric="decoder_teraops_frame", relation="<=", value=1.33),
)
CLASSIC = Family(name="classic", space=CLASSIC_SPACE)
RESTORE = Family(name="restore", space=RESTORE_SPACE, learned=True, trained=When("mode", ("generic",)),
                 needs=("torch", "constriction"), told=("scale", "crf", "channels", "mode"))
HYPERPRIOR = Family(name="hyperprior", space=HYPERPRIOR_SPACE, learned=True,
                    needs=("torch", "compressai", "constriction"), told=("transform", "frames", "price", "step"))
CANDIDATE = Family(name="candidate", space=(), agents=(ENCODING_AGENT, DECODING_AGENT))
FAMILIES = (CLASSIC, RESTORE, HYPERPRIOR, CANDIDATE)
NETWORK_METRICS = frozenset({"decoder_kmac_px", "decoder_teraops_frame"})


def _facts(path: Path) -> dict[str, Any]:
    from gpu_workers.codec.video import facts
    return facts(path)


def _not_applicable(spec: Spec) -> frozenset[str]:
    return NETWORK_METRICS if spec.family == CLASSIC.name else frozenset()


def _export(experiment: Experiment, store: Store, folder: Path) -> Sequence[str]:
    from gpu_workers.codec.export import export
    return export(experiment, store, folder)


def _health() -> Sequence[Health]:
    from gpu_workers.codec.health import health
    return health()


def _explain(scores: Scores) -> str:
    return explain(scores, GOALS)


TRACK = Track(name="codec", protocol=PROTOCOL, families=FAMILIES, metrics=METRICS, objectives=OBJECTIVES, goals=GOALS,
              phases=phases, anchors=ANCHORS, derive=derive, facts=_facts, not_applicable=_not_applicable,
              explain=_explain, model=f"train/{MODEL}", training=f"train/{TRAINING}", export=_export, health=_health,
              canary="gpu_workers.codec.canary:encode_eight_frames")
