"""textgen generate --session and textgen sessions: a writer who comes back to a text."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import textgen
from soak import count
from textgen import cli, model_file
from textgen.runtime import session_file
from textgen.session_folder import SessionPlace


@pytest.fixture
def call(workplace, monkeypatch, capsys):
    """Calls a command in this process, in a folder with two models: status, text, and notices."""
    monkeypatch.chdir(workplace)

    def called(*words: object) -> tuple[int, str, list[str]]:
        status = cli.run([*map(str, words)])
        said = capsys.readouterr()
        return status, said.out, said.err.splitlines()

    return called


def told(answer):
    """The text of a command that went well."""
    status, out, err = answer
    assert status == 0, err
    return out


def text_of(name, call):
    return told(call("sessions", "show", name, "--text"))


BEGIN = ("generate", "--session", "tale", "--onnx", "verses", "--prompt", "ANNA:\n", "--seed", 5)
GO_ON = ("generate", "--session", "tale", "--length")


def test_a_text_goes_on_where_it_stopped(call, workplace):
    whole = told(call(*BEGIN[:1], *BEGIN[3:], "--length", 300))
    first = told(call(*BEGIN, "--length", 77))
    second = told(call(*GO_ON, 100))
    third = told(call(*GO_ON, 123, "--json"))
    assert first == whole[: len("ANNA:\n") + 77] + "\n"
    assert second.rstrip("\n") == whole[83:183].rstrip("\n")
    facts = json.loads(third)
    assert facts["text"] == whole[183:306]
    assert (facts["session"], facts["symbols"], facts["symbols_in_all"]) == ("tale", 123, 306)
    assert (facts["ended"], facts["seed"], facts["unknown"]) == ("length", 5, [])
    assert text_of("tale", call) == whole[:306]
    files = {path.name for path in (workplace / "sessions").iterdir()}
    assert files == {"tale.session", ".tale.lock"}


def test_more_of_ones_own_text_and_other_settings(call):
    told(call(*BEGIN, "--length", 50))
    shown = told(call(*GO_ON, 40, "--prompt", "\n\nDORA:\n☃", "--temperature", 1.5))
    assert shown.startswith("\n\nDORA:\n")
    silent = told(call(*GO_ON, 0, "--prompt", "\nBRUNO:\n", "--no-echo"))
    assert silent == ""
    told(call(*GO_ON, 30, "--sampler", "repetition:window=9", "--top-k", 5))
    text = text_of("tale", call)
    assert "\n\nDORA:\n" in text and "\nBRUNO:\n" in text and "☃" not in text
    facts = json.loads(told(call("sessions", "show", "tale", "--json")))
    assert facts["text"] == text
    assert facts["symbols"] - facts["drawn"] == len("ANNA:\n\n\nDORA:\n\nBRUNO:\n")
    changes = [(c["from"], c["temperature"], c["top_k"], c["samplers"]) for c in facts["settings"]]
    assert changes[0] == (0, 0.8, None, [])
    assert changes[1] == (56, 1.5, None, [])
    assert changes[2][1:] == (1.5, 5, [["repetition", {"window": "9"}]])
    details = told(call("sessions", "show", "tale"))
    assert "--temperature 1.5 --top-k 5 --sampler repetition:window=9" in details
    assert text[-200:].rstrip("\n") in details
    told(call(*GO_ON, 1, "--sampler", "none"))
    facts = json.loads(told(call("sessions", "show", "tale", "--json")))
    assert facts["settings"][-1]["samplers"] == []


def test_list_fork_rewind_rm(call, workplace):
    told(call(*BEGIN, "--length", 60))
    told(call(*GO_ON, 200))
    text = text_of("tale", call)
    told(call("sessions", "fork", "tale", "early", "--at", 66))
    told(call("sessions", "fork", "tale", "twin"))
    assert text_of("early", call) == text[:66]
    assert told(call(*GO_ON, 40)) == told(call("generate", "--session=twin", "--length=40"))
    status, _, err = call("sessions", "rewind", "tale", 240)
    assert status == 0 and err[0].startswith("tale: 66 symbols: ")
    told(call(*GO_ON, 200))
    assert text_of("tale", call) == text
    told(call("sessions", "rewind", "tale", 200))
    told(call(*GO_ON, 200, "--seed", 6))
    assert text_of("tale", call)[:66] == text[:66]
    assert text_of("tale", call) != text
    listed = told(call("sessions")).splitlines()
    rows = {line.split("\t")[0]: line.split("\t")[1:] for line in listed}
    assert set(rows) == {"tale", "twin", "early"}
    assert listed[0].startswith("tale\t")  # written last
    assert rows["early"][:2] == ["verses.onnx", "66"]
    last = rows["early"][3].removeprefix("…")
    assert last and " ".join(text[:66].split()).endswith(last)
    facts = [json.loads(line) for line in told(call("sessions", "--json")).splitlines()]
    assert {fact["session"]: fact["symbols"] for fact in facts} == {
        "tale": 266, "twin": 306, "early": 66
    }  # fmt: skip
    assert {fact["digest"] for fact in facts} == {
        model_file.read(workplace / "exported" / "verses.onnx").digest
    }
    for name in rows:
        told(call("sessions", "rm", name))
    assert not (workplace / "sessions").exists()
    assert call("sessions")[2] == ["No sessions yet. Begin one: textgen generate --session NAME"]


def test_a_model_of_lines_writes_one_line_after_the_other(call):
    def names(*words):
        return told(call("generate", "--session", "n", "--onnx", "names", *words))

    lines = [names("--seed", 1), names(), names("--length", 3), names(), names("--prompt", "Be")]
    assert all(line.endswith("\n") and line.count("\n") == 1 for line in lines)
    joined = [*lines[:2], lines[2].rstrip("\n") + lines[3], lines[4]]
    assert text_of("n", call) == "".join(joined)
    assert len(lines[2]) == 4 and lines[4].startswith("Be")


def test_the_model_is_found_by_its_digest(call, workplace):
    told(call("generate", "--session", "tale", "--length", 20, "--seed", 1))
    exported = workplace / "exported"
    assert SessionPlace("tale").read().model == "verses.onnx"  # not model.onnx, the newest
    told(call(*GO_ON, 20))
    (exported / "verses.onnx").replace(exported / "renamed.onnx")
    (exported / "names.onnx").replace(exported / "model.onnx")
    status, _, err = call(*GO_ON, 20)
    assert status == 0 and "renamed.onnx" in err[0]
    (exported / "renamed.onnx").replace(workplace / "elsewhere")
    status, _, err = call(*GO_ON, 20)
    assert status == 2 and "renamed.onnx" in err[0] and "--onnx PATH" in err[1]
    told(call(*GO_ON, 20, "--onnx", "elsewhere"))
    status, _, err = call(*GO_ON, 20, "--onnx", "model.onnx")
    assert status == 2 and "another model" in err[0]
    assert len(SessionPlace("tale").read().history) == 80


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("generate --session tale --samples 2", "--samples"),
        ("generate --session tale --temperature nan", "temperature"),
        ("generate --session tale --length -1", "length"),
        ("generate --session tale --seed -1", "seed"),
        ("generate --session tale --sampler nope", "There is no sampler"),
        ("generate --session tale --onnx names", "another model"),
        ("generate --session new --temperature nan", "temperature"),
        ("generate --session new --onnx nope", "There is no model"),
        ("generate --session ../tale", "cannot name a session"),
        ("generate --session .tale", "cannot name a session"),
        (f"generate --session {'a' * 121}", "cannot name a session"),
        ("generate --session damaged", "damaged"),
        ("sessions show nope", "There is no session"),
        ("sessions show damaged", "damaged"),
        ("sessions show ../tale", "cannot name a session"),
        ("sessions rewind tale 21", "21 symbols cannot be taken back"),
        ("sessions rewind tale x", "not a valid integer"),
        ("sessions rewind nope 1", "There is no session"),
        ("sessions fork tale damaged", "already"),
        ("sessions fork tale new --at 21", "cut at 21"),
        ("sessions fork tale a/b", "cannot name a session"),
        ("sessions rm nope", "There is no session"),
        ("sessions frobnicate", "No such command"),
    ],
)
def test_mistakes_are_told_and_change_nothing(line, said, call, workplace, a_session):
    folder = workplace / "sessions"
    folder.mkdir()
    (folder / "tale.session").write_bytes(a_session)
    (folder / "damaged.session").write_bytes(a_session[:-1] + b"!")
    status, out, err = call(*line.split())
    assert (status, out) == (2, "")
    problem, remedy = [x for x in err if not x.startswith(("Model:", "Session ", "New session"))]
    assert said in problem + remedy
    assert (folder / "tale.session").read_bytes() == a_session
    assert {path.name for path in folder.glob("[!.]*")} == {"tale.session", "damaged.session"}
    assert not (folder / ".new.lock").exists()


@pytest.fixture(scope="module")
def a_session(trained, tmp_path_factory):
    """The bytes of a session of the verses, 20 symbols long."""
    path = tmp_path_factory.mktemp("session") / "one"
    session = textgen.load(trained.model).session(seed=1)
    session.write(20)
    session.save(path)
    return path.read_bytes()


def test_one_that_is_damaged_hides_no_other(call, workplace, a_session):
    (workplace / "sessions").mkdir()
    for name, data in (("good", a_session), ("bad", a_session[5:]), ("empty", b"")):
        (workplace / "sessions" / f"{name}.session").write_bytes(data)
    status, out, err = call("sessions")
    assert status == 0 and out.startswith("good\t")
    assert len(err) == 2 and all(line.startswith("Warning: ") for line in err)
    told(call("sessions", "rm", "bad"))


DAMAGED = """
import json, sys
from textgen import cli
for name in json.load(open("names.json")):
    for words in (["sessions", "show", name], ["generate", "--session", name]):
        status = cli.run(words)
        print("====", status, file=sys.stderr, flush=True)
"""


def test_no_damage_goes_unseen(workplace, a_session):
    """Rows 1 and 2: bits flipped, bytes cut off and added, opened in a child process."""
    chance = random.Random(3)
    folder, names = workplace / "sessions", []
    folder.mkdir()
    flips, cuts = count(40, 1000), count(20, 500)
    for number in range(flips + cuts):
        data = bytearray(a_session)
        if number < flips:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        elif number % 2:
            del data[chance.randrange(len(data)) :]
        else:
            place = chance.choice([0, len(data), chance.randrange(len(data))])
            data[place:place] = chance.randbytes(chance.randint(1, 40))
        names.append(f"damaged{number}")
        (folder / f"{names[-1]}.session").write_bytes(data)
    (workplace / "names.json").write_text(json.dumps(names))
    done = subprocess.run(
        [sys.executable, "-c", DAMAGED], cwd=workplace, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    *answers, rest = done.stderr.split("==== 2\n")
    assert len(answers) == 2 * len(names) and not rest
    for answer in answers:
        problem, _ = answer.splitlines()
        assert problem.startswith("Error: damaged")
        assert problem.endswith(("its digest does not fit its bytes.", "is no session of textgen."))


def started(workplace, *words, **streams):
    return subprocess.Popen(
        [sys.executable, "-m", "textgen", *map(str, words)],
        cwd=workplace,
        stderr=subprocess.PIPE,
        **streams,
    )


@pytest.mark.skipif(sys.platform == "win32", reason="signals end otherwise there")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_keeps_what_was_shown(number, call, workplace):
    """At random moments: nothing, or what was shown; and then it goes on as if not interrupted."""
    chance, kept = random.Random(number), ""
    for _ in range(count(2, 50)):
        with (workplace / "out").open("wb") as out:
            words = ("generate", "--session", "tale", "--length", 10**7, "--seed", 3)
            process = started(workplace, *words, "--onnx", "verses", stdout=out)
            while not (workplace / "out").stat().st_size and process.poll() is None:
                time.sleep(0.01)
            time.sleep(chance.random() / 3)
            process.send_signal(number)
            _, said = process.communicate(timeout=60)
        assert process.returncode == 128 + number, said
        assert b"keeps what was shown" in said
        shown, before = (workplace / "out").read_text(), kept
        kept = text_of("tale", call)
        assert kept.startswith(before) and len(kept) > len(before)
        new = kept[len(before) :]
        assert shown == new + "\n" * (not new.endswith("\n"))
    model = textgen.load(workplace / "exported" / "verses.onnx")
    assert model.generate(length=len(kept), seed=3).text == kept


KEEPER = """
import sys, textgen
session = textgen.load("verses").session(seed=8)
while True:
    session.write(37)
    session.save("sessions/tale.session")
    print(len(session), flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill there")
def test_killed_it_is_the_old_one_or_the_new(workplace, call):
    chance = random.Random(5)
    for _ in range(count(2, 50)):
        process = subprocess.Popen(
            [sys.executable, "-c", KEEPER], cwd=workplace, stdout=subprocess.PIPE, text=True
        )
        process.stdout.readline()
        time.sleep(chance.random() / 4)
        process.kill()
        rest, _ = process.communicate()
        last = int(rest.split()[-1]) if rest.split() else 37
        file = SessionPlace("tale").read()
        assert len(file.history) in (last, last + 37)
    told(call(*GO_ON, 50))
    assert not list((workplace / "sessions").glob("*.part"))
    assert not list((workplace / "sessions").glob(".*.part"))
    text = text_of("tale", call)
    model = textgen.load(workplace / "exported" / "verses.onnx")
    assert model.generate(length=len(text), seed=8).text == text


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
def test_a_closed_pipe_leaves_it_as_it_was(workplace, a_session):
    path = workplace / "sessions" / "tale.session"
    path.parent.mkdir()
    path.write_bytes(a_session)
    process = started(workplace, *GO_ON, 10**7, stdout=subprocess.PIPE)
    process.stdout.read(300)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 141, said
    assert path.read_bytes() == a_session


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
@pytest.mark.parametrize("words", [GO_ON, ("sessions", "fork", "tale", "new", "--at")])
def test_a_full_disk_leaves_it_as_it_was(words, workplace, a_session):
    """A limit on the size of files stands in for the disk; what is written fails half-way."""
    path = workplace / "sessions" / "tale.session"
    path.parent.mkdir()
    path.write_bytes(a_session)

    def limit():
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))

    process = started(workplace, *words, 15, stdout=subprocess.PIPE, preexec_fn=limit)
    _, said = process.communicate()
    assert process.returncode == 1
    problem, remedy = said.decode().splitlines()[-2:]
    assert problem.startswith("Error: sessions/") and "could not be written" in problem and remedy
    assert path.read_bytes() == a_session
    assert {path.name for path in path.parent.iterdir()} <= {"tale.session", ".tale.lock"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_under_the_text_leaves_it_as_it_was(workplace, a_session):
    path = workplace / "sessions" / "tale.session"
    path.parent.mkdir()
    path.write_bytes(a_session)
    with Path("/dev/full").open("wb") as full:
        process = started(workplace, *GO_ON, 1000, stdout=full)
        _, said = process.communicate()
    assert process.returncode == 1 and b"space" in said
    assert path.read_bytes() == a_session


def test_two_at_once(workplace, call, a_session):
    place = SessionPlace("tale", workplace / "sessions")
    with place.locked():
        place.path.write_bytes(a_session)
        for words in ((*GO_ON, 5), ("sessions", "rewind", "tale", 1), ("sessions", "rm", "tale")):
            process = started(workplace, *words)
            _, said = process.communicate()
            problem, remedy = said.decode().splitlines()
            assert process.returncode == 2
            assert "Another program is writing the session tale" in problem
            assert "sessions fork tale" in remedy
        told(call("sessions", "fork", "tale", "other"))
    assert told(call(*GO_ON, 5)) == told(call("generate", "--session=other", "--length=5"))
    assert session_file.read(place.path).text == text_of("other", call)
