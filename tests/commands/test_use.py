"""generate, score, show, models: with the model files alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from textgen import cli

LIGHT = [
    "--help",
    "sweep --help",
    "compare --help",
    "plugins --json",
    "corpora --json",
    "models --json",
    "runs --json",
    "show --json",
    "generate --length 5 --seed 1",
    "generate --session tale --length 5",
    "sessions --json",
    "score text.txt --json",
]


@pytest.mark.parametrize("line", LIGHT)
def test_what_runs_a_model_never_imports_torch(line, workplace):
    (workplace / "text.txt").write_text("ANNA:\nSing the river\n")
    code = (
        "import sys; from textgen.cli import run; status = run(sys.argv[1:]); "
        "sys.exit(status or ('torch' in sys.modules) * 99)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *line.split()], cwd=workplace, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_what_runs_a_model_works_without_torch(workplace):
    (workplace / "text.txt").write_text("ANNA:\nSing the river\n")
    for line in [*LIGHT, "doctor", "train"]:
        code = (
            "import sys\n"
            "class Without:\n"
            "    def find_spec(self, name, path=None, target=None):\n"
            "        if name.split('.')[0] in ('torch', 'safetensors', 'onnxscript'):\n"
            "            raise ModuleNotFoundError(name, name=name)\n"
            "import importlib.util\n"
            "found = importlib.util.find_spec\n"
            "importlib.util.find_spec = lambda name, *a: None if name in "
            "('torch', 'safetensors', 'onnxscript') else found(name, *a)\n"
            "sys.meta_path.insert(0, Without())\n"
            "from textgen.cli import run\n"
            "sys.exit(run(sys.argv[1:]))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *line.split()],
            cwd=workplace,
            capture_output=True,
            text=True,
        )
        if line == "train":
            assert done.returncode == 1
            assert 'pip install "textgen-toolkit[train]"' in done.stderr
        else:
            assert done.returncode == 0, f"{line}\n{done.stderr}"


def test_the_text_alone_goes_to_standard_output(textgen_command, workplace):
    done = textgen_command("generate", "--prompt", "ANNA:\n", "--length", "80", "--seed", "7")
    assert done.status == 0
    assert done.out.startswith("ANNA:\n")
    assert done.out.endswith("\n")
    assert "seed 7" in done.err
    assert "exported/model.onnx" in done.err.replace("\\", "/")
    again = textgen_command("generate", "--prompt", "ANNA:\n", "--length", "80", "--seed", "7")
    assert again.out == done.out
    silent = textgen_command(
        "generate",
        "--onnx",
        "model.onnx",
        "--prompt",
        "ANNA:\n",
        "--length",
        "80",
        "--seed",
        "7",
        "--no-echo",
    )
    assert "ANNA:\n" + silent.out == done.out


def test_twenty_whole_names(textgen_command, workplace, names):
    done = textgen_command("generate", "--onnx", "names", "--samples", "20", "--seed", "3")
    written = done.out.splitlines()
    assert len(written) == 20
    known = set(names.read_text().splitlines())
    endings = tuple({name[-3:] for name in known})
    assert sum(name.endswith(endings) for name in written) >= 15


def test_json_is_one_object_a_line(textgen_command, workplace):
    done = textgen_command("generate", "--samples", "3", "--length", "10", "--seed", "1", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["sample"] for line in lines] == [0, 1, 2]
    assert all(len(line["text"]) == 10 and line["seed"] == 1 for line in lines)
    shown = json.loads(textgen_command("show", "--json").out)
    assert shown["cell"] == "lstm"
    assert shown["corpus"]["name"] == "verses.txt"
    listed = [json.loads(x) for x in textgen_command("models", "--json").out.splitlines()]
    assert {entry["model"] for entry in listed} == {"verses.onnx", "names.onnx"}


def test_score_tells_the_learnt_from_the_strange(textgen_command, workplace):
    (workplace / "known.txt").write_text("ANNA:\nSing the river, and sing it well.\n")
    (workplace / "strange.txt").write_text("xqz jkv wpf xqz jkv wpf xqz\n")
    done = textgen_command("score", "known.txt", "strange.txt", "--json")
    known, strange = (json.loads(line) for line in done.out.splitlines())
    assert known["nats_per_symbol"] < 1 < strange["nats_per_symbol"]
    piped = textgen_command("score", "-", "--json", stdin=(workplace / "known.txt").read_bytes())
    assert json.loads(piped.out)["nats"] == pytest.approx(known["nats"])


def test_help_breaks_no_command_it_tells(textgen_command):
    shown = textgen_command("--help", env={"COLUMNS": "80"}).out
    assert "Start with:  textgen train --cell lstm\n" in shown


def test_show_tells_people(textgen_command, workplace):
    shown = textgen_command("show", "verses").out
    for word in ("lstm", "verses.txt", "nats", "layer0.h", "digest"):
        assert word in shown


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("generate --onnx nope", "There is no model"),
        ("generate --temperature nan", "temperature"),
        ("generate --temperature -1", "temperature"),
        ("generate --top-p 3", "top-p"),
        ("generate --top-k 0", "top-k"),
        ("generate --seed 18446744073709551616", "seed"),
        ("generate --length -1", "length"),
        ("generate --samples 0", "samples"),
        ("generate --length many", "not a valid integer"),
        ("generate --sampler nope", "There is no sampler"),
        ("generate --sampler top-k:size=3", "top-k"),
        ("generate --prompt a --prompt-file b", "both"),
        ("generate --prompt-file missing.txt", "missing.txt"),
        ("score missing.txt", "missing.txt"),
        ("show notes.txt", "not an ONNX file"),
        ("show empty.onnx", "empty"),
        ("show damaged.onnx", "damaged"),
        ("models rm nope", "There is no model"),
        ("runs show nope", "There is no run"),
        ("corpora show nope", "nope"),
        ("plugins show nope", "There is no plugin"),
        ("frobnicate", "There is no command"),
        ("generate --frobnicate", "No such option"),
    ],
)
def test_mistakes_are_told_in_two_lines(line, said, textgen_command, workplace):
    (workplace / "notes.txt").write_text("not a model at all, but a text of some length")
    (workplace / "empty.onnx").write_bytes(b"")
    damaged = bytearray((workplace / "exported" / "model.onnx").read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (workplace / "damaged.onnx").write_bytes(bytes(damaged))
    done = textgen_command(*line.split())
    assert done.status == 2, done.err
    errors = [x for x in done.err.splitlines() if not x.startswith("Model:")]
    assert len(errors) == 2, done.err
    assert said in errors[0] + errors[1]
    assert done.out == ""


def test_a_prompt_with_unseen_symbols_is_told(textgen_command, workplace):
    done = textgen_command("generate", "--prompt", "ANNA 日本", "--length", "5", "--seed", "1")
    assert done.status == 0
    assert "日" in done.err


def test_cuda_asked_for_but_not_usable(textgen_command, workplace):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    done = textgen_command("generate", "--provider", "cuda")
    assert done.status == 1
    assert "CUDA" in done.err


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_closed_pipe_is_no_error(workplace):
    line = f"{sys.executable} -m textgen generate --length 200000 --seed 1 | head -c 100"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], cwd=workplace, capture_output=True, text=True
    )
    assert done.returncode == 141
    assert len(done.stdout) == 100
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("line", ["generate --length 9000", "generate --length 9", "--help"])
def test_a_full_disk_is_told(line, workplace):
    command = [sys.executable, "-m", "textgen", *line.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=workplace, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1, done.stderr
    *_, problem, remedy = done.stderr.splitlines()
    assert problem == "Error: The output could not be written: No space left on device."
    assert remedy == "Free some space, or write to another disk."


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_notices_that_find_no_room_end_nothing(workplace):
    # a text that ends with a line feed of its own is given none
    words = ["generate", "--length", "9", "--no-echo", "--seed", "1"]
    command = [sys.executable, "-m", "textgen", *words]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, cwd=workplace, stdout=subprocess.PIPE, stderr=full)
    assert (done.returncode, len(done.stdout)) == (0, 10)


@pytest.mark.skipif(sys.platform == "win32", reason="streams are closed otherwise there")
@pytest.mark.parametrize(
    ("line", "status"), [("generate --length 9 >&-", 0), ("models 2>&-", 0), ("score - <&-", 0)]
)
def test_streams_that_are_closed(line, status, workplace):
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m textgen {line}"],
        cwd=workplace,
        capture_output=True,
        text=True,
    )
    assert done.returncode == status, done.stderr
    assert "failed" not in done.stderr


def test_too_little_memory_is_told(verses, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["train", str(verses), "--steps", "1", "--hidden-size", str(10**9)]) == 1
    *_, problem, remedy = capsys.readouterr().err.splitlines()
    assert problem == "Error: There is not enough memory for what was asked."
    assert remedy.startswith("Ask for less")


def test_lines_scored_as_they_come(textgen_command, workplace):
    lines = "Belmaana\n\nzq\u2603#xw\n" + "a" * 5000 + "\n"
    done = textgen_command("score", "--onnx", "names", "--stream", "-", stdin=lines.encode())
    found = [json.loads(line) for line in done.out.splitlines()]
    assert done.status == 0
    assert [entry["line"] for entry in found] == [1, 2, 3, 4]
    assert found[0]["text"] == "Belmaana" and found[0]["unknown"] == []
    assert "\u2603" in found[2]["unknown"]
    assert found[2]["bits_per_symbol"] > found[0]["bits_per_symbol"]
    assert [entry.get("cut") for entry in found] == [None, None, None, True]


def test_only_lines_above_a_percentile(textgen_command, workplace):
    (workplace / "list.txt").write_text("Belabert\nJoliic\nzqxw#kj\n", encoding="utf-8")
    shown = json.loads(textgen_command("show", "names", "--json").out)
    assert list(shown["percentiles"]) == ["p50", "p90", "p99", "p99.9"]
    assert sorted(shown["percentiles"].values()) == list(shown["percentiles"].values())
    strange = textgen_command("score", "--onnx", "names", "--stream", "--above", "p99", "list.txt")
    assert strange.status == 1
    assert [json.loads(line)["line"] for line in strange.out.splitlines()] == [3]
    quiet = textgen_command("score", "--onnx", "names", "--stream", "--above", "99", "list.txt")
    assert (quiet.status, quiet.out) == (0, "")


ODD = {
    # file: its bytes, and what scoring it whole, by lines and as a stream comes to: the number of
    # JSON lines, or a word of the refusal
    "empty": (b"", 1, 0, 0),
    "new lines": (b"\n\r\n\n", 1, 0, 3),
    "nul": (b"Bel\0ana\nJoliic\n", "binary", "binary", 2),
    "no utf-8": (b"Bela\xffna\nJoliic\xe2\x98\n", "byte 4", "byte 4", 2),
    "lone carriage return": (b"Belaana\rJoliic\r\n\rBelmaana", 1, 2, 2),
    "no character known": ("\u2603\u2604\n".encode(), 1, 1, 1),
    "one long line": (b"Bel" * 20_000, 1, 1, 1),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_texts_have_a_score_or_are_refused(name, workplace, monkeypatch, capfd):
    monkeypatch.chdir(workplace)
    data, *expected = ODD[name]
    (workplace / "odd.txt").write_bytes(data)
    for flag, comes_to in zip(("--json", "--lines", "--stream"), expected, strict=True):
        status = cli.run(["score", "--onnx", "names", "--json", flag, "odd.txt"])
        out, err = capfd.readouterr()
        if isinstance(comes_to, str):
            assert (status, out, len(err.splitlines())) == (2, "", 2)
            assert comes_to in err
            continue
        assert status == 0, err
        lines = [json.loads(line) for line in out.splitlines()]
        assert len(lines) == comes_to
        assert all(0 <= line["bits"] < 20 * line["symbols"] for line in lines)
        if flag == "--stream":
            assert [line["line"] for line in lines] == list(range(1, comes_to + 1))
            cut = len(data) > 50_000
            assert [line.get("cut", False) for line in lines] == [cut] * comes_to


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--onnx", "names", "--stream", "--encoding", "utf-16", "-"], "utf-16"),
        (["--onnx", "names", "--stream", "--encoding", "idna", "-"], "no encoding"),
        (["--onnx", "names", "--stream", "--encoding", "klingon", "-"], "no encoding"),
        (["--onnx", "names", "--stream", "--windows", "9", "-"], "--windows"),
        (["--onnx", "names", "--windows", "0", "-"], "--windows"),
        (["--onnx", "names", "--stream", "--above", "p42", "-"], "p50"),
        (["--onnx", "names", "--stream", "--above", "nan", "-"], "--above"),
        (["--onnx", "verses", "--stream", "--above", "p99", "-"], "not trained on lines"),
        (["--onnx", "names", "--above", "p99", "-"], "--stream"),
        (["--onnx", "names", "--stream", "missing.txt"], "missing.txt"),
    ],
)
def test_streams_that_cannot_be_scored(textgen_command, workplace, words, says):
    done = textgen_command("score", *words)
    assert done.status == 2 and says in done.err and len(done.err.splitlines()) == 2


def test_verbose_says_which_way_the_text_is_made(textgen_command, workplace):
    words = ("generate", "--onnx", "verses", "--length", "30", "--seed", "1")
    quiet = textgen_command(*words, "--top-k", "5", "--sampler", "repetition")
    said = textgen_command(*words, "--top-k", "5", "--sampler", "repetition", "--verbose")
    assert said.out == quiet.out
    (line,) = (
        set(said.err.splitlines())
        - set(quiet.err.splitlines())
        - {line for line in said.err.splitlines() if "a second" in line}
    )
    assert "in one graph; Repetition, Temperature, TopK; float32 on cpu" in line
    assert "threads" in line


def test_the_reader_of_a_stream_may_go(workplace):
    """A thread that waits for more input must not turn a closed pipe into an abort."""
    script = (
        "(yes Belmaana | head -400; sleep 3) | "
        f"{sys.executable} -m textgen score --onnx names --stream - | head -1; "
        "echo ${PIPESTATUS[1]}"
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=workplace, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "141", done.stderr
    assert "Fatal" not in done.stderr


def test_lines_are_named_by_their_numbers(textgen_command, workplace):
    (workplace / "gaps.txt").write_text("Belmaana\n\n\nJoliic\n", encoding="utf-8")
    done = textgen_command("score", "--onnx", "names", "--lines", "gaps.txt")
    assert [line.split("\t")[0] for line in done.out.splitlines()] == ["gaps.txt:1", "gaps.txt:4"]
