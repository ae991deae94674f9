"""The folder sessions/: texts that are gone on with, one file each, found by their names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from textgen import shelf
from textgen.contracts.errors import UserError, unknown_name
from textgen.model_file import claimed_digest
from textgen.runtime import session_file
from textgen.runtime.session_file import SessionFile
from textgen.storage import explained

SESSIONS = Path("sessions")
_ENDING = ".session"
_NAME = re.compile(r"(?!\.)[\w.-]+")
_LONGEST = 120


class SessionPlace:
    """Where the session ``name`` is kept, or will be.

    Raises UserError for what cannot be a name. The ending of the file may be typed with it.
    """

    def __init__(self, name: str, folder: Path = SESSIONS) -> None:
        self.name = name.removesuffix(_ENDING)
        if not _NAME.fullmatch(self.name) or len(os.fsencode(self.name)) > _LONGEST:
            raise UserError(
                f"{name!r} cannot name a session.",
                f"Use letters, digits, - and _, at most {_LONGEST} of them.",
            )
        self.path = folder / f"{self.name}{_ENDING}"

    def exists(self) -> bool:
        return self.path.exists()

    def read(self) -> SessionFile:
        """What is kept there. Raises UserError where it is damaged."""
        return session_file.read(self.path)

    def write(self, file: SessionFile) -> None:
        """Puts ``file`` there, whole or not at all."""
        session_file.write(self.path, file)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the session for one program. Raises UserError where another has it."""
        with explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path.with_name(f".{self.name}.lock"))
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise UserError(
                    f"Another program is writing the session {self.name}.",
                    f"Wait for it, or go on beside it: textgen sessions fork {self.name} NEW",
                ) from None
        try:
            # what a program that was killed had not finished writing
            for left in self.path.parent.glob(f".{self.path.name}.*.part"):
                left.unlink(missing_ok=True)
            yield
        finally:
            if not self.exists():
                with suppress(OSError):  # it may hold other sessions; Windows keeps what is open
                    Path(lock.lock_file).unlink(missing_ok=True)
                    self.path.parent.rmdir()
            lock.release()


def find(name: str, folder: Path = SESSIONS) -> SessionPlace:
    """The session of that name. Raises UserError where there is none, listing those there are."""
    place = SessionPlace(name, folder)
    if not place.exists():
        known = [other.name for other in all_sessions(folder)]
        if known:
            raise unknown_name("session", place.name, known)
        raise UserError(
            f"There is no session {place.name}.",
            f"Begin it: textgen generate --session {place.name}",
        )
    return place


def all_sessions(folder: Path = SESSIONS) -> list[SessionPlace]:
    """The sessions in ``folder``, the one written last first."""
    files = [path for path in folder.glob(f"*{_ENDING}") if _NAME.fullmatch(path.stem)]
    files.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    return [SessionPlace(path.stem, folder) for path in files]


def find_model(name: str, file: SessionFile, typed: str | None) -> Path:
    """The model that wrote the session ``name``: the one ``typed``, else one of the same digest
    under the name it had then, here or in exported/, or under any other there.

    Raises UserError where it is another model, or is not found.
    """
    if typed is not None:
        path = shelf.find(typed)
        if claimed_digest(path) != file.digest:
            raise UserError(
                f"The session {name} was written by another model: {file.model}.",
                "Leave --onnx out, or begin a new session under another name.",
            )
        return path
    candidates = [Path(file.model), shelf.EXPORTED / file.model, *shelf.models()]
    for path in [*candidates, shelf.EXPORTED / shelf.NEWEST]:
        if path.is_file() and claimed_digest(path) == file.digest:
            return path
    raise UserError(
        f"The model of the session {name} is not found: {file.model}.",
        f"Say where it is: textgen generate --session {name} --onnx PATH",
    )


def first_name(path: Path) -> Path:
    """The model at ``path`` under its own name, where that is the copy of the newest."""
    if path != shelf.EXPORTED / shelf.NEWEST:
        return path
    digest = claimed_digest(path)
    return next((other for other in shelf.models() if claimed_digest(other) == digest), path)
