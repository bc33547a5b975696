"""Are craters identified, and is nothing identified where there are none?

    python -m bench.identify views --seeds 500
    python -m bench.identify views --seeds 500 --attitude none
    python -m bench.identify views --seeds 500 --rough
    python -m bench.identify random --trials 1000
    python -m bench.identify prior --seeds 500
    python -m bench.identify apollo
    python -m bench.identify heights
    python -m bench.identify picture --out docs/images/identified.png

`views` and `random` take lunar_craters_5km.csv (24,520 craters) and the views that
`bench.crater_views` describes; with --rough the craters stand at heights that the catalogue does
not know (waves of 1.5 km and 1 km of scatter), and 15 % of them are not listed. `prior` takes the
fields and priors of `bench.prior_views`, `apollo` three photographs of 1971. `heights` is what the
Moon's heights are taken for where they are not known. Tables go to standard output, --json FILE
keeps them.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np

from bench.crater_views import ATTITUDE_SIGMA_RAD, CAMERA, View, crater_view, random_ellipses
from bench.identify_photographs import apollo, moon_heights
from bench.prior_views import prior_view, random_for
from bench.tables import data_folder, save, show
from trn.identify import CraterIndex, identify, identify_with_prior
from trn.identify.fit import fitted
from trn.identify.rims import five_of, lens_of, project_rims
from trn.maps.catalog import CraterCatalog
from trn.maps.catalog_file import read_catalog

GOALS = {
    "told": {"views": 98.0, "latency": 1000.0},
    "none": {"views": 90.0, "latency": 5000.0},
}
WRONG_PLACE = 0.03
"""Error over altitude beyond which a view counts as identified wrongly."""


def index_of_moon() -> CraterIndex:
    """The craters above 5 km, on the sphere."""
    return CraterIndex.of(catalog_of_moon())


def catalog_of_moon() -> CraterCatalog:
    """The craters above 5 km."""
    return read_catalog(data_folder() / "catalogs" / "lunar_craters_5km.csv").catalog


def rough_moon() -> tuple[CraterIndex, CraterIndex]:
    """Craters at heights, and what a catalogue without heights lists of them."""
    catalog = catalog_of_moon()
    generator = np.random.default_rng(5)
    wave = np.sin(9 * catalog.latitude + 1) * np.sin(7 * catalog.longitude)
    height = 1500.0 * wave + 1000.0 * generator.normal(size=len(catalog))
    chosen = catalog.chosen(generator.random(len(catalog)) > 0.15)
    listed = CraterIndex.of(chosen, height_known=False)
    return CraterIndex.of(catalog, height), listed


def options_of(view: View, attitude: str) -> dict[str, Any]:
    """What identify is told of the attitude."""
    if attitude == "none":
        return {}
    return {"quaternion_xyzw": view.told, "attitude_sigma_rad": ATTITUDE_SIGMA_RAD}


def best_possible(view: View, index: CraterIndex, attitude: str) -> float:
    """Error over altitude of the fit to the true matches with the true standard deviations."""
    held = np.flatnonzero(view.truth >= 0)
    true = view.ellipses.chosen(held)
    size = np.sqrt(true.values[:, 2] * true.values[:, 3])
    sigma = np.stack(
        [np.full(len(held), view.noise_px), np.minimum(view.noise_px, 0.15 * size)], -1
    )
    information = np.zeros((6, 6))
    rotation = view.pose.rotation_body_to_camera()
    told = rotation
    if attitude != "none":
        information[[3, 4, 5], [3, 4, 5]] = ATTITUDE_SIGMA_RAD**-2
        told = type(view.pose)(view.pose.position_m, view.told).rotation_body_to_camera()
    _, position, _, _ = fitted(
        rotation, view.pose.position_m, told, view.pose.position_m, information, five_of(true),
        sigma, index.centre, index.first, index.second, lens_of(CAMERA), view.truth[held], 6,
    )  # fmt: skip
    return float(np.linalg.norm(position - view.pose.position_m) / view.altitude_m)


def views(seeds: int, attitude: str, rough: bool) -> dict[str, Any]:
    """Matches, positions and times over synthetic views."""
    index = index_of_moon()
    listed = index
    if rough:
        index, listed = rough_moon()
    if attitude == "none":
        _ = listed.triads
    first = crater_view(index, 10_000)
    identify(first.ellipses, CAMERA, listed, **options_of(first, attitude))  # compiles
    due = right = wrong = 0
    known: list[float] = []
    bound: list[float] = []
    normed: list[float] = []
    latency: list[float] = []
    missed: list[dict[str, Any]] = []
    for seed in range(seeds):
        view = crater_view(index, seed)
        found = identify(view.ellipses, CAMERA, listed, **options_of(view, attitude))
        latency.append(found.latency_ms)
        true = int((view.truth >= 0).sum())
        due += true
        bound.append(best_possible(view, index, attitude))
        if found.pose is None or found.covariance is None:
            missed.append(
                {"seed": seed, "ellipses": len(view.truth), "true": true,
                 "noise px": view.noise_px, "log odds": found.log_odds}
            )  # fmt: skip
            continue
        truth = np.where(view.truth >= 0, index.id[view.truth], "")
        good = int((truth[found.detection] == found.ids).sum())
        right, wrong = right + good, wrong + len(found.crater) - good
        error = found.pose.position_m - view.pose.position_m
        known.append(float(np.linalg.norm(error) / view.altitude_m))
        normed.append(float(error @ np.linalg.solve(found.covariance[:3, :3], error)))
    lost = sum(error > WRONG_PLACE for error in known)
    goals = GOALS[attitude]
    rows = [
        _row("views identified, %", 100.0 * (len(known) - lost) / seeds, f">= {goals['views']:g}"),
        _row("views identified wrongly", lost, "0"),
        _row("right matches, % of true ellipses", 100.0 * right / due, ">= 98"),
        _row("wrong matches, % of those given", 100.0 * wrong / max(right + wrong, 1), "<= 0.5"),
        _row("position error, % of altitude, p50", 100.0 * _part(known, 50), ""),
        _row("position error, % of altitude, p95", 100.0 * _part(known, 95), "<= 0.5"),
        _row("the same, true matches and sigmas, p95", 100.0 * _part(bound, 95), ""),
        _row("normalised error squared, mean (3 where right)", float(np.mean(normed)), ""),
        _row("latency ms, p50", _part(latency, 50), ""),
        _row("latency ms, p95", _part(latency, 95), ""),
        _row("latency ms, most", max(latency), f"<= {goals['latency']:g}"),
    ]
    show(f"{seeds} views, attitude {attitude}{', rough Moon' if rough else ''}", rows)
    if missed:
        show("views not identified", missed)
    return {"views": rows, "missed": missed}


def random(trials: int, attitude: str) -> dict[str, Any]:
    """Ellipses of no craters: how many are called identified."""
    index = index_of_moon()
    odds, latency = [], []
    for seed in range(trials):
        view = crater_view(index, seed)
        found = identify(random_ellipses(index, seed), CAMERA, index, **options_of(view, attitude))
        odds.append((found.log_odds, found.identified))
        latency.append(found.latency_ms)
    rows = [
        _row("identified", sum(known for _, known in odds), "0"),
        _row("largest log odds (13.8 are asked for)", max(value for value, _ in odds), ""),
        _row("latency ms, p95", _part(latency, 95), ""),
    ]
    show(f"{trials} sets of random ellipses, attitude {attitude}", rows)
    return {"random": rows}


def prior(seeds: int) -> dict[str, Any]:
    """Matches near a believed pose 1.5 km and 0.1 deg off, and random ellipses there."""
    due = right = wrong = chance = empty = 0
    latency, work, error, normed = [], [], [], []
    for seed in range(-1, seeds):
        scene = prior_view(max(seed, 0))
        begun, used = perf_counter(), thread_time()
        found = identify_with_prior(scene.view.ellipses, CAMERA, scene.believed, scene.index)
        spent, busy = 1e3 * (perf_counter() - begun), 1e3 * (thread_time() - used)
        if seed < 0:  # compiles
            continue
        latency.append(spent)
        work.append(busy)
        due += int((scene.view.truth >= 0).sum())
        good = int((scene.view.truth[found.detection] == found.crater).sum())
        right, wrong = right + good, wrong + len(found) - good
        empty += not len(found)
        if len(found):
            off = found.estimate.pose.position_m - scene.view.pose.position_m
            error.append(float(np.linalg.norm(off) / scene.view.altitude_m))
            normed.append(float(off @ np.linalg.solve(found.estimate.covariance[:3, :3], off)))
        none = random_for(scene.view, seed)
        chance += bool(len(identify_with_prior(none, CAMERA, scene.believed, scene.index)))
    rows = [
        _row("views without matches", empty, ""),
        _row("right matches, % of true ellipses", 100.0 * right / due, ""),
        _row("wrong matches, % of those given", 100.0 * wrong / max(right + wrong, 1), "<= 0.5"),
        _row("position error, % of altitude, p50", 100.0 * _part(error, 50), ""),
        _row("position error, % of altitude, p95", 100.0 * _part(error, 95), ""),
        _row("normalised error squared, mean (3 where right)", float(np.mean(normed)), ""),
        _row("random ellipses that got matches", chance, "0"),
        _row("computing ms (one core), p50", _part(work, 50), "<= 5"),
        _row("computing ms (one core), p95", _part(work, 95), ""),
        _row("latency ms, p50", _part(latency, 50), "<= 5"),
        _row("latency ms, p95", _part(latency, 95), ""),
    ]
    show(f"{seeds} views with a prior", rows)
    return {"prior": rows}


def picture(path: Path, seed: int = 11_003) -> None:
    """One view: the ellipses as given, and what they were identified as, with no attitude told."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.collections import EllipseCollection

    index = index_of_moon()
    view = crater_view(index, seed)
    found = identify(view.ellipses, CAMERA, index)
    if found.pose is None:
        raise SystemExit("the view of the picture is not identified; choose another seed")
    rims = project_rims(
        CAMERA, found.pose, index.centre[found.crater], index.first[found.crater],
        index.second[found.crater],
    ).values  # fmt: skip
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5.7), layout="constrained")
    left = np.setdiff1d(np.arange(len(view.truth)), found.detection)
    good = view.truth[found.detection] == found.crater

    def draw(axis: Any, values: np.ndarray, color: str, label: str) -> None:
        axis.add_collection(
            EllipseCollection(
                2 * values[:, 2], 2 * values[:, 3], np.degrees(values[:, 4]), units="xy",
                offsets=values[:, :2], offset_transform=axis.transData, facecolors="none",
                edgecolors=color, linewidths=1.1,
            )
        )  # fmt: skip
        if label:
            axis.plot([], [], color=color, label=label)

    given = view.ellipses.values
    false = int((view.truth < 0).sum())
    draw(axes[0], given, "#555555", "")
    axes[0].set_title(
        f"given: {len(given)} ellipses, {false} of them false, noise {view.noise_px:.1f} px\n"
        f"({len(given) - false} of {view.in_sight} craters in sight; no position, no attitude)"
    )
    draw(axes[1], given[left], "#c8c8c8", "left over")
    draw(axes[1], rims[good], "#1a7a3a", "catalogue rims at the pose found, right")
    draw(axes[1], rims[~good], "#c03020", "wrong")
    error = np.linalg.norm(found.pose.position_m - view.pose.position_m)
    axes[1].set_title(
        f"found: {int(good.sum())} right, {int((~good).sum())} wrong; position within "
        f"{error / 1e3:.2f} km\nat an altitude of {view.altitude_m / 1e3:.0f} km"
    )
    for k in np.argsort(-rims[:, 2])[:8]:
        axes[1].annotate(
            found.ids[k], rims[k, :2], fontsize=7, ha="center", va="center", color="#1a7a3a"
        )
    for axis in axes:
        axis.set(xlim=(-0.5, 1023.5), ylim=(1023.5, -0.5), aspect="equal", xlabel="x, px")
    axes[0].set_ylabel("y, px")
    axes[1].legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=90)


def _row(what: str, value: float, goal: str) -> dict[str, Any]:
    return {"what": what, "measured": value, "goal": goal}


def _part(values: list[float], percent: float) -> float:
    return float(np.percentile(values, percent)) if values else float("nan")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "what", choices=["views", "random", "prior", "apollo", "heights", "picture"]
    )
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--attitude", choices=["told", "none"], default="told")
    parser.add_argument("--rough", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--out", type=Path, default=Path("identified.png"))
    given = parser.parse_args()
    if given.what == "picture":
        picture(given.out)
        return
    if given.what == "views":
        results = views(given.seeds, given.attitude, given.rough)
    elif given.what == "random":
        results = random(given.trials, given.attitude)
    else:
        results = {"prior": partial(prior, given.seeds), "apollo": apollo, "heights": moon_heights}[
            given.what
        ]()
    save(given.json, results)


if __name__ == "__main__":
    main()
