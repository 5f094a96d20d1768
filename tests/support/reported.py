"""A laboratory worth reporting, built through the ledger: anchors, designers, failures, confirmations, pictures."""

from __future__ import annotations

from io import BytesIO
from math import log2
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from gpu_workers.codec.families.classic_space import as_people_run
from gpu_workers.codec.spec import TRACK
from lab.backend import Backend
from lab.experiment import Checkpoint, Experiment, Outcome, Scores, Spec, TrainingLimit
from lab.judging.champion import SEEDS
from lab.local.backend import open_local
from support.laboratory import Laboratory, experiment

NOW = 1_795_435_200.0  # 2026-11-23 12:00 UTC
SCORE, CONFIRM = "a" * 64, "b" * 64  # clip sets
NO_NETWORK = "not applicable: the decoder has no network"


class StandingClock:
    """Time stands until a test moves it."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def wall(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def scores(mbps: float, psnr_y_db: float, ssim: float = 0.97, **more: Any) -> Scores:
    """Of two clips, one a little harder than the other. `more` are fields of Scores."""
    mean: dict[str, float | None] = {"bitrate_mbps": mbps, "psnr_y_db": psnr_y_db, "ssim": ssim,
                                     "decoder_teraops_frame": None, "lpips": None}
    clips = {name: {**mean, "bitrate_mbps": mbps * factor, "psnr_y_db": psnr_y_db - gap}
             for name, factor, gap in (("drive", 1.1, 1.0), ("flower", 0.9, -1.0))}
    why = {"decoder_teraops_frame": NO_NETWORK, "lpips": "not available: torch is not installed"}
    return Scores(**{"mean": mean, "clips": clips, "why": why, "device_class": "cpu:test"} | more)


class ReportedLab:
    """A codec laboratory in a folder, with the steps that a report tells of."""

    def __init__(self, folder: Path) -> None:
        self.clock = StandingClock()
        self.backend: Backend = open_local(folder, create=True, clock=self.clock)
        self.ledger = self.backend.ledger
        self.lab = Laboratory(self.ledger.table, self.clock)
        self._count = 0

    def run(self, outcome: Outcome, params: dict[str, Any] | None = None, **fields: Any) -> str:
        """An experiment that ended so; gives its id."""
        given = self.proposal(params, **fields)
        return self.lab.end(given, outcome)

    def measured(self, mbps: float, psnr_y_db: float, ssim: float = 0.97, **fields: Any) -> str:
        found = scores(mbps, psnr_y_db, ssim, artefacts=fields.pop("artefacts", {}))
        return self.run(Outcome(verdict="partial", scores=found), **fields)

    def proposal(self, params: dict[str, Any] | None = None, **fields: Any) -> Experiment:
        self._count += 1
        point = params or as_people_run("x265", x265_crf=20.0 + self._count / 100)
        spec = Spec(track="codec", family="classic", params=point, clips=fields.pop("clips", SCORE),
                    seed=fields.pop("seed", 1), protocol=1)
        return experiment(f"e{self._count:05d}", spec, **{"designer": "evolution", **fields})

    def anchors(self) -> None:
        """Every anchor of the track, on straight curves."""
        for anchor in TRACK.anchors:
            crf = float(anchor.params.get("x265_crf") or anchor.params.get("svtav1_crf") or 10.0)
            mbps = 8.0 * 2 ** (-crf / 6)
            self.measured(mbps, 36 + 4 * log2(mbps), params=anchor.params, purpose="anchor", designer="anchor",
                          group=anchor.name, seed=0)

    def confirm(self, candidate: str, verdict: str = "success") -> None:
        """Its three confirmations."""
        of = self.ledger.experiment(candidate)
        for seed in SEEDS:
            found = Outcome(verdict=verdict, scores=scores(0.9, 37.5))  # type: ignore[arg-type]
            self.run(found, of.spec.params, purpose="confirm", clips=CONFIRM, seed=seed, group=candidate,
                     parents=(candidate,))

    def trained(self, claims: list[dict[str, Any]], outcome: Outcome) -> str:
        """A network that left this series of claims, and ended so."""
        params = {"crf": 40.0, "scale": "full", "gop_frames": 64, "bit_depth": 8, "channels": 8, "mode": "generic"}
        limit = TrainingLimit(steps=100 + self._count)
        given = self.proposal()
        spec = msgspec.structs.replace(given.spec, family="restore", params=params, limit=limit)
        id, fence = self.lab.start(experiment(given.id, spec, designer="evolution"))
        left = {"training.json": self.backend.store.put_bytes(msgspec.json.encode(claims)),
                "weights.safetensors": self.backend.store.put_bytes(f"weights of {id}".encode())}
        self.ledger.checkpointed(id, fence, "train", Checkpoint(outputs=left, done=True, seconds=12.5),
                                 op_id=self.lab.op())
        self.lab.finish(id, fence, outcome)
        self.lab.settle(f"{id}.{fence}")
        return id

    def picture(self, colour: str) -> str:
        """A small WebP in the store; gives its hash."""
        data = BytesIO()
        Image.new("RGB", (16, 9), colour).save(data, "WEBP")
        return self.backend.store.put_bytes(data.getvalue())
