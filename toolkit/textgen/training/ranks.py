"""Ranks: processes that learn one network together, each from its own rows of every batch.

torchrun starts them, and tells each in the environment which one it is. All hold the same weights,
optimizer, random numbers and place in the text; only the rows that they compute, and the state
carried in them, are their own. After the backward pass gradients are summed over the ranks in one
message. DistributedDataParallel would send them while it still runs; but it forms its messages anew
after the first step, so that with three ranks or more a training that is resumed would not have the
last bits of one that is not, it averages where a sum weighted by symbols is right, and it wants a
gradient for every parameter.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from textgen.contracts.errors import TextgenError, UserError


class Ranks:
    """This process, number ``rank`` among ``count``. Alone, everything here is trivial.

    What is said of all ranks must be called by all of them, in the same order. Raises TextgenError
    where another one has gone.
    """

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank = rank
        self.count = count

    @property
    def first(self) -> bool:
        """Whether this is the rank that evaluates, tells and writes."""
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """Which rows of a batch are this rank's. Raises UserError where not all get as many."""
        share, rest = divmod(batch_size, self.count)
        if rest:
            more = batch_size - rest + self.count
            raise UserError(
                f"{batch_size} streams cannot be shared evenly by {self.count} ranks.",
                f"Give --batch-size {more}, or another number of ranks.",
            )
        return slice(self.rank * share, (self.rank + 1) * share)

    def sum(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor its sum over all ranks; the same bits on all of them."""
        if self.count > 1:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            with _in_touch():
                distributed.all_reduce(flat)
            sizes = [tensor.numel() for tensor in tensors]
            for tensor, part in zip(tensors, torch.split(flat, sizes), strict=True):
                tensor.copy_(part.view_as(tensor))

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (B / count, ...) of all ranks together, (B, ...)."""
        if self.count == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.count)]
        with _in_touch():
            distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    def drawn(self, like: Tensor, draw: Callable[[Tensor], Tensor], *, axis: int) -> Tensor:
        """What ``draw`` draws for a tensor like ``like``, whose ``axis`` is this rank's rows.

        It draws for the rows of all ranks: any number of them then draws the same, and their random
        numbers stay the same too.
        """
        if self.count == 1:
            return draw(like)
        shape = list(like.shape)
        shape[axis] *= self.count
        return draw(like.new_empty(shape)).chunk(self.count, axis)[self.rank]

    def largest(self, number: int) -> int:
        """The largest of all ranks' numbers. It waits for no device but the CPU."""
        if self.count == 1:
            return number
        largest = torch.tensor(number)
        with _in_touch():
            distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        return int(largest)

    def broadcast(self, data: bytes) -> bytes:
        """What the first rank gives."""
        if self.count == 1:
            return data
        size = torch.tensor(len(data))
        with _in_touch():
            distributed.broadcast(size, 0)
            sent = torch.empty(int(size), dtype=torch.uint8)
            if self.first:
                sent = torch.frombuffer(bytearray(data), dtype=torch.uint8)
            distributed.broadcast(sent, 0)
        return sent.numpy().tobytes()

    def agreed(self, value: Any) -> Any:
        """The value of JSON that the first rank has."""
        return value if self.count == 1 else json.loads(self.broadcast(json.dumps(value).encode()))

    def take_after_first(self, tensors: Sequence[Tensor]) -> None:
        """Puts into each tensor what the first rank has in it."""
        for tensor in tensors if self.count > 1 else ():
            with _in_touch():
                distributed.broadcast(tensor, 0)


ALONE = Ranks()
"""A process that trains by itself."""


def launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this process is, or will be, the first rank, or alone."""
    return not launched() or os.environ["RANK"] == "0"


def job() -> str:
    """What torchrun's job is known by, the same after it has started its processes again, or
    nothing. A job without an id of its own is known by torchrun's process."""
    if not launched():
        return ""
    name = os.environ["TORCHELASTIC_RUN_ID"]
    name = f"process {os.getppid()}" if name == "none" else name
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def launched_ranks(device: str, batch_size: int) -> Ranks:
    """The ranks that torchrun started, each with the CUDA device of its number on its machine; else
    this process alone.

    Raises UserError for a ``device`` or a ``batch_size`` that they cannot share.
    """
    count = int(os.environ["WORLD_SIZE"]) if launched() else 1
    if count == 1:
        return ALONE
    ranks = Ranks(int(os.environ["RANK"]), count)
    ranks.rows(batch_size)
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(
            f"Ranks cannot share the device {device}.",
            "Write --device auto, cuda or cpu: each rank takes a CUDA device of its own.",
        )
    devices = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    number = int(os.environ["LOCAL_RANK"])
    if devices and number >= devices:
        raise UserError(
            f"This machine has {devices} CUDA devices, and torchrun started more processes on it.",
            f"Give torchrun --nproc-per-node {devices}, or add --device cpu.",
        )
    if devices:
        torch.cuda.set_device(number)  # what "cuda" means from here on
    return ranks


@contextlib.contextmanager
def joined(ranks: Ranks) -> Iterator[None]:
    """While the block runs, the ranks are in touch with each other."""
    if ranks.count == 1:
        yield
        return
    # a backend that is not used opens no connection
    nccl = torch.cuda.is_available() and distributed.is_nccl_available()  # Windows has none
    backend = "cpu:gloo,cuda:nccl" if nccl else "gloo"
    with _in_touch():
        store, rank, count = next(rendezvous("env://"))
        store = PrefixStore(_common_word(store, rank, count), store)
        distributed.init_process_group(backend, store=store, rank=rank, world_size=count)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _common_word(store: Store, rank: int, count: int) -> str:
    """A word that these processes agree on, and none before them has used.

    torchrun's store outlives the processes: gloo would find addresses there of those that are gone.
    How often a machine has started its processes again does not tell those of all machines apart.
    """
    mine = uuid.uuid4().hex
    if rank == 0:
        others = [f"textgen/{mine}/{other}" for other in range(1, count)]
        store.set("textgen/word", mine)
        store.wait(others)
        for other in others:
            store.set(f"{other}/heard", store.get(other).decode())
        return mine
    while True:  # the word may still be an earlier one, whose first rank hears nobody any more
        word = store.get("textgen/word").decode()
        place = f"textgen/{word}/{rank}"
        store.set(place, mine)
        if store.check([f"{place}/heard"]) and store.get(f"{place}/heard").decode() == mine:
            return word
        time.sleep(0.01)


@contextlib.contextmanager
def _in_touch() -> Iterator[None]:
    """Says what it means that a message to the other ranks failed."""
    try:
        yield
    except RuntimeError as error:  # gloo's message is of its sources' lines and of addresses
        raise TextgenError(
            "Another rank of this training cannot be reached.",
            "With torchrun --max-restarts 3 all go on from the last checkpoint by themselves.",
        ) from error
