"""Many descents in several processes, each finished one kept in a log so that a run can go on."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy.stats import beta

from bench.descents import Flown, Options, branches, flown, scene
from trn.simulate.faults import Fault, parse_fault


@dataclass(frozen=True)
class Task:
    """One descent: its name in the log, scenario, track, seed, faults as text, and options.

    healthy_until_s: nothing is wrong before; descents that have this, and all but their faults, in
    common are flown once up to there. None: this one is flown alone.
    """

    key: str
    scenario: str
    aside_m: float
    seed: int
    faults: tuple[str, ...]
    options: Options
    cache: Path
    healthy_until_s: float | None = None

    def begins_as(self) -> tuple[object, ...]:
        """What descents have in common that begin as one."""
        alone = self.key if self.healthy_until_s is None else None
        same = self.scenario, self.aside_m, self.seed, self.options, self.healthy_until_s
        return (*same, alone)

    def parsed(self) -> list[Fault]:
        """Its faults."""
        return [parse_fault(text) for text in self.faults]


Measure = Callable[[Task, Flown], dict[str, Any]]


def _measured(work: tuple[list[Task], Measure]) -> list[dict[str, Any]]:
    """Results of descents that begin as one."""
    tasks, measure = work
    first = tasks[0]
    at = scene(first.scenario, first.cache, first.aside_m)
    if first.healthy_until_s is None:
        runs: Iterable[Flown] = (flown(at, t.seed, t.parsed(), t.options) for t in tasks)
    else:
        faults = (task.parsed() for task in tasks)
        runs = branches(at, first.seed, faults, first.options, first.healthy_until_s)
    return [{"key": task.key, **measure(task, run)} for task, run in zip(tasks, runs, strict=True)]


def gathered(
    tasks: Sequence[Task], measure: Measure, log: Path, workers: int
) -> list[dict[str, Any]]:
    """Results of all tasks, those of an earlier run taken from the log."""
    done = _logged(log)
    groups: dict[tuple[object, ...], list[Task]] = {}
    for task in tasks:
        if task.key not in done:
            groups.setdefault(task.begins_as(), []).append(task)
    log.parent.mkdir(parents=True, exist_ok=True)
    # Truth is made once, before processes share it.
    for name, aside_m, cache in dict.fromkeys((t[0].scenario, t[0].aside_m, t[0].cache)
                                              for t in groups.values()):  # fmt: skip
        scene(name, cache, aside_m)
    with log.open("a", encoding="utf-8") as stream:
        for results in _results([(group, measure) for group in groups.values()], workers):
            for result in results:
                done[result["key"]] = result
                stream.write(json.dumps(result) + "\n")
            stream.flush()
    return [done[task.key] for task in tasks]


def _results(
    todo: list[tuple[list[Task], Measure]], workers: int
) -> Iterable[list[dict[str, Any]]]:
    if workers <= 1:
        yield from map(_measured, todo)
        return
    # A forked process would wait for threads that only its parent has.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_measured, todo)


def _logged(log: Path) -> dict[str, dict[str, Any]]:
    done: dict[str, dict[str, Any]] = {}
    if not log.exists():
        return done
    for line in log.read_text(encoding="utf-8").splitlines():
        try:
            result = json.loads(line)
        except ValueError:
            continue
        done[result["key"]] = result
    return done


def interval(hits: int, count: int) -> str:
    """Clopper-Pearson interval of a share, 95 %."""
    low = 0.0 if hits == 0 else float(beta.ppf(0.025, hits, count - hits + 1))
    high = 1.0 if hits == count else float(beta.ppf(0.975, hits + 1, count - hits))
    return f"{100 * low:.2f} to {100 * high:.2f} %"
