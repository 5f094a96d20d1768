"""What the curve track runs: `fit` finds coefficients from the training points, `score` measures them on others.

Chebyshev polynomials on [-1, 1], by ridge regression or by gradient descent from zero; no library, so that a phase
takes milliseconds.
"""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import msgspec

from gpu_workers.phase import BoundClip, Box, Refuse
from lab.experiment import Scores

Points = list[tuple[float, float]]


def fit(box: Box) -> None:
    start = time.perf_counter()
    params, points = box.spec.params, [point for clip in box.clips for point in read(Path(clip.path))]
    rows = [basis(x, int(params["degree"])) for x, _ in points]
    if box.spec.family == "polynomial":
        found = ridge(rows, [y for _, y in points], float(params["ridge"]))
    else:
        found = descent(box, rows, [y for _, y in points])
    if not all(math.isfinite(number) for number in found):
        raise Refuse("diverged", "a coefficient is no number")
    spent_ms = (time.perf_counter() - start) * 1e3
    (box.out / "curve.json").write_text(json.dumps({"coefficients": found, "fit_ms": spent_ms}))


def score(box: Box) -> None:
    curve = json.loads(box.inputs["fit/curve.json"].read_text())
    clips = {clip.name: _measured(clip, curve) for clip in box.clips}
    mean = {name: sum(c[name] for c in clips.values()) / len(clips) for name in next(iter(clips.values()))}
    scores = Scores(mean=dict(mean), clips={name: dict(c) for name, c in clips.items()}, device_class="cpu:test")
    (box.out / "scores.json").write_bytes(msgspec.json.encode(scores))


def _measured(clip: BoundClip, curve: dict[str, list[float]]) -> dict[str, float]:
    points, coefficients = read(Path(clip.path)), curve["coefficients"]
    errors = [y - value(coefficients, x) for x, y in points]
    mean = sum(y for _, y in points) / len(points)
    spread = sum((y - mean) ** 2 for _, y in points)
    noise = max(sum(error ** 2 for error in errors), 1e-12)
    return {"coefficients": float(len(coefficients)), "fit_db": 10 * math.log10(spread / noise),
            "fit_ms": float(curve["fit_ms"])}  # type: ignore[arg-type]


def read(path: Path) -> Points:
    pairs = (line.split(",") for line in path.read_text().split())
    return [(float(x), float(y)) for x, y in pairs]


def basis(x: float, degree: int) -> list[float]:
    return [math.cos(n * math.acos(max(-1.0, min(1.0, x)))) for n in range(degree + 1)]


def value(coefficients: list[float], x: float) -> float:
    return sum(c * b for c, b in zip(coefficients, basis(x, len(coefficients) - 1), strict=True))


def ridge(rows: list[list[float]], wanted: list[float], weight: float) -> list[float]:
    """Solves (RᵀR + weight · I) c = Rᵀ y by elimination; the matrix is positive definite."""
    size = len(rows[0])
    system = [[sum(row[i] * row[j] for row in rows) + weight * (i == j) for j in range(size)]
              + [sum(row[i] * y for row, y in zip(rows, wanted, strict=True))] for i in range(size)]
    for i in range(size):
        for k in range(i + 1, size):
            factor = system[k][i] / system[i][i]
            system[k] = [a - factor * b for a, b in zip(system[k], system[i], strict=True)]
    found = [0.0] * size
    for i in reversed(range(size)):
        found[i] = (system[i][size] - sum(system[i][j] * found[j] for j in range(i + 1, size))) / system[i][i]
    return found


def descent(box: Box, rows: list[list[float]], wanted: list[float]) -> list[float]:
    found, rate = [0.0] * len(rows[0]), float(box.spec.params["rate"])
    for step in range(int(box.spec.params["steps"])):
        errors = [sum(c * b for c, b in zip(found, row, strict=True)) - y for row, y in zip(rows, wanted, strict=True)]
        columns = zip(*rows, strict=True)
        slope = [2 * sum(e * b for e, b in zip(errors, column, strict=True)) / len(rows) for column in columns]
        found = [c - rate * s for c, s in zip(found, slope, strict=True)]
        box.progress(step=step, loss=sum(e * e for e in errors) / len(rows))
    return found
