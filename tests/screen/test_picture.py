"""Pictures of terminals."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from nasty import nasty_texts

from textgen.screen.picture import picture

NAMESPACE = "{http://www.w3.org/2000/svg}"


def words(svg):
    root = ElementTree.fromstring(svg)
    return [(t.text or "").replace("\u00a0", " ") for t in root.iter(f"{NAMESPACE}text")]


def test_colours_and_weights():
    svg = picture(
        "\x1b[1mbold\x1b[0m plain \x1b[36mcyan\x1b[0m\n\x1b[2mdim\x1b[0m <&>\n", title="t"
    )
    assert words(svg) == ["t", "bold", " plain ", "cyan", "dim", " <&>"]
    assert 'font-weight="bold"' in svg and "#56b6c2" in svg and "opacity" in svg


def test_the_same_screen_gives_the_same_file():
    assert picture("\x1b[31mx\x1b[0m") == picture("\x1b[31mx\x1b[0m")


def test_wide_characters_take_two_columns():
    root = ElementTree.fromstring(picture("日本"))
    assert float(root.find(f".//{NAMESPACE}text").get("textLength")) == pytest.approx(4 * 8.4, 0.01)


def test_nasty_texts_give_a_sound_and_quiet_picture():
    for text in nasty_texts(200):
        svg = picture(text.replace("\x1b", "") + "\x1b]52;c;aA==\x07</svg><script>", title=text)
        root = ElementTree.fromstring(svg)
        assert {element.tag for element in root.iter()} <= {
            NAMESPACE + name for name in ("svg", "g", "rect", "text", "title")
        }
        assert "\\x1b]52;c;aA==\\x07</svg><script>" in "".join(words(svg))


def test_it_asks_for_nothing_from_anywhere():
    svg = picture("\x1b[1mx\x1b[0m", title="t").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in svg and "url(" not in svg and "@import" not in svg


def test_from_the_command_line():
    command = [sys.executable, "-m", "textgen.screen.picture", "textgen", "models"]
    done = subprocess.run(command, input=b"a \x1b[1mb\x1b[0m\n", capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert words(done.stdout.decode("utf-8")) == ["textgen models", "a ", "b"]
