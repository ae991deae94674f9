"""Writes text with a model of textgen, without textgen: its file tells everything about itself.

    python plain_python.py model.onnx --prompt "ROMEO:" --length 300 --seed 1

needs onnxruntime and numpy alone; ``--reference`` takes onnx's own evaluator instead, which is
slow, plain Python and numpy.
"""

import argparse
import json
from pathlib import Path

import numpy as np


def open_model(path, reference):
    """What the file says of itself, and a function: inputs by name -> list of outputs."""
    if reference:
        import onnx
        from onnx.reference import ReferenceEvaluator

        model = onnx.load(path)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        session = ReferenceEvaluator(model)
    else:
        import onnxruntime

        onnxruntime.set_default_logger_severity(3)  # errors alone
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        metadata = session.get_modelmeta().custom_metadata_map
    return json.loads(metadata["textgen"]), lambda inputs: session.run(None, inputs)


def encode(text, symbols):
    """Ids of the longest symbols that fit, from left to right; what none fits is left out."""
    rest, ids = text.encode(), []
    known = sorted(((s, i) for i, s in enumerate(symbols) if s), key=lambda pair: -len(pair[0]))
    while rest:
        symbol, index = next((pair for pair in known if rest.startswith(pair[0])), (rest[:1], None))
        ids += [] if index is None else [index]
        rest = rest[len(symbol) :]
    return ids


def draw(logits, temperature, u):
    """The first symbol whose cumulative probability exceeds ``u``, a number in [0, 1)."""
    weights = np.exp((logits - logits.max()).astype(np.float64) / temperature)
    cumulative = np.cumsum(weights)
    return int(np.searchsorted(cumulative, u * cumulative[-1], side="right"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--prompt", default="")
    parser.add_argument("--length", type=int, default=300)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--noise", help="a JSON list of the numbers to draw with")
    parser.add_argument("--reference", action="store_true", help="run onnx's own evaluator")
    parser.add_argument("--json", action="store_true", help="print ids and logits too")
    options = parser.parse_args()

    info, run = open_model(options.model, options.reference)
    symbols = [s.encode("utf-8", "surrogateescape") for s in info["vocabulary"]["symbols"]]
    boundary = info["vocabulary"]["boundary"]
    ends = info["documents"] not in ("files", "none")  # a model of lines ends its text itself
    state = {s["name"]: np.full((1, *s["shape"]), s["initial"], np.float32) for s in info["states"]}
    if options.noise:
        noise = json.loads(Path(options.noise).read_text())
    else:
        noise = np.random.default_rng(options.seed).random(options.length)

    token, given, written, seen = boundary, encode(options.prompt, symbols), [], []
    while len(written) < options.length:
        logits, *following = run({"token": np.array([token]), **state})
        state = dict(zip(state, following, strict=True))
        seen.append(logits[0].tolist())
        if given:
            token = given.pop(0)
            continue
        if not ends:
            logits[0, boundary] = -np.inf
        token = draw(logits[0], options.temperature, noise[len(written)])
        if token == boundary:
            break
        written.append(token)

    text = options.prompt + b"".join(symbols[i] for i in written).decode("utf-8", "replace")
    print(json.dumps({"text": text, "ids": written, "logits": seen}) if options.json else text)


if __name__ == "__main__":
    main()
