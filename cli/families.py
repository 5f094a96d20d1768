"""Which of a track's families a run on this machine explores: what is left out is said, what was asked for and cannot
run is refused, each with the fix."""

from __future__ import annotations

from collections.abc import Iterator

from gpu_workers.sandbox.devices import probe
from lab.errors import UserError
from lab.settings import Settings
from lab.track import Family, Track

FIX = "`make setup TORCH=cpu`, or TORCH=cuda, installs what learned families need"


def left_out(track: Track) -> Iterator[Family]:
    """Those that would be explored if what they need were installed."""
    return (family for family in track.families if family.space and family.missing())


def told(track: Track) -> str:
    """One line; empty where every family runs here."""
    words = [f"{family.name} (no {' and no '.join(family.missing())} here)" for family in left_out(track)]
    return f"left out: {', '.join(words)}; {FIX}" if words else ""


def require(track: Track, settings: Settings) -> None:
    """Raises UserError where the settings name a family that cannot run here or has no space to explore, pin what its
    space does not hold, or ask for a graphics processor that is not there; NotFound for a family that is not known."""
    if settings.training.job_class == "gpu":
        _require_gpu(settings)
    for name, pins in (settings.designers.pinned or {}).items():
        space = {dimension.name: dimension for dimension in track.family(name).space}
        for pin, value in pins.items():
            if pin not in space:
                raise UserError(f"designers.pinned: {name} has no {pin}; it has {', '.join(space)}")
            if not space[pin].holds(value):
                raise UserError(f"designers.pinned: {name}.{pin} = {value!r} is outside its space")
    for name in settings.designers.families or ():
        if not track.family(name).space:
            raise UserError(f"designers.families names {name}, which nobody explores; `aether run --candidate DIR` "
                            f"runs code of your own")
        if missing := track.family(name).missing():
            lacks = " and ".join(missing)
            raise UserError(f"designers.families names {name}, which needs {lacks}: not installed; {FIX}")


def _require_gpu(settings: Settings) -> None:
    if settings.prices.gpu_usd_h is None:
        raise UserError("training.job_class is gpu, and prices.gpu_usd_h is not set: what an hour of it costs you")
    if not probe().nodes:
        raise UserError("training.job_class is gpu, and this machine shows none: neither /dev/nvidia0 and "
                        "/dev/nvidiactl nor /dev/kfd; install its driver, or leave the setting out")
