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

from bench.descents import Flown, Options, flown, scene
from trn.simulate.faults import Fault, parse_fault


@dataclass(frozen=True)
class Task:
    """One descent: its name in the log, scenario, track, seed, faults as text, and options."""

    key: str
    scenario: str
    aside_m: float
    seed: int
    faults: tuple[str, ...]
    options: Options
    cache: Path


def _run(task: Task) -> tuple[Task, Flown]:
    faults: list[Fault] = [parse_fault(text) for text in task.faults]
    at = scene(task.scenario, task.cache, task.aside_m)
    return task, flown(at, task.seed, faults, task.options)


def _measured(work: tuple[Task, Callable[[Task, Flown], dict[str, Any]]]) -> dict[str, Any]:
    task, measure = work
    return {"key": task.key, **measure(*_run(task))}


def gathered(
    tasks: Sequence[Task],
    measure: Callable[[Task, Flown], dict[str, Any]],
    log: Path,
    workers: int,
) -> list[dict[str, Any]]:
    """Results of all tasks, those of an earlier run taken from the log."""
    done = _logged(log)
    todo = [(task, measure) for task in tasks if task.key not in done]
    log.parent.mkdir(parents=True, exist_ok=True)
    # Truth is made once, before processes share it.
    for name, aside_m in dict.fromkeys((task.scenario, task.aside_m) for task, _ in todo):
        scene(name, todo[0][0].cache, aside_m)
    with log.open("a", encoding="utf-8") as stream:
        for result in _results(todo, workers):
            done[result["key"]] = result
            stream.write(json.dumps(result) + "\n")
            stream.flush()
    return [done[task.key] for task in tasks]


def _results(todo: list[Any], workers: int) -> Iterable[dict[str, Any]]:
    if workers <= 1:
        yield from map(_measured, todo)
        return
    # A forked process would wait for threads that only its parent has.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_measured, todo, chunksize=4)


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
