"""Nasty texts where they can stand: in models, runs, plugins, recipes, file names and words typed;
and a driver that runs many commands in one process, so that a thousand texts take seconds."""

from __future__ import annotations

import itertools
import json
import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from nasty import nasty_texts
from terminal_emulator import run_in_terminal

from step_models import lstm
from textgen import model_file
from textgen.contracts.tokenizer import Vocabulary

AT_ONCE = 500
"""Commands of one process."""

WIDE_TERMINAL, TERMINAL = 30_000, 250
"""Columns: tables and messages are seen unbroken; details are padded to the width, and compared
without white space."""

WIDE = [
    "\ufdfd" * 3,
    "e" + "\u0301" * 60,
    "Ｗｉｄｅ　全角",
    "한글" * 20,
    "\U0001f3f4\U000e0067\U000e007f",
    "نص",
]

OURS = {f"\x1b[{code}m" for code in ("0", "1", "2", "33", "36", "90", "1;31")}
OURS |= {f"\x1b[{code}" for code in ("1A", "K", "2K")}
OURS |= {f"\x1b[?{mode}{on}" for mode in ("7", "25", "2026") for on in "hl"}
"""Every code that our own styling sends. None of them stands in a nasty text but those to erase."""


def texts(count: int = 1000, seed: int = 7) -> list[str]:
    """``nasty_texts``, every seventh with something very wide or very high in it."""
    found = nasty_texts(count, seed)
    for number in range(0, count, 7):
        found[number] += WIDE[number // 7 % len(WIDE)]
    return found


def as_text(text: str) -> str:
    """What of ``text`` a file of UTF-8 may hold: no half characters, no NUL."""
    return "".join(c for c in text if c != "\0" and unicodedata.category(c) != "Cs")


def as_word(text: str) -> str:
    """What of ``text`` a person could type: bytes that are no UTF-8 are half characters."""
    kept = "".join(c for c in text if c in as_text(c) or "\udc80" <= c <= "\udcff")
    return os.fsdecode(os.fsencode(kept))


def as_name(text: str) -> str:
    """What of ``text`` a file may be called."""
    return os.fsdecode(os.fsencode(as_word(text).replace("/", "|"))[:180])


def as_toml(text: str) -> str:
    """A TOML string of ``text``, which may hold anything but half characters."""
    return '"' + "".join(f"\\U{ord(c):08x}" for c in text if not 0xD800 <= ord(c) < 0xE000) + '"'


def piped(text: str) -> bytes:
    """The bytes of ``text``; half characters that stand for a byte are that byte, others U+FFFD."""
    return b"".join(
        c.encode("utf-8", "surrogateescape") if 0xDC80 <= ord(c) <= 0xDCFF
        else b"\xef\xbf\xbd" if 0xD800 <= ord(c) <= 0xDFFF
        else c.encode("utf-8")
        for c in text
    )  # fmt: skip


def cell(text: str) -> bytes:
    """``text`` in a table or detail of a pipe, where line ends and tabs would break the line."""
    return piped(text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r"))


DRIVER = """
import fcntl, json, os, struct, sys, termios
os.chdir({place!r})
if {piped}:  # a file in its place, for it takes any amount
    os.dup2(os.open("standard-output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
from textgen import cli, registry
from textgen.screen import console
found = list(registry.installed(print))
registry.installed = lambda warn: found
console.prepare_streams()
for words in json.load(open("commands.json")):
    columns = {narrow} if {{"show", "doctor"}} & set(words) else {wide}
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    status = cli.run(words)
    for stream in {{sys.stdout, sys.stderr}}:
        if stream is sys.stderr or not stream.isatty():
            print("\\n" + {mark!r}, status, file=stream, flush=True)
"""
MARK = "==== textgen ended with"


@dataclass
class Said:
    """What one command left."""

    words: Sequence[str]
    status: int
    shown: str
    """All that is on the terminal."""
    out: bytes = b""
    """Standard output, where that was a pipe."""


def driven(
    place: Path,
    commands: Sequence[Sequence[str]],
    *,
    stdout_piped: bool = False,
    details: int = TERMINAL,
    **env: str,
) -> list[Said]:
    """Runs ``commands`` in the folder ``place``, each stream a terminal, or standard output a pipe.

    The emulator fails on codes no view of ours sends; here those with other parameters fail too.
    """
    if len(commands) > AT_ONCE:
        parts = [commands[n : n + AT_ONCE] for n in range(0, len(commands), AT_ONCE)]
        given = {"stdout_piped": stdout_piped, "details": details, **env}
        return [said for part in parts for said in driven(place, part, **given)]
    (place / "commands.json").write_text(json.dumps(commands), encoding="ascii")
    script = DRIVER.format(
        place=str(place), mark=MARK, piped=stdout_piped, wide=WIDE_TERMINAL, narrow=details
    )
    outcome = run_in_terminal(script, columns=WIDE_TERMINAL, rows=50, **env)
    assert not re.search(r"\x1b(?!\[)", outcome.raw)
    foreign = set(re.findall(r"\x1b\[[^A-Za-z]*[A-Za-z]", outcome.raw)) - OURS
    assert not foreign, f"codes that are not ours: {foreign}"
    if env.get("NO_COLOR"):
        plain = outcome.raw.replace("\r\n", "\n")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", plain)
    assert outcome.status == 0, outcome.screen.text[-2000:]
    ends = re.compile(rf"^{MARK} (\d+)$", re.MULTILINE)
    *shown, rest = ends.split(outcome.screen.text)
    assert not rest.strip()
    outs = []
    if stdout_piped:
        written = (place / "standard-output").read_bytes()
        outs = re.split(rf"\n{MARK} \d+\n".encode(), written)
    assert len(shown) == 2 * len(commands)
    return [
        Said(words, int(status), text.strip("\n"), out)
        for words, text, status, out in itertools.zip_longest(
            commands, shown[::2], shown[1::2], outs[: len(commands)], fillvalue=b""
        )
    ]


def nasty_model(words: Iterator[str], symbols: Sequence[str] = "abc") -> bytes:
    """A sealed model whose metadata is nasty wherever it holds a string, keys included."""
    step, info = lstm(hidden=4, embedding=2, symbols=(b"", *(piped(s) for s in symbols)))
    renamed = {state.name: as_text(next(words)) + state.name for state in info.states}
    _rename(step, renamed)

    def table(size: int) -> dict[str, str]:
        return {next(words) + str(n): next(words) for n in range(size)}

    losses = {"nats": 1.0, "bits": 1.4, "symbols": 10}
    training = {"steps": 1, "symbols": 2, "seconds": 3.0, "weights_of_step": 1}
    info = replace(
        info,
        cell=next(words),
        cell_distribution=next(words),
        cell_options=table(3),
        input=next(words),
        states=tuple(replace(state, name=renamed[state.name]) for state in info.states),
        vocabulary=Vocabulary((b"", *(piped(symbol) for symbol in symbols)), 0),
        tokenizer=next(words),
        tokenizer_distribution=next(words),
        tokenizer_data=table(1),
        split=table(2),
        corpus={"name": next(words), "sha256": next(words), "licence": next(words)},
        losses={"cold": losses, next(words): losses},
        training={**training, "precision": next(words), "device": next(words), **table(1)},
        toolkit=next(words),
        percentiles={next(words): 1.0},
        replacements=((re.escape(next(words)), next(words).replace("\\", r"\\")),),
    )
    return model_file.seal(step, info)


def _rename(model: onnx.ModelProto, names: dict[str, str]) -> None:
    for old, new in list(names.items()):
        names[f"{old}.next"] = f"{new}.next"
    for node in model.graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for value in (*model.graph.input, *model.graph.output):
        value.name = names.get(value.name, value.name)


def write_run(folder: Path, words: Iterator[str], samples: str) -> None:
    """A run that was interrupted, nasty wherever its files hold a string."""
    (folder / "checkpoints").mkdir(parents=True)
    described = {
        "format": 1,
        "cell": {
            "name": next(words),
            "options": {next(words): next(words)},
            "distribution": next(words),
            "version": next(words),
        },
        "corpus": {
            "name": next(words),
            "sha256": next(words),
            "licence": next(words),
            "packed": "0" * 24,
            "tokenizer": next(words),
        },
        "settings": {next(words) + str(number): next(words) for number in range(4)},
    }
    (folder / "run.json").write_text(json.dumps(described), encoding="ascii")
    losses = {"cold": {"nats": 1.5}, "carried": {"nats": 1.25}}
    last = {"step": next(words), "finished": False, **losses, next(words): next(words)}
    (folder / "metrics.jsonl").write_text(json.dumps(last) + "\n", encoding="ascii")
    (folder / "samples.txt").write_text(samples, encoding="utf-8", newline="")


PLUGINS = """
import dataclasses, json
from pathlib import Path
from textgen.contracts.hooks import hookimpl
from textgen.contracts.options import option
from textgen.contracts.sampler import Sampler

TEXTGEN_CONTRACT = 1
HERE = Path(__file__).parent

def made(words):
    kind, about, help, default, choice = words
    fields = [
        ("text", str, option(default, help, choices=(default, choice))),
        ("size", int, option(3, help, minimum=1)),
    ]
    options = dataclasses.make_dataclass("Options", fields, frozen=True)
    adjust = lambda self, logits, state, options: logits
    body = {"__doc__": about, "Options": options, "adjust": adjust, "__module__": __name__}
    return type(kind, (Sampler,), body)

GIVEN = json.loads((HERE / "samplers.json").read_text())
SAMPLERS = {name: made(words) for name, words in GIVEN.items()}

@hookimpl
def textgen_samplers():
    return SAMPLERS

@hookimpl
def textgen_corpora():
    return {path.stem: path for path in HERE.glob("recipe*.toml")}
"""
BROKEN = """
import json
from pathlib import Path
raise RuntimeError(json.loads((Path(__file__).parent / "reasons.json").read_text())[{number}])
"""


def as_entry(text: str) -> str:
    """What of ``text`` a distribution's metadata may hold: names and versions are lines."""
    return "x" + "".join(as_text(text).replace("=", "").split()) + "|"


def install_plugins(site: Path, words: Iterator[str], samplers: int, broken: int) -> list[str]:
    """Distributions of nasty names that promise samplers, recipes, and what does not load.

    Returns the names of the samplers.
    """
    site.mkdir()
    named = {}
    for _ in range(samplers):
        # the names and docstrings of classes hold no half characters
        kind, about = as_text(next(words)) or "x", as_text(next(words))
        named[as_entry(next(words))] = [kind, about, *(next(words) for _ in range(3))]
    (site / "samplers.json").write_text(json.dumps(named), encoding="ascii")
    (site / "reasons.json").write_text(json.dumps([next(words) for _ in range(broken)]))
    (site / "nasty_plugins.py").write_text(PLUGINS, encoding="utf-8")
    for number in range(broken):
        path = site / f"nasty_broken_{number}.py"
        path.write_text(BROKEN.format(number=number), encoding="utf-8")
        (site / f"recipe{number}.toml").write_text(recipe_text(words), encoding="ascii")
    lines = ["[textgen.samplers]", *(f"{name} = nasty_plugins" for name in named)]
    lines += [f"broken{number} = nasty_broken_{number}" for number in range(broken)]
    lines += ["[textgen.corpora]", *(f"recipe{number} = nasty_plugins" for number in range(broken))]
    info = site / "nasty-1.dist-info"
    info.mkdir()
    about = f"Metadata-Version: 2.1\nName: {as_entry(next(words))}\n"
    about += f"Version: {as_entry(next(words))}\n"
    (info / "METADATA").write_text(about, encoding="utf-8", newline="")
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8", newline="")
    return list(named)


def recipe_text(words: Iterator[str], path: str | None = None) -> str:
    """A recipe whose words are nasty; of the text at ``path``, or of one that is not there."""
    source = as_toml(next(words) if path is None else path)
    about = f"description = {as_toml(next(words))}\nlicence = {as_toml(next(words))}\n"
    return f"{about}[source]\npath = {source}\nmembers = [{as_toml(next(words))}]\n"
