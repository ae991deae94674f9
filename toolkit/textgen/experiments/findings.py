"""What a comparison has found, as one JSON object that its page, tables and plots are made from.

Losses are in nats a symbol of the test text, each document read from its beginning with its state
carried on; ``cold`` is the same text in windows of 256 symbols, each read from nothing.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from textgen.experiments.comparison_folder import read_result
from textgen.experiments.contenders import BUDGETS, SYMBOLS, TIME, Contender, Course
from textgen.experiments.contest import COMPLETE, FAILED, Contest, Terms, Tuned
from textgen.experiments.sentences import excluded, plus_minus, sentences
from textgen.experiments.space import OWN
from textgen.experiments.student import Estimate, estimate, holm, p_value
from textgen.training.settings import build_settings, settings_dict

_UNITS = {"characters": "character", "bytes": "byte", "words": "word"}
"""What a symbol is, by the tokenizer."""

UNFINISHED = "unfinished"


def findings(
    name: str,
    contest: Contest,
    contenders: Sequence[Contender],
    courses: Mapping[str, Course],
    terms: Terms,
    plan: Mapping[str, Any],
) -> dict[str, Any]:
    """All of it, from what is on the disk now; unfinished where runs are left."""
    corpus, target = terms.corpus, plan["parameters"]
    runs = _runs(contest)
    seeds = len(terms.seeds)
    cells = [
        _cell(c, courses[c.label], contest.tuned.get(c.label), runs, target, seeds)
        for c in contenders
    ]
    equal = max((cell[SYMBOLS] for cell in cells), key=lambda reached: int(reached["steps"]))
    found: dict[str, Any] = {
        "format": 1,
        "name": name,
        "finished": all(cell["state"] != UNFINISHED for cell in cells),
        "corpus": {
            "name": corpus.name,
            "sha256": corpus.sha256,
            "symbols": {part: corpus.symbols(part) for part in ("train", "validation", "test")},
        },
        "unit": _UNITS.get(corpus.tokenizer_name, "symbol"),
        "parameters": target,
        "budgets": {
            SYMBOLS: {"symbols": equal["symbols"], "steps": equal["steps"]},
            TIME: {"seconds": plan["seconds"]},
        },
        "trials": terms.trials,
        "varied": dict(terms.vary),
        "seeds": list(terms.seeds),
        "settings": {
            name: value
            for name, value in settings_dict(build_settings(terms.settings)).items()
            if name not in {"hidden_size", "seed", *OWN, *terms.vary}
        },
        "machine": plan["machine"],
        "reference": contenders[0].label,
        "cells": cells,
        "differences": _differences(runs, [c.label for c in contenders]),
        "runs": runs,
    }
    told = sentences(found) if found["finished"] else []  # what is half done tells nothing yet
    return found | {"sentences": told, "excluded": excluded(found)}


def _runs(contest: Contest) -> list[dict[str, Any]]:
    """The runs that have ended, a cell after the other."""
    found = []
    for training in contest.trainings():
        run = contest.folder_of(training)
        result = read_result(run)
        if result is None:
            continue
        test = result.get("test", {})
        found.append(
            {
                "run": run.name,
                "cell": training.contender.label,
                "budgets": list(training.budgets),
                "seed": training.seed,
                "state": result["state"],
                "reason": result.get("reason", ""),
                "steps": result.get("steps"),
                "symbols": result.get("symbols"),
                "seconds": result.get("seconds"),
                "carried": test["carried"]["nats"] if test else None,
                "cold": test["cold"]["nats"] if test else None,
                "curve": result.get("curve", []),
            }
        )
    return sorted(found, key=lambda run: (run["cell"], run["steps"] or 0, run["seed"]))


def _cell(
    contender: Contender,
    course: Course,
    tuned: Tuned | None,
    runs: Sequence[Mapping[str, Any]],
    target: int,
    seeds: int,
) -> dict[str, Any]:
    """A cell's row: what was settled, chosen and reached."""
    trials = tuned.trials if tuned else ()
    own = [run for run in runs if run["cell"] == contender.label]
    forms = {budget: _reached(budget, course, own) for budget in BUDGETS}
    speed = course.symbols_a_step / course.seconds_a_step if course.seconds_a_step else None
    row = {
        "cell": contender.label,
        **contender.described(),
        "hidden_size": course.hidden_size,
        "parameters": {
            "total": course.parameters,
            "embedding": course.embedding,
            "recurrent": course.recurrent,
            "head": course.head,
        },
        "differs": (course.parameters - target) / target,
        "kernel": course.kernel,
        "precision": course.precision,
        "symbols_per_second": speed,
        "seconds_a_step": course.seconds_a_step,
        "settings": dict(tuned.settings) if tuned else {},
        "trials": {
            "states": dict(Counter(trial.state for trial in trials)),
            "seconds": round(sum(trial.seconds for trial in trials), 2),
        },
        **forms,
    }
    state, reason = _state(course, tuned, own, seeds)
    return row | {"state": state, "reason": reason}


def _state(
    course: Course, tuned: Tuned | None, own: Sequence[Mapping[str, Any]], seeds: int
) -> tuple[str, str]:
    """How far a cell has come, and what became of it where it did not come to its end."""
    if course.failure or (tuned and tuned.reason):
        return FAILED, course.failure or (tuned.reason if tuned else "")
    if len(own) < seeds * len(set((course.steps or {}).values())):
        return UNFINISHED, ""
    reasons = [run["reason"] for run in own if run["reason"]]
    if any(run["state"] == COMPLETE for run in own):
        return COMPLETE, ""
    return FAILED, f"No run came to its end. {reasons[-1]}"


def _reached(budget: str, course: Course, own: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the runs of one budget reached, in the mean of those that came to their end."""
    counted = [run for run in own if budget in run["budgets"]]
    whole = [run for run in counted if run["state"] == COMPLETE]
    steps = (course.steps or {}).get(budget, 0)
    shown = [run["symbols"] for run in whole] or [steps * course.symbols_a_step]
    found: dict[str, Any] = {
        "steps": steps,
        "symbols": round(statistics.fmean(shown)),
        "runs": len(whole),
        "states": dict(Counter(run["state"] for run in counted)),
        "seconds": statistics.fmean(run["seconds"] for run in whole) if whole else None,
    }
    for how in ("carried", "cold"):
        found[how] = _told(estimate([run[how] for run in whole])) if whole else None
    return found


def _told(estimated: Estimate) -> dict[str, Any]:
    mean, half_width = estimated.mean, estimated.half_width
    return {"mean": mean, "interval": half_width, "text": plus_minus(mean, half_width)}


def _differences(runs: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Of each cell to the first, paired by seed: the same seed learns the text in the same
    order. ``p_holm`` is ``p`` corrected for the number of differences in the budget."""
    first, *others = labels
    found = []
    for budget in BUDGETS:
        told = []
        losses: dict[str, dict[int, float]] = {label: {} for label in labels}
        for run in runs:
            if run["state"] == COMPLETE and budget in run["budgets"]:
                losses[run["cell"]][run["seed"]] = run["carried"]
        for label in others:
            seeds = sorted(losses[label].keys() & losses[first].keys())
            values = [losses[label][seed] - losses[first][seed] for seed in seeds]
            if len(values) < 2:
                continue
            mean = estimate(values)
            told.append(
                {
                    "budget": budget,
                    "cell": label,
                    "to": first,
                    "seeds": seeds,
                    **_told(mean),
                    "p": p_value(values),
                    "beyond": mean.sure,
                }
            )
        corrected = holm([difference["p"] for difference in told])
        found += [d | {"p_holm": p} for d, p in zip(told, corrected, strict=True)]
    return found
