"""Learning text: symbols a second and losses after equal time, ours beside a plain PyTorch script.

    python benchmarks/training.py [--quick] [--cells lstm gru rnn mgu] [--sizes 1x256 2x128]
                                  [--minutes 1] [--text FILE] [--device cpu] [--json FILE]

The script is what a good user writes: an embedding, nn.LSTM or the like, a linear head, Adam,
random windows, clipping and dropout; (a) in float32, (b) under bfloat16 autocast. Speed: all forms
take turns in each round, and medians are shown. Loss: each learns the same text for the same time,
alone, and is evaluated on cold windows of the last tenth, the clock stopped; the script with a
constant learning rate of 2e-3, ours with its defaults. Speed takes some ten minutes, ``--quick``
three; the losses three times ``--minutes`` a cell.

``mgu`` is a cell as anyone's plugin, with no scan of its own; its script is the same equations in a
loop. On a GPU ours may run them in CUDA graphs, and says so. ``of limit`` is the share of what the
device does in products of large square matrices, in the better precision, counting 6 operations a
weight and symbol.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from measuring import Contestant, processor, take_turns
from rich import box
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from yardsticks import MGU

import textgen
from textgen import runs
from textgen.chosen import Chosen
from textgen.contracts.cell import Cell, Layer
from textgen.contracts.optimizer import Optimizer
from textgen.corpus.packed import PackedCorpus
from textgen.registry import discover
from textgen.training.device import autocast, fastest, synchronize
from textgen.training.evaluation import Evaluator
from textgen.training.learner import Learner
from textgen.training.network import Network
from textgen.training.optimizers import learning_rate
from textgen.training.plan import Plan, make_plan
from textgen.training.settings import Settings

CELLS = ("lstm", "gru", "rnn", "mgu")
SIZES = {"1x256": 32, "1x384": 32, "2x128": 50, "2x512": 128}
"""Layers and width, and the batch that each is taught with."""
LENGTH = 64
EVALUATIONS = 12
MARKS = (1.88, 1.65)
"""Losses whose time is told: nanoGPT's configuration for CPUs, and one below the best n-gram."""
_SQUARE = {"cpu": 1024, "cuda": 8192}
"""Rows of the matrices whose product is the limit."""


class Loop(nn.Module):
    """Layers of a cell that is stepped, as torch's modules are called."""

    def __init__(self, embedding: int, size: int, layers: int, dropout: float) -> None:
        super().__init__()
        widths = [embedding, *[size] * (layers - 1)]
        self.layers: Any = nn.ModuleList(MGU(Layer(width, size)) for width in widths)
        self.dropout = nn.Dropout(dropout)

    def forward(self, xs: Tensor) -> tuple[Tensor, None]:
        for cell in self.layers:
            xs, _ = Cell.scan(cell, self.dropout(xs), cell.initial_state(xs.shape[1]))
        return xs, None


MODULES: dict[str, Callable[..., Any]] = {
    "lstm": nn.LSTM,
    "gru": nn.GRU,
    "rnn": nn.RNN,
    "mgu": Loop,
}
FORMS = ("ours", "script fp32", "script bf16")


class Script(nn.Module):
    """The plain network of a plain script; E embedding size, H hidden size, V vocabulary."""

    def __init__(self, cell: str, vocabulary: int, layers: int, settings: Settings) -> None:
        super().__init__()
        size, embedding = settings.hidden_size, settings.embedding_size
        inner = settings.dropout if layers > 1 else 0.0
        self.embedding = nn.Embedding(vocabulary, embedding)
        self.layers = MODULES[cell](embedding, size, layers, dropout=inner)
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(size, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        """(T, B) to logits (T, B, V)."""
        ys, _ = self.layers(self.embedding(tokens))
        logits: Tensor = self.head(self.dropout(ys))
        return logits


class ScriptLearner:
    """Its training: random windows of the text, Adam, a constant learning rate."""

    def __init__(
        self, cell: str, corpus: PackedCorpus, settings: Settings, precision: str, device: str
    ) -> None:
        torch.manual_seed(settings.seed)
        self._settings, self._precision, self._device = settings, precision, torch.device(device)
        self.script = Script(cell, corpus.vocabulary.size, settings.layers, settings).to(device)
        self._optimizer = torch.optim.Adam(self.script.parameters(), 2e-3)
        (start, end), *_ = corpus.spans("train")
        self._text = torch.from_numpy(corpus.ids[start:end].astype("int64")).to(device)

    def step(self) -> None:
        length, rows = self._settings.sequence_length, self._settings.batch_size
        starts = torch.randint(len(self._text) - length - 1, (rows,), device=self._device)
        places = starts + torch.arange(length + 1, device=self._device).unsqueeze(1)
        window = self._text[places]
        self._optimizer.zero_grad()
        with autocast(self._device, self._precision):
            logits = self.script(window[:-1])
            loss = cross_entropy(logits.flatten(0, 1), window[1:].flatten())
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.script.parameters(), 1.0)
        self._optimizer.step()

    def into(self, network: Network, start: int) -> Network:
        """``network`` with these weights; the script has no boundary, and begins as after the
        symbol ``start``."""
        named = {f"cells.{i}.{name}": f"layers.{name}_l{i}" for i in range(len(network.cells))
                 for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}  # fmt: skip
        found = self.script.state_dict()
        weights = {ours: found[theirs] for ours, theirs in named.items()}
        weights |= {n: found[n].clone() for n in ("embedding.weight", "head.weight", "head.bias")}
        weights["embedding.weight"][0] = weights["embedding.weight"][start]
        network.load_state_dict(weights)
        return network


@dataclass
class Case:
    """A cell of one size, to be taught one text."""

    cell: str
    size: str
    corpus: PackedCorpus
    settings: Settings

    def network(self) -> Network:
        chosen = runs.choose_cell(MGU if self.cell == "mgu" else self.cell, {}, discover())
        setup = runs.Setup(self.corpus, chosen, self.settings, self.optimizer())
        return runs.fresh_network(setup).to(self.settings.device)

    def optimizer(self) -> Chosen[Optimizer]:
        return runs.choose_optimizer(None, {}, discover())

    def learner(self) -> tuple[Learner, Plan]:
        """Ours, and how it chose to run."""
        network = self.network().train()
        learner = Learner(network, self.corpus, self.settings, self.optimizer())
        plan = make_plan(learner, replace(self.settings, steps=1), None)
        learner.network.use_graphs(plan.graphs)
        return learner, plan

    def script(self, form: str) -> ScriptLearner:
        precision = "bfloat16" if form.endswith("bf16") else "float32"
        return ScriptLearner(self.cell, self.corpus, self.settings, precision, self.settings.device)


def limit(device: torch.device) -> float:
    """Operations a second in products of large square matrices, in the better precision."""
    rows = _SQUARE.get(device.type, 1024)

    def rate(precision: str) -> float:
        kind = torch.bfloat16 if precision == "bfloat16" else torch.float32
        a, b = torch.randn(2, rows, rows, device=device).to(kind)
        return 2 * rows**3 / fastest(lambda: a @ b, device)

    return max(map(rate, ("float32", "bfloat16")))


def operations(network: Network) -> int:
    """Of learning one symbol, about: two for each weight that is multiplied with, forward, and
    twice as many backward."""
    multiplied = [*network.stack(), network.head]
    return 6 * sum(p.numel() for part in multiplied for p in part.parameters() if p.dim() > 1)


def speeds(case: Case, repeats: int, seconds: float) -> tuple[dict[str, float], Plan, float]:
    """Symbols a second of each form, how ours ran, and its share of the limit."""
    learner, plan = case.learner()
    device = learner.device
    steps: list[Callable[[], object]] = [lambda: learner.step(1e-3, plan.precision)]
    steps += [case.script(form).step for form in FORMS[1:]]

    def repeated(step: Callable[[], object]) -> Callable[[int], None]:
        def run(turns: int) -> None:
            for _ in range(turns):
                step()
            synchronize(device)

        return run

    found = take_turns([Contestant(repeated(s), 10_000) for s in steps], repeats, seconds)
    symbols = case.settings.batch_size * case.settings.sequence_length
    told = {form: speed.median * symbols for form, speed in zip(FORMS, found, strict=True)}
    return told, plan, told["ours"] * operations(learner.network) / limit(device)


def curve(case: Case, form: str, seconds: float) -> Iterator[tuple[float, float]]:
    """Seconds and the loss then, in nats on cold windows of the validation text."""
    spans, vocabulary = case.corpus.spans("validation"), case.corpus.vocabulary
    evaluator = Evaluator(case.corpus.ids, spans, vocabulary.boundary)
    start = vocabulary.symbols.index(b"\n")
    if form == "ours":
        learner, plan = case.learner()
        network = learner.network
        with learner.untouched():
            began = time.perf_counter()
            for _ in range(20):
                learner.step(0.0, plan.precision)
            synchronize(learner.device)
            steps = round(seconds * 20 / (time.perf_counter() - began))
    else:
        script, network = case.script(form), case.network()
    device, passed, number, evaluated = network.head.weight.device, 0.0, 0, 0
    began = time.perf_counter()
    while passed < seconds and (form != "ours" or number < steps):
        if form == "ours":
            learner.step(learning_rate(case.settings, number, steps), plan.precision)
        else:
            script.step()
        passed, number = time.perf_counter() - began, number + 1
        if passed >= seconds * (evaluated + 1) / EVALUATIONS:
            synchronize(device)  # what it was given to do is part of the time
            passed, evaluated = time.perf_counter() - began, evaluated + 1
            shown = network if form == "ours" else script.into(network, start)
            yield passed, evaluator.cold(shown).nats
            began = time.perf_counter() - passed
    synchronize(device)
    passed = time.perf_counter() - began
    shown = network if form == "ours" else script.into(network, start)
    yield passed, evaluator.cold(shown).nats


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=CELLS)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--minutes", type=float, default=0.0, help="Of each learning curve.")
    parser.add_argument("--text", default="shakespeare", help="A corpus; its end validates.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    corpus = textgen.open_corpus(arguments.text, split="tail", split_sizes=(90, 10, 0))
    console, found = Console(), []
    usual = Settings(device=arguments.device, sequence_length=LENGTH)
    shares = ("x fp32", "x better", "of limit")
    table = Table("cell", "size", *FORMS, *shares, "ours in", box=box.SIMPLE)
    for cell in arguments.cells:
        for size in arguments.sizes:
            layers, width = map(int, size.split("x"))
            settings = replace(usual, layers=layers, hidden_size=width, batch_size=SIZES[size])
            case = Case(cell, size, corpus, settings)
            speed, plan, share = speeds(case, *((3, 0.5) if arguments.quick else (5, 1.5)))
            way = plan.precision + (", CUDA graphs" if plan.graphs else "")
            found.append({"cell": cell, "size": size, "symbols a second": speed, "of limit": share})
            ours, plain, bf16 = speed.values()
            row = [f"{value:,.0f}" for value in speed.values()]
            ratios = f"{ours / plain:.2f}", f"{ours / max(plain, bf16):.2f}"
            table.add_row(cell, size, *row, *ratios, f"{share:.0%}", way)
    where = processor()
    if arguments.device.startswith("cuda"):
        where = torch.cuda.get_device_name(arguments.device)
    console.print(f"Symbols a second in training, {where}", table)
    if arguments.minutes:
        console.print(*_losses(arguments, corpus, usual, found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def _losses(
    arguments: argparse.Namespace, corpus: PackedCorpus, settings: Settings, found: list[Any]
) -> tuple[str, Table]:
    marks = [f"seconds to {mark}" for mark in MARKS]
    table = Table("cell 1x256", "form", "nats at the end", *marks, box=box.SIMPLE)
    for cell in arguments.cells:
        if cell == "mgu":  # its script is the plugin itself
            continue
        for form in FORMS:
            case = Case(cell, "1x256", corpus, settings)
            points = list(curve(case, form, 60 * arguments.minutes))
            found.append({"cell": cell, "form": form, "curve": points})
            reached = [next((s for s, loss in points if loss <= mark), None) for mark in MARKS]
            shown = [f"{seconds:.0f}" if seconds else "" for seconds in reached]
            table.add_row(cell, form, f"{points[-1][1]:.3f}", *shown)
    return f"Losses after {arguments.minutes:g} minutes", table


if __name__ == "__main__":
    main()
