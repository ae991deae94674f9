"""A new plugin as a whole distribution, written from templates."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template

from textgen.contracts import hooks
from textgen.contracts.errors import UserError, unknown_name
from textgen.entries import DISTRIBUTION, Entry
from textgen.storage import replacing_folder

KINDS = ("cell", "reader", "tokenizer", "sampler", "optimizer", "tracker", "command")
"""The kinds that there are templates for."""

LONGEST = 40
"""Characters of a name."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "$module.py": "$kind/module.py",
    "tests/test_$module.py": "$kind/test.py",
}
"""The files of a distribution, and the templates that they are made from."""

_PARTS = {"description": "description.txt", "use": "use.md"}
"""What a kind adds to the common files."""


@dataclass(frozen=True)
class NewPlugin:
    """A plugin to be written: its kind, and the name to be typed."""

    kind: str
    name: str

    @property
    def distribution(self) -> str:
        return f"textgen-{self.name}"

    @property
    def module(self) -> str:
        return self.distribution.replace("-", "_")

    @property
    def class_name(self) -> str:
        """Ends in the kind, and so is no word of Python or of a contract."""
        return "".join(map(str.capitalize, [*self.name.split("-"), self.kind]))

    def files(self) -> Iterator[tuple[str, str]]:
        """Paths below the distribution's folder, and texts."""
        kind = hooks.KINDS[self.kind]
        words = {
            "name": self.name,
            "kind": self.kind,
            "distribution": self.distribution,
            "module": self.module,
            "class_name": self.class_name,
            "group": kind.group,
            "hook": kind.hook,
            "contract": str(hooks.CONTRACT),
            "extra": "[train]" if self.kind in ("cell", "optimizer") else "",
        }
        for part, template in _PARTS.items():
            words[part] = _filled(f"{self.kind}/{template}", words).strip()
        for path, template in _FILES.items():
            yield Template(path).substitute(words), _filled(template, words)


def new_plugin(
    kind: str, name: str, installed: Iterable[Entry], commands: Container[str] = ()
) -> NewPlugin:
    """The plugin of that kind and name. Raises UserError for a kind without a template, and for a
    name that will not do or that the toolkit has; ``commands`` are its own."""
    if kind not in KINDS:
        raise unknown_name("kind of plugin to begin with", kind, KINDS)
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).lstrip("-0123456789")
    plain = plain.removeprefix("textgen-")[:LONGEST].strip("-")  # the distribution's name has it
    if name != plain or not _NAME.fullmatch(name):
        example = f": for example {plain}." if _NAME.fullmatch(plain) else "."
        raise UserError(
            f"{name!r} is no name for a plugin.",
            "Names are lower-case letters, digits and single hyphens, begin with a letter but not "
            f"with textgen-, and have at most {LONGEST} characters{example}",
        )
    plugin = NewPlugin(kind, name)
    bundled = [entry for entry in installed if entry.bundled]
    taken = {entry.module.partition(".")[0] for entry in bundled}
    same = any(entry.kind == kind and entry.name == name for entry in bundled)
    same = same or (kind == "command" and name in commands)
    if same or plugin.module in taken or plugin.distribution == DISTRIBUTION:
        raise UserError(
            f"The toolkit has the {kind if same else 'package'} {name!r} already.",
            "Give yours another name.",
        )
    return plugin


def write_plugin(plugin: NewPlugin, folder: Path) -> list[str]:
    """Writes the distribution into the new ``folder``, whole or not at all; returns its files.

    Raises UserError where the folder exists, TextgenError where it cannot be written.
    """
    if folder.exists() or folder.is_symlink():
        raise UserError(
            f"There is a {folder} already.", "Name another folder with -o, or remove it."
        )
    files = dict(plugin.files())
    with replacing_folder(folder) as aside:
        for path, text in files.items():
            file = aside / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
    return list(files)


def _filled(template: str, words: dict[str, str]) -> str:
    """A template's text with ``$name`` and the others filled in; ``$$`` is a dollar."""
    place = resources.files(__package__) / "templates"
    path = Template(template).substitute(words)
    return Template((place / f"{path}.tmpl").read_text(encoding="utf-8")).substitute(words)
