"""``textgen runs``: trainings, finished or not."""

from __future__ import annotations

from typing import Any

import click

from textgen.commands.parameters import believed, debug_option, json_option, word


@click.group(invoke_without_command=True)
@json_option
@debug_option
@click.pass_context
def command(ctx: click.Context, as_json: bool) -> None:
    """List trainings, newest first."""
    if ctx.invoked_subcommand is None:
        _list(as_json)


@command.command()
@click.argument("run")
@json_option
@debug_option
def show(run: str, as_json: bool) -> None:
    """Tell what RUN was trained with, how it went, and what it wrote on the way."""
    from textgen.screen import console, figures, tables
    from textgen.training.run_folder import find_run

    found = find_run(run)
    described, metrics = found.description(), found.metrics()
    if as_json:
        tables.show_json({"run": found.name, **described, "metrics": metrics})
        return
    with believed(found.path):
        cell, corpus = described["cell"], described["corpus"]
        details = {
            "run": str(found.path),
            "cell": f"{cell['name']} ({cell['distribution']} {cell['version']})",
            "corpus": corpus["name"],
            "settings": ", ".join(f"{key} {value}" for key, value in described["settings"].items()),
            **{
                f"loss, {figures.LOSSES.get(name, name)}": f"{loss['nats']:.4f} nats"
                for name, loss in _losses(metrics).items()
            },
            "state": _state(metrics),
        }
    tables.show_details(details)
    samples = found.path / "samples.txt"
    if samples.exists():
        # not read_text, which would turn a text's own carriage returns into line feeds
        console.write_text("\n" + samples.read_bytes().decode("utf-8", "replace"))


@command.command()
@click.argument("run")
@debug_option
def rm(run: str) -> None:
    """Remove RUN with its checkpoints; models exported from it stay."""
    import shutil

    from textgen.contracts.errors import UserError
    from textgen.screen import console
    from textgen.training.run_folder import RUNS, find_run

    found = find_run(run)
    if found.path.resolve().parent != RUNS.resolve():
        raise UserError(f"{found.path} is not in {RUNS}/.", "Remove it as any other folder.")
    with found.locked():
        pass
    shutil.rmtree(found.path)
    console.show_notice(f"Removed {found.path}")


def _list(as_json: bool) -> None:
    from textgen.contracts.errors import UserError
    from textgen.screen import console, tables
    from textgen.training.run_folder import all_runs

    rows = []
    for run in all_runs():
        try:
            with believed(run.path):
                described, metrics = run.description(), run.metrics()
                losses = _losses(metrics)
                nats = losses.get("cold", {}).get("nats")
                loss = "" if nats is None else f"{nats:.4f}"
                cell, corpus = word(described["cell"]["name"]), word(described["corpus"]["name"])
                state = _state(metrics)
        except UserError as error:
            console.show_warning(error.problem)
            continue
        if as_json:
            tables.show_json({"run": run.name, **described, "losses": losses, "state": state})
        else:
            rows.append([run.name, cell, corpus, loss, state])
    if not as_json:
        columns = ("run", "cell", "corpus", "nats", "state")
        tables.show_table(columns, rows, empty="No runs yet. Start one: textgen train --cell lstm")


def _losses(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    last: dict[str, Any] = next((m for m in reversed(metrics) if "finished" in m), {})
    return {key: last[key] for key in ("cold", "carried", "held_back", "nanogpt") if key in last}


def _state(metrics: list[dict[str, Any]]) -> str:
    if not metrics:
        return "not begun"
    last = metrics[-1]
    if "finished" in last:
        return "finished" if last["finished"] else f"interrupted at step {last['step']}"
    return f"at step {last['step']}"
