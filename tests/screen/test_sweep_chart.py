"""The picture of a sweep."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from nasty import nasty_texts

from textgen.screen.sweep_chart import draw

NAMESPACE = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Varied:
    name: str
    values: tuple = ()
    ends: tuple[float, float] = (0, 0)
    log: bool = False


@dataclass(frozen=True)
class Trial:
    number: int
    loss: float | None
    state: str = "complete"
    settings: dict[str, Any] = field(default_factory=dict)


RATE = Varied("learning_rate", ends=(1e-3, 1e-1), log=True)
SIZE = Varied("hidden_size", values=(128, 256))


def elements(svg, kind):
    return list(ElementTree.fromstring(svg).iter(NAMESPACE + kind))


def trial(number, loss, rate, size=128, state="complete"):
    return Trial(number, loss, state, {"learning_rate": rate, "hidden_size": size})


def test_a_trial_stands_where_its_settings_and_its_loss_are():
    trials = [trial(2, 1.0, 1e-2), trial(1, 2.0, 1e-3), trial(3, 3.0, 1e-1, 256, "pruned")]
    dots = elements(draw("s", [RATE, SIZE], trials), "circle")
    assert len(dots) == 3 * 3
    over_rate = sorted(dots[3:6], key=lambda dot: float(dot.get("cx")))
    low, middle, high = (float(dot.get("cx")) for dot in over_rate)
    assert abs((low + high) / 2 - middle) < 0.2, "the scale is logarithmic"
    assert [dot.get("fill") == "none" for dot in over_rate] == [False, False, True]
    heights = [float(dot.get("cy")) for dot in over_rate]
    assert heights[2] < heights[0] < heights[1], "a lower loss stands lower"
    assert over_rate[1].get("r") == "5" and over_rate[1].get("fill") != over_rate[0].get("fill")
    assert len({dot.get("cx") for dot in dots[6:9]}) == 2


def test_the_best_so_far_only_falls():
    losses = [2.0, 3.0, 1.5, 1.8, 1.0]
    trials = sorted((Trial(n, x) for n, x in enumerate(losses, 1)), key=lambda t: t.loss)
    (line,) = (p.get("d") for p in elements(draw("s", [], trials), "path") if "V" in p.get("d"))
    heights = [float(y) for y in re.findall(r"V([\d.]+)", line)]
    assert len(heights) == 2 and heights == sorted(heights)


def test_a_few_bad_trials_do_not_press_the_others_together():
    trials = [trial(n, 1 + n / 100, 1e-2) for n in range(1, 9)] + [trial(9, 900.0, 1e-1)]
    svg = draw("s", [RATE], trials)
    heights = {float(dot.get("cy")) for dot in elements(svg, "circle")}
    assert max(heights) - min(heights) > 30
    assert len([p for p in elements(svg, "path") if p.get("d").endswith("z")]) == 2


def test_what_has_no_loss_is_left_out_and_nothing_at_all_can_be_drawn():
    assert elements(draw("s", [RATE], [Trial(1, None, "running")]), "circle") == []
    assert elements(draw("s", [RATE], [trial(1, 2.0, 1e-2)]), "circle")
    assert len(elements(draw("s", [SIZE], [trial(1, 2.0, 1e-2)]), "circle")) == 2


def test_nasty_names_give_a_sound_and_quiet_picture():
    for text in nasty_texts(50):
        name = text + "</svg><script>"
        varied = Varied(name, values=(name, "b"))
        svg = draw(name, [varied], [Trial(1, 1.0, "complete", {name: name})])
        root = ElementTree.fromstring(svg)
        kinds = ("svg", "g", "rect", "text", "title", "circle", "path")
        assert {element.tag for element in root.iter()} <= {NAMESPACE + kind for kind in kinds}
        assert not any(element.get("href") or element.get("style") for element in root.iter())


def test_a_triangle_is_explained_where_there_is_one():
    trials = [trial(n, 1 + n / 100, 1e-2) for n in range(1, 6)]
    assert "triangle" not in draw("s", [RATE], trials)
    assert "triangle" in draw("s", [RATE], [*trials, trial(6, 900.0, 1e-2)])
