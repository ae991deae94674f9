"""Row 21: a thousand nasty texts through every command, wherever a text can come from.

On a terminal they are seen and never obeyed, neither by the terminal nor as rich's markup; standard
output in a pipe gets their bytes.
"""

from __future__ import annotations

import inspect
import itertools
import json
import re
import sys
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from nasty_places import (
    WIDE_TERMINAL,
    as_name,
    as_text,
    as_toml,
    as_word,
    cell,
    driven,
    install_plugins,
    nasty_model,
    piped,
    recipe_text,
    texts,
    write_run,
)
from terminal_emulator import run_in_terminal

import textgen
from soak import SOAK, count
from step_models import lstm
from textgen import model_file
from textgen.runtime import session_file
from textgen.runtime.history import Settings
from textgen.screen.safe import one_line, visible

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")

TEXTS = texts(count(1000, 5000))
EVERYWHERE = [{}, {"NO_COLOR": "1"}]
MODELS, PROMPTS = count(36, 180), count(40, 1000)


def assert_shown(strings, said):
    """Each of the strings is on the terminal, whole, in its visible form."""
    shown = "".join(said.shown.split())
    for text in strings:
        assert "".join(one_line(text).split()) in shown, repr(text)


def assert_told(strings, said):
    """Each of the strings is in the pipe, but for the line ends and tabs of tables."""
    for text in strings:
        assert cell(text) in said.out, repr(text)


def of_model(path):
    """Every string that the details of a model show."""
    info = model_file.read(path).info
    about = [*info.corpus.values(), *info.cell_options, *info.cell_options.values(), *info.losses]
    about += [str(part) for part in (*info.split, *info.split.values())]
    about += [info.training["precision"], info.training["device"], info.documents, info.toolkit]
    about += [state.name for state in info.states]
    about += info.percentiles
    return [*about, info.cell, info.cell_distribution, info.tokenizer]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with models of nasty names and metadata; one of them writes nasty text."""
    place = tmp_path_factory.mktemp("models")
    (place / "exported").mkdir()
    words = itertools.cycle(TEXTS)
    for number in range(MODELS):
        name = f"{number}{as_name(next(words))}.onnx"
        (place / "exported" / name).write_bytes(nasty_model(words))
    (place / "writer.onnx").write_bytes(nasty_model(words, TEXTS))
    return place


@pytest.mark.parametrize("env", EVERYWHERE)
def test_models_on_a_terminal(env, models):
    paths = sorted((models / "exported").iterdir())
    listed, *shown = driven(models, [["models"], *(["show", str(p)] for p in paths)], **env)
    assert_shown([path.name for path in paths], listed)
    assert_shown([model_file.read(path).info.corpus["name"] for path in paths], listed)
    for path, said in zip(paths, shown, strict=True):
        assert said.status == 0, said.shown
        assert_shown([path.name, *of_model(path)], said)


def test_models_in_a_pipe(models):
    paths = sorted((models / "exported").iterdir())
    commands = [["models"], ["models", "--json"], *(["show", str(p)] for p in paths)]
    commands += [["models", "show", str(path), "--json"] for path in paths]
    listed, as_json, *shown = driven(models, commands, stdout_piped=True)
    assert_told([path.name for path in paths], listed)
    names = {json.loads(line)["model"] for line in as_json.out.splitlines()}
    assert {piped(name) for name in names} == {piped(path.name) for path in paths}
    for path, said, said_in_json in zip(paths, shown, shown[MODELS:], strict=False):
        assert_told(of_model(path), said)
        content = json.loads(said_in_json.out)
        assert content | json.loads(model_file.read(path).info.to_json()) == content


WRITE = ["generate", "--onnx", "writer.onnx", "--length", "1500", "--seed", "5"]


@pytest.mark.parametrize("env", EVERYWHERE)
def test_written_text_on_a_terminal(env, models):
    written = textgen.load(models / "writer.onnx").generate(length=1500, seed=5).text
    prompts = [as_word(text) for text in TEXTS[:PROMPTS]]
    short = ["generate", "--onnx", "writer.onnx", "--length", "0", "--prompt"]
    commands = [WRITE, [*WRITE, "--samples", "2"], *([*short, prompt] for prompt in prompts)]
    alone, several, *prompted = driven(models, commands, **env)
    assert in_lines(written) in alone.shown
    assert several.status == 0 and in_lines(written[:200]) in several.shown
    for prompt, said in zip(prompts, prompted, strict=True):
        assert said.status == 0, said.shown
        assert in_lines(prompt) in said.shown, repr(prompt)


def in_lines(text):
    """``text`` as it stands on a terminal: what ends a line is not seen."""
    return "\n".join(line.rstrip() for line in visible(text).split("\n")).strip("\n")


def test_written_text_in_a_pipe(models):
    model = textgen.load(models / "writer.onnx")
    written = model.generate(length=1500, seed=5).text
    prompts = [as_word(text) for text in TEXTS[:PROMPTS]]
    short = ["generate", "--onnx", "writer.onnx", "--length", "0", "--prompt"]
    commands = [WRITE, [*WRITE, "--json"], *([*short, prompt] for prompt in prompts)]
    commands += [[*short, prompt, "--json"] for prompt in prompts]
    alone, as_json, *prompted = driven(models, commands, stdout_piped=True)
    assert alone.out == piped(written) + b"\n" * (not written.endswith("\n"))
    assert json.loads(as_json.out)["text"] == written
    for prompt, plain, said_in_json in zip(prompts, prompted, prompted[PROMPTS:], strict=False):
        assert plain.out == piped(prompt) + b"\n" * (prompt[-1:] not in ("\n", ""))
        told = json.loads(said_in_json.out)
        assert told["prompt"] == prompt
        assert told["unknown"] == model.encode(prompt)[1]


@pytest.fixture(scope="module")
def scored(models):
    """Texts in files of nasty names."""
    (models / "texts").mkdir()
    files = {}
    for number, text in enumerate(TEXTS[: count(300, None)]):
        path = models / "texts" / as_name(f"{number}{text}")
        path.write_text(as_text(text) + "abc", encoding="utf-8", newline="")
        files[path.name] = str(path)
    return files


SCORE = ["score", "--onnx", "writer.onnx"]


@pytest.mark.parametrize("env", EVERYWHERE)
def test_scored_files_on_a_terminal(env, models, scored):
    files = list(scored.values())
    told, stream = driven(models, [[*SCORE, *files], [*SCORE, "--stream", *files]], **env)
    assert told.status == stream.status == 0, told.shown
    assert_shown(scored, told)
    notice, *lines = stream.shown.splitlines()
    assert notice.startswith("The tokenizer ")  # it is not installed
    texts = "".join(json.loads(line)["text"] for line in lines)
    assert texts.count("[bold]") == sum(text.count("[bold]") for text in TEXTS[: len(scored)])


def test_scored_files_in_a_pipe(models, scored):
    score = [*SCORE, *scored.values()]
    commands = [score, [*score, "--lines", "--json"], [*score, "--stream"]]
    plain, as_json, stream = driven(models, commands, stdout_piped=True)
    for name, line in zip(scored, plain.out.splitlines(), strict=False):
        assert line.startswith(cell(name) + b"\t")
    told = [json.loads(line) for line in as_json.out.splitlines()]
    texts = [Path(path).read_bytes().decode() for path in scored.values()]
    lines = [
        line
        for text in texts
        for line in text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    ]
    assert [line["text"] for line in told] == list(filter(None, lines))
    assert [json.loads(line)["text"] for line in stream.out.splitlines()] == lines


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder of interrupted runs with nasty names, settings and samples."""
    place = tmp_path_factory.mktemp("runs")
    words = itertools.cycle(TEXTS)
    for number in range(count(40, 200)):
        samples = "".join(as_text(next(words)) for _ in range(10)).replace("\r", "")
        write_run(place / "runs" / as_name(f"{number}{next(words)}"), words, samples)
    return place


def of_run(path):
    """Every string that the details of a run show."""
    about = json.loads((path / "run.json").read_text())
    named = [about["cell"][key] for key in ("name", "distribution", "version")]
    settings = about["settings"]
    return [*named, about["corpus"]["name"], *settings, *settings.values(), path.name]


def samples_of(path):
    return (path / "samples.txt").read_bytes()


@pytest.mark.parametrize("env", EVERYWHERE)
def test_runs_on_a_terminal(env, runs):
    paths = sorted((runs / "runs").iterdir())
    commands = [["runs"], *(["runs", "show", path.name] for path in paths)]
    listed, *shown = driven(runs, commands, **env)
    assert_shown([path.name for path in paths], listed)
    for path, said in zip(paths, shown, strict=True):
        assert said.status == 0, said.shown
        assert_shown(of_run(path), said)
        assert in_lines(samples_of(path).decode()) in said.shown


def test_runs_in_a_pipe(runs):
    paths = sorted((runs / "runs").iterdir())
    commands = [["runs"], ["runs", "--json"], *(["runs", "show", p.name] for p in paths)]
    commands += [["runs", "show", path.name, "--json"] for path in paths]
    listed, as_json, *shown = driven(runs, commands, stdout_piped=True)
    assert_told([path.name for path in paths], listed)
    assert len([json.loads(line) for line in as_json.out.splitlines()]) == len(paths)
    for path, said, said_in_json in zip(paths, shown, shown[len(paths) :], strict=False):
        assert_told(of_run(path), said)
        assert said.out.endswith(b"\n" + samples_of(path))
        content = json.loads(said_in_json.out)
        assert content | json.loads((path / "run.json").read_text()) == content


def test_what_is_removed_is_named(tmp_path):
    words = itertools.cycle(TEXTS)
    names = [as_name(f"{number}{next(words)}") for number in range(count(20, 100))]
    (tmp_path / "exported").mkdir()
    for name in names:
        (tmp_path / "exported" / f"{name}.onnx").write_bytes(b"")
        write_run(tmp_path / "runs" / name, words, "")
    commands = [[kind, "rm", name] for kind in ("models", "runs") for name in names]
    for name, said in zip([*names, *names], driven(tmp_path, commands), strict=True):
        assert said.status == 0
        assert_shown(
            [f"Removed {'exported' if said.words[0] == 'models' else 'runs'}/{name}"], said
        )
    assert not [*(tmp_path / "exported").iterdir(), *(tmp_path / "runs").iterdir()]


@pytest.fixture(scope="module")
def sessions(models):
    """Sessions of nasty text, and of what somebody else may have put into their files."""
    model = textgen.load(models / "writer.onnx")
    session = model.session(seed=5)
    session.write(1500)
    session.save(models / "sessions" / "0.session")
    found = [session_file.read(models / "sessions" / "0.session")]
    words = itertools.cycle(TEXTS)
    for number in range(1, count(30, 300)):
        samplers = ((next(words), {next(words): next(words)}),)
        history = replace(found[0].history, settings=[(0, Settings(1, samplers=samplers))])
        name = as_name(next(words)) or "x"
        found.append(replace(found[0], model=name, digest=next(words)[:12], history=history))
        session_file.write(models / "sessions" / f"{number}.session", found[-1])
    return found


@pytest.mark.parametrize("env", EVERYWHERE)
def test_sessions_on_a_terminal(env, models, sessions):
    commands = [["sessions"], ["sessions", "show", "0", "--text"]]
    commands += [["sessions", "show", str(number)] for number in range(len(sessions))]
    commands += [["generate", "--session", "0", "--length", "0"]]
    listed, whole, *shown, gone_on = driven(models, commands, **env)
    assert_shown([file.model for file in sessions], listed)
    assert in_lines(sessions[0].text) in whole.shown
    assert gone_on.status == 0, gone_on.shown
    for file, said in zip(sessions, shown, strict=True):
        assert said.status == 0, said.shown
        samplers = json.loads(json.dumps(file.history.settings[0][1].samplers))
        # as the file's JSON gives them back: two halves of a surrogate pair are one character
        told = [part for name, given in samplers for part in (name, *given)]
        assert_shown([file.model, file.digest[:12], *told], said)


def test_sessions_in_a_pipe(models, sessions):
    commands = [["sessions"], ["sessions", "show", "0", "--text"]]
    commands += [["sessions", "show", str(number), "--json"] for number in range(len(sessions))]
    listed, whole, *shown = driven(models, commands, stdout_piped=True)
    assert_told([file.model for file in sessions], listed)
    assert whole.out == piped(sessions[0].text)
    for file, said in zip(sessions, shown, strict=True):
        facts = json.loads(said.out)
        assert (facts["model"], facts["digest"]) == (file.model, file.digest)
        assert facts["text"] == file.text


def test_a_carriage_return_of_a_sample_is_kept_in_a_pipe(runs):
    write_run(runs / "returns", itertools.cycle(TEXTS), "one\rtwo\r\nthree\n")
    (said,) = driven(runs, [["runs", "show", "returns"]], stdout_piped=True)
    assert said.out.endswith(b"\none\rtwo\r\nthree\n")


def test_a_carriage_return_of_a_prompt_is_kept_in_a_pipe(models):
    (models / "prompt").write_bytes(b"one\rtwo")
    command = ["generate", "--onnx", "writer.onnx", "--length", "0", "--prompt-file", "prompt"]
    (said,) = driven(models, [command], stdout_piped=True)
    assert said.out == b"one\rtwo\n"


@dataclass(frozen=True)
class Site:
    """A folder of installed distributions, and what they say."""

    folder: Path
    samplers: dict[str, list[str]]
    """Name, docstring, help, default and choice of each."""
    reasons: list[str]
    """Why the broken ones are."""
    recipes: list[dict[str, Any]]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    words = itertools.cycle(TEXTS)
    folder = tmp_path_factory.mktemp("site") / as_name(next(words)).replace(":", "|")
    broken = count(20, 100)
    install_plugins(folder, words, count(160, 800), broken)
    samplers, reasons = (
        json.loads((folder / name).read_text()) for name in ("samplers.json", "reasons.json")
    )
    paths = (folder / f"recipe{number}.toml" for number in range(broken))
    return Site(folder, samplers, reasons, [tomllib.loads(path.read_text()) for path in paths])


def of_sampler(words):
    """Every string that the details of a sampler show, as they show it."""
    _, about, *others = words
    return [" ".join(inspect.cleandoc(about).split()), *others]


def of_recipe(recipe):
    return [recipe["description"], recipe["licence"], recipe["source"]["path"]]


def named(site, *words):
    """A command for each recipe or broken plugin."""
    return [[*words[:-1], f"{words[-1]}{number}"] for number in range(len(site.recipes))]


@pytest.mark.parametrize("env", EVERYWHERE)
def test_plugins_and_recipes_on_a_terminal(env, models, site):
    lists = [["plugins"], ["corpora"]]
    samplers = [["plugins", "show", name] for name in site.samplers]
    recipes = named(site, "corpora", "show", "recipe")
    write = ["generate", "--onnx", "writer.onnx", "--length", "1", "--sampler"]
    broken, slow = named(site, *write, "broken"), []
    if not env:
        slow = [["doctor"], *named(site, "train", "recipe")]
    said = iter(driven(
        models,
        [*lists, *samplers, *recipes, *broken, *slow],
        PYTHONPATH=str(site.folder),
        TEXTGEN_CACHE=str(site.folder / "cache\x1b[31m"),
        **env,
    ))  # fmt: skip
    assert_shown(site.samplers, next(said))
    assert_shown([text for recipe in site.recipes for text in of_recipe(recipe)[:2]], next(said))
    for name, words in site.samplers.items():
        assert_shown([name, *of_sampler(words)], next(said))
    for recipe in site.recipes:
        assert_shown(of_recipe(recipe), next(said))
    for reason, refused in zip(site.reasons, said, strict=False):
        assert refused.status == 1
        assert_shown([" ".join(reason.split())], refused)
        assert refused.shown.split("\n")[-2].startswith("Error: ")
    for doctor in itertools.islice(said, 1):
        assert doctor.status == 1
        assert_shown([*site.reasons, "cache\x1b[31m"], doctor)
    for recipe, refused in zip(site.recipes, said, strict=False):
        assert refused.status == 1
        assert_shown([Path(recipe["source"]["path"]).name], refused)


def test_plugins_and_recipes_in_a_pipe(models, site):
    commands = [["plugins"], ["corpora"], ["doctor"], ["plugins", "--json"], ["corpora", "--json"]]
    commands += [["plugins", "show", name] for name in site.samplers]
    commands += [["plugins", "show", name, "--json"] for name in site.samplers]
    commands += named(site, "corpora", "show", "recipe")
    commands += named(site, "corpora", "show", "--json", "recipe")
    env = {"PYTHONPATH": str(site.folder)}
    plugins, corpora, doctor, *rest = driven(models, commands, stdout_piped=True, **env)
    assert_told(site.samplers, plugins)
    assert_told([text for recipe in site.recipes for text in of_recipe(recipe)[:2]], corpora)
    assert_told(site.reasons, doctor)
    said = iter(rest)
    told = [json.loads(line) for line in next(said).out.splitlines()]
    assert {line["name"] for line in told} >= set(site.samplers)
    told = [json.loads(line) for line in next(said).out.splitlines()]
    assert {r["description"] for r in site.recipes} <= {line["description"] for line in told}
    for name, words in site.samplers.items():
        assert_told([name, *of_sampler(words)], next(said))
    for words in site.samplers.values():
        option = json.loads(next(said).out)["options"][0]
        assert [option["help"], option["default"]] == words[2:4]
    for recipe in site.recipes:
        assert_told(of_recipe(recipe), next(said))
    for recipe in site.recipes:
        details = json.loads(next(said).out)
        assert [details["description"], details["licence"]] == of_recipe(recipe)[:2]


MISTAKES = [
    "{}",
    "--{}",
    "doctor {}",
    "runs {}",
    "generate --{}",
    "generate --onnx {}",
    "generate --onnx writer.onnx --length {}",
    "generate --onnx writer.onnx --provider {}",
    "generate --onnx writer.onnx --prompt-file {}",
    "generate --onnx writer.onnx --length 1 --sampler {}",
    "generate --onnx writer.onnx --length 1 --sampler {}:k=3",
    "generate --onnx writer.onnx --length 1 --sampler top-k:{}=3",
    "generate --onnx writer.onnx --length 1 --sampler top-k:k={}",
    "generate --session {}",
    "sessions show {}",
    "sessions rm {}",
    "score --onnx writer.onnx {}",
    "score --onnx writer.onnx texts --encoding {}",
    "score --onnx writer.onnx text --stream --above {}",
    "score --onnx writer.onnx --stream {}",
    "show {}",
    "models rm {}",
    "models show {}",
    "runs show {}",
    "runs rm {}",
    "corpora show {}",
    "corpora rm {}",
    "plugins show {}",
    "plugins show top-k --kind {}",
    "plugins --plugin {}",
    "export {}",
    "train {}",
    "train ./{}.toml",
    "train {}://x",
    "train ./text --cell {}",
    "train ./text --cell-option {}",
    "train ./text --cell-option {}=1",
    "train ./text --tokenizer {}",
    "train ./text --tokenizer-option {}=1",
    "train ./text --reader {}",
    "train ./text --reader-option {}=1",
    "train ./text --encoding {}",
    "train ./table.csv --template {{}}",
    "train ./text --split {}",
    "train ./text --split-sizes {}",
    "train ./text --optimizer {}",
    "train ./text --learning-rate {}",
    "train ./text --device {}",
    "train ./text --steps 1 --name {}[/x]",
    "train --resume {}",
]
BEGINNING = "\x1b[5m[bold]"
"""What every refused word begins with, so that it can be looked for."""


def test_words_that_are_refused(models, runs):
    """What is quoted of them is seen, in one line for what is wrong and one for what to do."""
    (models / "text").write_text("a text that is long enough to be learnt from. " * 40)
    (models / "table.csv").write_text("school,name\nfire,spell\n" * 40)
    lines, commands = itertools.cycle(MISTAKES), []
    for text in TEXTS[: count(250, None)]:
        line = next(lines)
        word = BEGINNING + as_name(text).replace(":", "|")
        commands.append([part.replace("{}", word) for part in line.split()])
    for path in (runs / "runs").iterdir():
        commands += [["export", str(path)], ["train", "--resume", str(path)]]
    for said in driven(models, commands, details=WIDE_TERMINAL):
        assert said.status in (1, 2), said
        *notice, problem, _ = said.shown.split("\n")
        assert len(notice) <= ("--sampler" in said.words or said.words[0] == "score"), said
        assert problem.startswith("Error: "), said
        path = Path(said.words[-1])
        if path.parent == runs / "runs":  # its tokenizer is not installed
            described = json.loads((path / "run.json").read_text())
            assert one_line(repr(described["corpus"]["tokenizer"])) in problem
        else:
            assert one_line(BEGINNING) in said.shown, said


RECIPES = [
    "{} = 1",
    'licence = "x"\n[source]\n{} = 1',
    'licence = "x"\n[source]\nurl = {}',
    'licence = "x"\n[source]\npackage = {}',
    'licence = "x"\n[source]\nstandard_library = {}',
    'licence = "x"\n[source]\npath = "x"\n[[steps]]\npattern = {}\nreplacement = ""',
]


def test_files_that_are_refused(tmp_path):
    """What is quoted of recipes and models that cannot be used is seen, and stays in its line."""
    prefix, commands = "/(*" + BEGINNING, []
    for number, text in enumerate(TEXTS[: count(60, None)]):
        path = tmp_path / f"mine{number}.toml"
        told = as_toml(prefix + text)
        path.write_text(RECIPES[number % len(RECIPES)].replace("{}", told), encoding="ascii")
        commands.append(["corpora", "show", f"./{path.name}"])
        step, info = lstm(hidden=4, embedding=2)
        if number % 2:
            step.opset_import.add(domain=prefix + as_text(text), version=1)
        else:
            states = (replace(info.states[0], initial=prefix + text), *info.states[1:])
            info = replace(info, states=states)
        (tmp_path / f"{number}.onnx").write_bytes(model_file.seal(step, info))
        commands.append(["show", f"{number}.onnx"])
    for said in driven(tmp_path, commands, details=WIDE_TERMINAL):
        assert said.status == 2, said
        problem, _ = said.shown.split("\n")
        assert problem.startswith("Error: ") and one_line(BEGINNING) in problem, said


CELL = """
import torch
from textgen.contracts.hooks import hookimpl
from textgen.contracts.cell import Cell

TEXTGEN_CONTRACT = 1

def __init__(self, layer):
    super(NASTY, self).__init__(layer)
    self.mix = torch.nn.Linear(layer.input_size + layer.hidden_size, layer.hidden_size)

def step(self, x, state):
    h = torch.tanh(self.mix(torch.cat([x, state[0]], -1)))
    return h, (h,)

NASTY = type({kind!r}, (Cell,), {{"__init__": __init__, "step": step, "__module__": __name__}})

@hookimpl
def textgen_cells():
    return {{{name!r}: NASTY}}
"""


def test_training(tmp_path):
    """A nasty text of a nasty name, learnt by a nasty cell: the block that renews itself, the
    samples, the summary, and the same as JSON."""
    nasty = [as_text(text) for text in TEXTS]
    kind, name = nasty[1], nasty[2] + "[bold]"
    file = as_name(nasty[3] + "\x1b[5m[/x]")
    corpus = f"{file}\udce9.txt"  # a byte of another encoding
    for path in (tmp_path / corpus, tmp_path / "plain.txt"):
        path.write_text("\n".join(nasty), encoding="utf-8", newline="")
    (tmp_path / f"{file}.py").write_text(CELL.format(kind=kind, name=name), encoding="utf-8")
    (tmp_path / "mine.toml").write_text(recipe_text(itertools.cycle(TEXTS), "plain.txt"))
    small = ["--hidden-size", "4", "--batch-size", "2", "--steps", "2", "--sample-every", "1"]
    small += ["--precision", "float32"]
    train = ["train", "--plugin", f"{file}.py", "--cell", name, *small]
    commands = [[*train, f"./{corpus}", "--tokenizer", "words", "--documents", "lines"]]
    commands += [[*train, "mine.toml", "--json"]] * SOAK  # the second half of the time
    on_screen, *as_json = driven(tmp_path, commands, stdout_piped=True)
    assert (on_screen.status, on_screen.out) == (0, b""), on_screen.shown
    assert_shown([kind], on_screen)
    folders = [path.parent for path in (tmp_path / "runs").glob("*/run.json")]
    recorded = {json.loads((f / "run.json").read_text())["corpus"]["name"]: f for f in folders}
    texts = re.split(r"--- after \d steps\n", samples_of(recorded[corpus]).decode())[1:]
    for text in texts:
        rows = [row for row in visible(text).split("\n") if row.strip()]
        assert_shown(rows[:5], on_screen)
    for said in as_json:
        events = [json.loads(line) for line in said.out.splitlines()]
        sampled = [event["text"] for event in events if event["event"] == "sampled"]
        samples = re.sub(r"--- after \d steps\n", "", samples_of(recorded["mine"]).decode())
        assert "".join(f"{text}\n\n" for text in sampled) == samples

    run = recorded[corpus].name
    commands = [["runs", "show", run], ["show", f"{run}.onnx"]]
    commands += [["export", run, "--plugin", f"{file}.py", "-o", f"{file}.onnx"]] * SOAK
    shown, model, *exported = driven(tmp_path, commands)
    for said in exported:
        assert_shown([f"{file}.onnx"], said)
    assert_shown([corpus, name, f"{file}.py"], shown)
    assert_shown([corpus, name, f"{file}.py"], model)


def test_a_process_of_its_own(tmp_path):
    """Words as a shell hands them over: bytes, some of them no text."""
    word = b"\xff\x1b]52;c;aA==\x07[bold]\xc2\x9b31m"
    script = f"""
    import os, sys
    os.chdir({str(tmp_path)!r})
    os.execv(sys.executable, [sys.executable, "-m", "textgen", "show", {word!r}])
    """
    outcome = run_in_terminal(script, columns=200)
    assert outcome.status == 2
    assert outcome.screen.text.startswith(
        r"Error: There is no model \udcff\x1b]52;c;aA==\x07[bold]\x9b31m."
    )


def test_a_traceback_that_was_asked_for(models, site):
    """The emulator obeys no code of the plugin's message, and takes no control character."""
    script = f"""
    import os
    os.chdir({str(models)!r})
    from textgen import cli
    cli.main("generate --onnx writer.onnx --sampler broken0 --debug".split())
    """
    assert run_in_terminal(script, PYTHONPATH=str(site.folder)).status == 1
