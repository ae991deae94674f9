"""Fetching: broken connections, wrong hashes, dangerous archives, wheels as data."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from corpus.loopback import Behaviour, serving
from textgen.contracts.errors import UserError
from textgen.corpus import archives
from textgen.corpus import download as download_module
from textgen.corpus.download import FetchError, download
from textgen.corpus.fetching import find_built, open_recipe, remove_built
from textgen.corpus.recipe import Recipe, load_recipe
from textgen.registry import discover
from textgen.sources import open_corpus
from textgen_corpora import textgen_corpora

DATA = random.Random(0).randbytes(5000)
HASH = hashlib.sha256(DATA).hexdigest()


def recipe(folder: Path, source: str, more: str = "") -> Recipe:
    path = folder / "mine.toml"
    path.write_text(f'licence = "CC0"\n[source]\n{source}\n{more}', encoding="utf-8")
    return load_recipe(path)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("sha256", [HASH, ""])
def test_goes_on_after_broken_connections(ranges: bool, sha256: str, tmp_path: Path) -> None:
    behaviour = Behaviour(DATA, ranges=ranges, breaks=2)
    told: list[tuple[str, int, int | None]] = []
    with serving(behaviour) as url:
        found = download(
            url,
            tmp_path / "a",
            sha256=sha256,
            progress=lambda *event: told.append(event),
            patience=0.01,
        )
    assert (tmp_path / "a").read_bytes() == DATA and found == HASH
    assert behaviour.requests[:3] == [
        None,
        "bytes=1000-",
        "bytes=2000-" if ranges else "bytes=1000-",
    ]
    assert told[-1] == ("downloading", 5000, 5000)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_the_next_call_goes_on(tmp_path: Path) -> None:
    behaviour = Behaviour(DATA, breaks=99, until=300)
    with serving(behaviour) as url:
        with pytest.raises(FetchError, match=r"after 1500 of 5000 bytes") as caught:
            download(url, tmp_path / "a", sha256=HASH, patience=0.001)
        assert "goes on" in caught.value.remedy and not (tmp_path / "a").exists()
        behaviour.breaks = 0
        behaviour.requests.clear()
        download(url, tmp_path / "a", sha256=HASH)
    assert behaviour.requests == ["bytes=1500-"]
    assert (tmp_path / "a").read_bytes() == DATA


def test_a_file_that_changed_meanwhile_is_fetched_whole(tmp_path: Path) -> None:
    behaviour = Behaviour(DATA, breaks=99, until=300)
    with serving(behaviour) as url:
        with pytest.raises(FetchError):
            download(url, tmp_path / "a", patience=0.001)
        behaviour.data, behaviour.etag, behaviour.breaks = b"new" * 2000, '"two"', 0
        download(url, tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"new" * 2000


def test_mixed_versions_are_found_by_the_hash(tmp_path: Path) -> None:
    """A server without validators changes its file between two stretches."""
    behaviour = Behaviour(b"old" * 2000, breaks=99, until=300, etag="")
    with serving(behaviour) as url:
        with pytest.raises(FetchError):
            download(url, tmp_path / "a", sha256=HASH, patience=0.001)
        behaviour.data, behaviour.breaks = DATA * 1, 0
        download(url, tmp_path / "a", sha256=HASH, patience=0.001)
    assert (tmp_path / "a").read_bytes() == DATA


def test_without_hash_and_validator_nothing_is_resumed(tmp_path: Path) -> None:
    behaviour = Behaviour(DATA, breaks=1, etag="")
    with serving(behaviour) as url:
        download(url, tmp_path / "a", patience=0.001)
    assert behaviour.requests == [None, None]
    assert (tmp_path / "a").read_bytes() == DATA


def test_patience_is_for_connections_that_bring_nothing(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(12 << 20)
    behaviour = Behaviour(data, breaks=8, until=3 << 19)
    with serving(behaviour) as url:
        download(url, tmp_path / "a", patience=0.001)
    assert (tmp_path / "a").read_bytes() == data and len(behaviour.requests) == 8


def test_wrong_hash(tmp_path: Path) -> None:
    with serving(Behaviour(DATA)) as url, pytest.raises(FetchError, match=HASH):
        download(url, tmp_path / "a", sha256="0" * 64)
    assert not list(tmp_path.iterdir())


def test_server_errors_pass_and_missing_files_do_not(tmp_path: Path) -> None:
    behaviour = Behaviour(DATA, errors=2)
    with serving(behaviour) as url:
        download(url, tmp_path / "a", patience=0.001)
        with pytest.raises(FetchError, match="404"):
            download(url + "/missing", tmp_path / "b")
    assert len(behaviour.requests) == 4


def test_nobody_there(tmp_path: Path) -> None:
    with serving(Behaviour(DATA)) as url:
        pass
    with pytest.raises(FetchError, match="could not be fetched"):
        download(url, tmp_path / "a", patience=0.001)


def test_no_redirect_to_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with serving(Behaviour(DATA, location=secret.as_uri())) as url, pytest.raises(FetchError):
        download(url, tmp_path / "a", patience=0.001)
    assert not (tmp_path / "a").exists()


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download_module, "LARGEST", 4000)
    with serving(Behaviour(DATA)) as url, pytest.raises(FetchError, match="larger than"):
        download(url, tmp_path / "a")


def test_a_text_from_the_web_is_built_once(tmp_path: Path) -> None:
    behaviour = Behaviour(b"plain text")
    with serving(behaviour) as url:
        mine = recipe(tmp_path, f'url = "{url}"')
        assert find_built(mine, tmp_path) is None
        built = open_recipe(mine, tmp_path)
        assert open_recipe(mine, tmp_path) == built == find_built(mine, tmp_path)
    assert behaviour.requests == [None]
    assert built.path.name == "text.txt" and built.path.read_text() == "plain text"
    assert (built.files, built.bytes) == (1, 10)
    assert remove_built(mine, tmp_path) and not remove_built(mine, tmp_path)
    assert find_built(mine, tmp_path) is None


def test_a_text_without_hash_is_pinned_by_its_first_download(tmp_path: Path) -> None:
    behaviour = Behaviour(b"first")
    with serving(behaviour) as url:
        mine = recipe(tmp_path, f'url = "{url}"')
        open_recipe(mine, tmp_path)
        remove_built(mine, tmp_path)
        open_recipe(mine, tmp_path)
        remove_built(mine, tmp_path)
        behaviour.data = b"other"
        with pytest.raises(FetchError, match="has changed"):
            open_recipe(mine, tmp_path)
    assert find_built(mine, tmp_path) is None


def test_what_no_hash_vouches_for_is_said(tmp_path: Path) -> None:
    verses = b"one fish two fish red fish blue fish\n" * 40
    with serving(Behaviour(verses)) as url:
        told = []
        for promised in ("", f'sha256 = "{hashlib.sha256(verses).hexdigest()}"'):
            recipe(tmp_path, f'url = "{url}"\n{promised}')
            told.append(list(open_corpus(str(tmp_path / "mine.toml"), discover()).notices))
    assert hashlib.sha256(verses).hexdigest() in told[0][0] and "on trust" in told[0][0]
    assert not any("on trust" in notice for notice in told[1])


def test_texts_from_the_registry_are_what_their_recipes_say(tmp_path: Path) -> None:
    """As ``make`` does, this needs a package index."""
    for name, beginning in (("shakespeare", "BERNARDO:\nWho's there?\n"), ("names", "emma\n")):
        mine = load_recipe(textgen_corpora()[name])
        built = open_recipe(mine, tmp_path)
        files = sorted(built.path.rglob("*.*")) if built.path.is_dir() else [built.path]
        texts = [path.read_text(encoding="utf-8") for path in files if path.is_file()]
        assert built.bytes == mine.size
        assert any(text.startswith(beginning) for text in texts)
        assert not any(mark in text for text in texts for mark in "_*#\\\r")


def test_a_built_corpus_that_lost_a_file_is_built_again(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("a")
    (tmp_path / "texts/b.txt").write_text("b")
    mine = recipe(tmp_path, 'path = "texts"')
    built = open_recipe(mine, tmp_path)
    (built.path / "a.txt").unlink()
    assert open_recipe(mine, tmp_path).files == 2


def made_zip(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def made_tar(files: dict[str, bytes], mode: str = "w:xz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


FILES = {"top/a.c": b"int a;", "top/deep/b.c": b"int b;", "top/c.h": b"int c;", "top/d.gz": b""}


@pytest.mark.parametrize("made", [made_zip, made_tar, lambda f: made_tar(f, "w:gz")])
def test_members_of_archives(made: object, tmp_path: Path) -> None:
    files = FILES | {"top/d.gz": gzip.compress(b"packed")}
    (tmp_path / "x.archive").write_bytes(made(files))  # type: ignore[operator]
    mine = recipe(
        tmp_path, 'path = "x.archive"\nmembers = ["top/*.c", "top/*.gz"]\nexclude = ["*/a.c"]'
    )
    built = open_recipe(mine, tmp_path)
    files_in = [path for path in built.path.rglob("*") if path.is_file()]
    found = {path.relative_to(built.path).as_posix(): path.read_bytes() for path in files_in}
    assert found == {"top/deep/b.c": b"int b;", "top/d": b"packed"}


@pytest.mark.parametrize(
    "name", ["../out.txt", "/out.txt", "a/../../out.txt", "a\\..\\out.txt", "C:out.txt", "a\nb"]
)
@pytest.mark.parametrize("made", [made_zip, made_tar])
def test_no_path_leads_out(name: str, made: object, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/x.archive").write_bytes(made({name: b"out"}))  # type: ignore[operator]
    mine = recipe(tmp_path / "in", 'path = "x.archive"')
    with pytest.raises(FetchError, match="leads out"):
        open_recipe(mine, tmp_path / "in" / "cache")
    assert not list(tmp_path.rglob("out.txt"))


def test_links_in_archives_are_passed_over(tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE):
            info = tarfile.TarInfo(f"link-{kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("good.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"good"))
    (tmp_path / "x.tar").write_bytes(out.getvalue())
    built = open_recipe(recipe(tmp_path, 'path = "x.tar"'), tmp_path)
    assert built.files == 1 and built.path.read_bytes() == b"good"


def test_bombs_stop_at_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "LARGEST", 1 << 20)
    (tmp_path / "x.zip").write_bytes(made_zip({"a": bytes(1 << 19), "b": bytes(1 << 20)}))
    with pytest.raises(FetchError, match="unpacks to more"):
        open_recipe(recipe(tmp_path, 'path = "x.zip"'), tmp_path)
    assert not list((tmp_path / "corpora").glob("mine-*/"))


@pytest.mark.parametrize("cut", [60, 120, 300])
def test_damaged_archives(cut: int, tmp_path: Path) -> None:
    whole = bytearray(made_zip({"a.txt": random.Random(0).randbytes(300)}))
    whole[cut] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(bytes(whole))
    mine = recipe(tmp_path, 'path = "x.zip"')
    with pytest.raises(FetchError, match="damaged archive"):
        open_recipe(mine, tmp_path)


def test_steps_and_empty_texts(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/a.md").write_bytes(b"# Title\r\n\r\nkept\r\n")
    (tmp_path / "t/b.md").write_text("# Nothing else\n")
    mine = recipe(tmp_path, 'path = "t"', "[[steps]]\npattern = '^#.*\\n+'\nreplacement = ''\n")
    built = open_recipe(mine, tmp_path)
    assert built.files == 1 and built.path.read_bytes() == b"kept\n"


def test_nothing_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    with pytest.raises(FetchError, match="none of the texts"):
        open_recipe(recipe(tmp_path, 'path = "t"'), tmp_path)
    with pytest.raises(FetchError, match="there is no"):
        open_recipe(recipe(tmp_path, 'path = "elsewhere"'), tmp_path)


def test_a_literal_is_parsed_never_run(tmp_path: Path) -> None:
    harmless = "import os\ntopics = {'a': 'one', 'b/../c': 'two'}\nraise SystemExit\n"
    (tmp_path / "t.py").write_text(harmless)
    built = open_recipe(recipe(tmp_path, 'path = "t.py"\nliteral = "topics"'), tmp_path)
    assert sorted(path.name for path in built.path.iterdir()) == ["a.txt", "b_.._c.txt"]
    (tmp_path / "t.py").write_text("topics = {'a': open('/etc/passwd').read()}\n")
    remove_built(recipe(tmp_path, 'path = "t.py"\nliteral = "topics"'), tmp_path)
    with pytest.raises(FetchError, match="cannot be parsed"):
        open_recipe(recipe(tmp_path, 'path = "t.py"\nliteral = "topics"'), tmp_path)


@pytest.mark.parametrize("name", ["python-docs", "python-source"])
def test_what_is_always_there(name: str, tmp_path: Path) -> None:
    built = open_recipe(load_recipe(textgen_corpora()[name]), tmp_path)
    assert built.files > 50 and built.bytes > 200_000
    for path in built.path.rglob("*.*"):
        if path.is_file():
            assert "\0" not in path.read_text(encoding="utf-8")


def made_wheel(folder: Path) -> str:
    """A wheel whose files would raise if anything ran them; its hash."""
    info = "poems-1.0.dist-info"
    data = made_zip(
        {
            "poems/__init__.py": b"raise SystemExit('was run')",
            "poems/a.md": b"**A**  \nline\n",
            f"{info}/METADATA": b"Metadata-Version: 2.1\nName: poems\nVersion: 1.0\n",
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
    )
    (folder / "poems-1.0-py3-none-any.whl").write_bytes(data)
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def registry_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes packages from instead of a registry."""
    folder = tmp_path / "registry"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null" if sys.platform != "win32" else "nul")
    return folder


def test_a_wheel_is_data(registry_folder: Path, tmp_path: Path) -> None:
    sha256 = made_wheel(registry_folder)
    source = f'package = "poems==1.0"\nsha256 = "{sha256}"\nmembers = ["poems/*.md"]'
    built = open_recipe(recipe(tmp_path, source), tmp_path)
    assert built.path.name == "a.md" and built.sha256 == sha256
    with pytest.raises(ImportError):
        __import__("poems")


def test_a_wheel_of_another_hash_or_none(registry_folder: Path, tmp_path: Path) -> None:
    made_wheel(registry_folder)
    for package in ("poems==1.0", "poems==2.0", "nothing==1.0"):
        mine = recipe(tmp_path, f'package = "{package}"\nsha256 = "{"0" * 64}"')
        with pytest.raises(FetchError, match="could not be fetched"):
            open_recipe(mine, tmp_path)


def test_a_source_distribution_is_not_run(registry_folder: Path, tmp_path: Path) -> None:
    marker = tmp_path / "was-run"
    setup = f"open({str(marker)!r}, 'w')\n".encode()
    data = made_tar({"poems-1.0/setup.py": setup, "poems-1.0/PKG-INFO": b"Name: poems\n"}, "w:gz")
    (registry_folder / "poems-1.0.tar.gz").write_bytes(data)
    sha256 = hashlib.sha256(data).hexdigest()
    with pytest.raises(FetchError):
        open_recipe(recipe(tmp_path, f'package = "poems==1.0"\nsha256 = "{sha256}"'), tmp_path)
    assert not marker.exists()


def test_a_recipe_without_a_folder_has_no_paths(tmp_path: Path) -> None:
    from dataclasses import replace

    mine = replace(recipe(tmp_path, 'path = "t"'), folder=None)
    with pytest.raises(UserError, match="lies in no folder"):
        open_recipe(mine, tmp_path)


def test_a_path_s_text_that_was_edited_is_built_again(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "one.txt").write_text("first")
    mine = recipe(tmp_path, 'path = "texts"')
    before = open_recipe(mine, tmp_path / "cache")
    assert open_recipe(mine, tmp_path / "cache").path == before.path
    (tmp_path / "texts" / "one.txt").write_text("second, and longer")
    after = open_recipe(mine, tmp_path / "cache")
    built = after.path if after.path.is_file() else after.path / "one.txt"
    assert built.read_text() == "second, and longer"
