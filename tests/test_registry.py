"""The registry: metadata first, failures put aside, clashes refused, switches obeyed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fake_distributions import BROKEN_SAMPLERS, install, install_sampler, write_metadata
from textgen.contracts.errors import PluginError, UserError
from textgen.contracts.hooks import KINDS
from textgen.entries import DISTRIBUTION
from textgen.registry import Registry, discover


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on sys.path where distributions can be put."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv("TEXTGEN_PLUGINS", raising=False)
    yield folder
    for path in folder.glob("*.py"):
        sys.modules.pop(path.stem, None)


def test_bundled_plugins_come_through_the_entry_points():
    registry = discover()
    for kind in KINDS:
        entries = registry.entries(kind)
        assert entries or kind in ("tracker", "command")  # of which none are bundled
        for entry in entries:
            if entry.bundled:
                assert registry.load(kind, entry.name) is not None
                assert registry.find(kind, entry.full_name) == entry


def test_names_are_known_without_importing_anything(site):
    install_sampler(site, "textgen-loud", "loud", "raise RuntimeError('imported')")
    registry = discover()
    assert "loud" in registry.names("sampler")
    assert "textgen_loud" not in sys.modules


def test_a_third_party_plugin_loads(site):
    install_sampler(site, "textgen-same", "same")
    plugin = discover().load("sampler", "same")
    assert plugin.__name__ == "Same"


@pytest.mark.parametrize("name", BROKEN_SAMPLERS)
def test_a_broken_plugin_is_put_aside_and_quoted(site, name, capsys):
    source, quoted = BROKEN_SAMPLERS[name]
    install_sampler(site, f"textgen-{name}", name, source)
    lines: list[str] = []
    registry = discover(warn=lines.append)

    loaded = registry.load_all("sampler")
    assert "temperature" in loaded
    assert name not in loaded
    registry.load_all("sampler")
    assert len(lines) == 1
    assert quoted in lines[0]
    assert "\n" not in lines[0]

    with pytest.raises(PluginError) as refused:
        registry.load("sampler", name)
    assert quoted in refused.value.problem
    assert capsys.readouterr().out == ""
    assert registry.load("sampler", "temperature")


def test_a_dozen_broken_distributions_at_once(site):
    for name, (source, _) in BROKEN_SAMPLERS.items():
        install_sampler(site, f"textgen-{name}", name, source)
    lines: list[str] = []
    registry = discover(warn=lines.append)
    assert {"greedy", "temperature", "top-k", "top-p", "min-p"} <= set(registry.load_all("sampler"))
    assert len(lines) == len(BROKEN_SAMPLERS) == 12


HOOK = """
    from dataclasses import dataclass
    from textgen.contracts.hooks import hookimpl
    from textgen.contracts.sampler import Sampler

    TEXTGEN_CONTRACT = 1

    @hookimpl
    def textgen_samplers():
        return RETURNED
"""


@pytest.mark.parametrize(
    ("returned", "quoted"),
    [
        ("None", "textgen_odd.textgen_samplers() returns None, no mapping of names"),
        ("['odd']", "returns ['odd'], no mapping of names"),
        ("{1: Sampler}", "no mapping of names"),
        ("{'odd': type('S', (Sampler,), {'adjust': id, 'Options': int})}", "no dataclass"),
        ("{'odd': type('S', (Sampler,), {'adjust': id, 'Options': Wanting})}", "has no default"),
        ("{'odd': type('S', (Sampler,), {'adjust': id, 'Options': Listing})}", "neither bool"),
    ],
)
def test_a_hook_returns_what_it_should(site, returned, quoted):
    options = """
    @dataclass(frozen=True)
    class Wanting:
        number: int

    @dataclass(frozen=True)
    class Listing:
        numbers: list[int] = ()
    """
    install_sampler(site, "textgen-odd", "odd", HOOK.replace("RETURNED", returned) + options)
    with pytest.raises(PluginError) as refused:
        discover().load("sampler", "odd")
    assert quoted in refused.value.problem


def test_a_recipe_is_a_place(site):
    source = HOOK.replace("samplers", "corpora").replace("RETURNED", "{'odd': '/a.toml'}")
    install(site, "textgen-odd", source, {"textgen.corpora:odd": "textgen_odd"})
    with pytest.raises(PluginError, match=r"no pathlib\.Path and no resource"):
        discover().load("corpus", "odd")


@pytest.mark.parametrize(
    "target", ["", "textgen-odd", ".odd", "odd/cell.py", "odd:", "odd : x [y]"]
)
def test_an_entry_point_that_names_no_module(site, target):
    write_metadata(site, "textgen-odd", [("textgen.samplers", "odd", target)], "1.0")
    registry = discover()
    assert registry.load("sampler", "temperature")
    with pytest.raises(PluginError, match="could not be loaded"):
        registry.load("sampler", "odd")


def test_metadata_that_cannot_be_read(site):
    install_sampler(site, "textgen-half", "half")  # as an uninstalling leaves it that was cut short
    (site / "textgen_half-1.0.dist-info" / "METADATA").unlink()
    install_sampler(site, "textgen-same", "same")
    lines: list[str] = []
    registry = discover(warn=lines.append)
    assert registry.load("sampler", "same") and "half" not in registry.names("sampler")
    assert len(lines) == 1 and f"A distribution in {site} has metadata" in lines[0]


def test_streams_that_a_plugin_replaces_are_put_back(site, capsys):
    install_sampler(site, "textgen-mute", "mute", "import sys; sys.stdout = sys.stderr = None")
    with pytest.raises(PluginError):
        discover().load("sampler", "mute")
    print("still here")
    assert "still here" in capsys.readouterr().out
    assert sys.stderr is not None


def test_neither_of_two_that_share_a_name(site):
    install_sampler(site, "textgen-one", "twin")
    install_sampler(site, "textgen-two", "twin")
    registry = discover()
    with pytest.raises(UserError, match="2 plugins offer") as refused:
        registry.load("sampler", "twin")
    assert refused.value.remedy == "Write textgen-one:twin or textgen-two:twin."
    assert registry.load("sampler", "textgen-two:twin").__module__ == "textgen_two"
    assert {"textgen-one:twin", "textgen-two:twin"} <= set(registry.names("sampler"))


def test_a_bundled_name_stays_with_the_bundled_plugin(site):
    install_sampler(site, "textgen-thief", "temperature")
    registry = discover()
    assert registry.load("sampler", "temperature").__module__.startswith("textgen_samplers")
    assert registry.load("sampler", "textgen-thief:temperature").__module__ == "textgen_thief"
    assert "textgen-thief:temperature" in registry.names("sampler")


def test_an_unknown_name_lists_the_known_and_the_nearest():
    with pytest.raises(UserError) as refused:
        discover().load("sampler", "temprature")
    assert "Did you mean temperature?" in refused.value.remedy
    assert "top-p" in refused.value.remedy
    assert refused.value.exit_status == 2


def test_third_party_plugins_can_be_switched_off(site, monkeypatch):
    install_sampler(site, "textgen-same", "same")
    without = discover(third_party=False)
    assert "same" not in without.names("sampler")
    with pytest.raises(UserError, match="switched off") as refused:
        without.load("sampler", "same")
    assert "--no-plugins" in refused.value.remedy
    assert without.load("sampler", "temperature")

    monkeypatch.setenv("TEXTGEN_PLUGINS", "textgen-other")
    assert "same" not in discover().names("sampler")
    monkeypatch.setenv("TEXTGEN_PLUGINS", "textgen-other,textgen_same")
    assert discover().load("sampler", "same")


def test_a_plugin_in_one_file(tmp_path):
    file = tmp_path / "mine.py"
    from textwrap import dedent

    from fake_distributions import MINIMAL_SAMPLER

    file.write_text(dedent(MINIMAL_SAMPLER.replace("NAME", "mine")))
    registry = discover(files=[file])
    assert registry.load("sampler", "mine").__name__ == "Same"
    entry = registry.find("sampler", "mine")
    assert entry.distribution == "mine.py"
    assert entry.digest is not None
    assert len(entry.digest) == 64


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("raise ValueError('no luck')", "no luck"),
        ("TEXTGEN_CONTRACT = 1", "offers nothing"),
        (None, "no plugin file"),
    ],
)
def test_a_plugin_file_that_will_not_do(tmp_path, text, quoted):
    file = tmp_path / "bad.py"
    if text is not None:
        file.write_text(text)
    with pytest.raises((PluginError, UserError), match=quoted):
        discover(files=[file])


def test_a_plugin_file_ends_in_py(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("TEXTGEN_CONTRACT = 1")
    with pytest.raises(UserError, match=r"does not end in \.py"):
        discover(files=[file])


def test_a_plugin_file_may_not_take_a_name(tmp_path):
    from textwrap import dedent

    from fake_distributions import MINIMAL_SAMPLER

    file = tmp_path / "thief.py"
    file.write_text(dedent(MINIMAL_SAMPLER.replace("NAME", "greedy")))
    with pytest.raises(UserError, match=DISTRIBUTION):
        discover(files=[file])


def test_registries_share_nothing():
    assert Registry([]).names("cell") == []
    assert discover().names("cell") == ["gru", "lstm", "rnn"]


def test_finding_plugins_imports_neither_torch_nor_onnx():
    code = (
        "import sys, textgen.registry as r; r.discover().names('cell'); "
        "print([m for m in ('torch', 'onnx', 'onnxruntime') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
