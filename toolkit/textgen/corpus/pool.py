"""Processes that share the jobs of a packing.

They begin once it has taken a second, if its jobs take longer than sending them would: a small
corpus does not pay for them, nor does running text with a symbol a character. The work is done
whatever becomes of them: what a process did not do is done here. Each is a plain child that
reads jobs and writes results (worker.py). It ends when its input does, so none outlives a packing
that was killed, and Ctrl-C does not reach it.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeVar

from textgen.corpus import wire
from textgen.corpus.encoding import Encoder, Job, Result
from textgen.corpus.worker import BOOT, describe

Task = TypeVar("Task")

AFTER = 1.0
"""Seconds of work after which it is shared."""

DEAR = 2e-8
"""Seconds of processor a character, above which sharing pays."""

MOST = 4
"""Processes at most: one that reads and writes cannot keep more of them busy."""

_SMALL = 1 << 14
"""Characters of a job that is not worth sending."""

_FRUGAL = {
    "OPENBLAS_NUM_THREADS": "1",
    # glibc keeps the memory of one job for the next: to fetch it anew takes a third of the time
    "MALLOC_MMAP_THRESHOLD_": str(1 << 25),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 26),
}
"""What such a process finds in its environment, unless the user's says otherwise."""

_BROKEN = (OSError, EOFError, ValueError, KeyError, TypeError)
"""What talking with a process that has ended, or says nonsense, raises."""


class Pool:
    """Does jobs, in other processes where that pays. Used as a context; leaving it ends them."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._began = time.monotonic()
        self._seconds = self._characters = 0.0
        """What was done here took so much of the processor."""
        self._jobs: SimpleQueue[tuple[Job, Future[Result | None]] | None] = SimpleQueue()
        self._workers: list[_Worker] = []
        self._size = min(_cores(), MOST)
        self._alone = self._size < 2 or not sys.executable or getattr(sys, "frozen", False)
        self._ahead = 2 * self._size + 2
        """How many tasks are begun before the first result is waited for."""

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for _ in self._workers:
            self._jobs.put(None)
        for worker in self._workers:
            worker.end()

    @property
    def processes(self) -> int:
        """How many there are to share with, now."""
        return sum(worker.ready for worker in self._workers)

    def in_order(
        self, tasks: Iterable[tuple[Task, Job | None]]
    ) -> Iterator[tuple[Task, Result | None]]:
        """Each task with what its job found, if it has one, in order; later ones are begun while
        the first is waited for."""
        waiting: deque[tuple[Task, Job | None, Future[Result | None] | None]] = deque()
        for task, job in tasks:
            waiting.append((task, job, self.submit(job) if job else None))
            while waiting and (len(waiting) > self._ahead or _done(waiting[0][2])):
                yield self._first(waiting)
        while waiting:
            yield self._first(waiting)

    def _first(
        self, waiting: deque[tuple[Task, Job | None, Future[Result | None] | None]]
    ) -> tuple[Task, Result | None]:
        task, job, future = waiting.popleft()
        if job is None or future is None:
            return task, None
        found = future.result()
        return task, self._run(job) if found is None else found

    def submit(self, job: Job) -> Future[Result | None]:
        """Begins a job: here, or in the next free process; None where that could not do it."""
        done: Future[Result | None] = Future()
        if job.length >= _SMALL and self.processes:
            self._jobs.put((job, done))
        else:
            done.set_result(self._run(job))
            if not self._alone and not self._workers and self._pays():
                self._share()
        return done

    def _share(self) -> None:
        described = describe(self._encoder)
        try:
            for _ in range(self._size):
                self._workers.append(_Worker(described, self._jobs))
        except OSError:  # no more processes, or no program to run in them
            self._alone = True

    def _run(self, job: Job) -> Result:
        began = time.thread_time()
        result = self._encoder.run(job)
        self._seconds += time.thread_time() - began
        self._characters += job.length
        return result

    def _pays(self) -> bool:
        long = time.monotonic() - self._began >= AFTER
        return long and self._seconds > DEAR * self._characters


class _Worker:
    """One process, and the thread that talks with it. A job that fails there has no result."""

    def __init__(
        self,
        described: dict[str, Any],
        jobs: SimpleQueue[tuple[Job, Future[Result | None]] | None],
    ) -> None:
        self.ready = False
        self._jobs = jobs
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        self._process = subprocess.Popen(
            [sys.executable, "-c", BOOT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**_FRUGAL, **os.environ},
            **apart,
        )
        self._thread = threading.Thread(target=self._talk, args=(described,), daemon=True)
        self._thread.start()

    def end(self) -> None:
        self._process.kill()
        self._thread.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process.wait()

    def _talk(self, described: dict[str, Any]) -> None:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(sys.path).encode("ascii") + b"\n")
            wire.send(stdin, described)
            wire.receive(stdout)
            self.ready = True
        except _BROKEN:
            pass
        while (task := self._jobs.get()) is not None:
            job, done = task
            found = None
            if self.ready:
                try:
                    wire.send_job(stdin, job)
                    found = wire.receive_result(stdout)
                except _BROKEN:
                    self.ready = False
            done.set_result(found)


def _done(future: Future[Result | None] | None) -> bool:
    return future is None or future.done()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
