// Writes text with a model of textgen in JavaScript, with onnxruntime-web's plain WebAssembly:
// what runs here under Node runs in a browser too.
//
//     npm install
//     node generate.mjs model.onnx --prompt "ROMEO:" --length 300 --seed 1

import { readFile } from "node:fs/promises";
import { parseArgs } from "node:util";
import * as ort from "onnxruntime-web";

// The model's JSON: metadata_props is field 14 of the protobuf message ModelProto, and each of its
// entries holds a key (field 1) and a value (field 2).
function metadata(bytes) {
  const found = {};
  for (const [field, entry] of fields(bytes)) {
    if (field !== 14) continue;
    const parts = new Map(fields(entry));
    found[text(parts.get(1))] = text(parts.get(2));
  }
  return JSON.parse(found.textgen);
}

function* fields(bytes) {
  let at = 0;
  const varint = () => {
    let value = 0, scale = 1, byte;
    do {
      byte = bytes[at++];
      value += (byte & 127) * scale;
      scale *= 128;
    } while (byte & 128);
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    const wire = tag % 8;
    if (wire === 0) varint();
    else if (wire === 2) {
      const size = varint();
      yield [(tag - wire) / 8, bytes.subarray(at, at + size)];
      at += size;
    } else at += wire === 1 ? 8 : 4;
  }
}

const text = (bytes) => new TextDecoder().decode(bytes);

// A symbol's bytes: UTF-8, but for lone surrogates U+DC80 to U+DCFF, which stand for single bytes.
function symbolBytes(symbol) {
  const bytes = [];
  for (const character of symbol) {
    const code = character.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) bytes.push(code - 0xdc00);
    else bytes.push(...new TextEncoder().encode(character));
  }
  return bytes;
}

// Ids of the longest symbols that fit, from left to right; what none fits is left out.
function encode(prompt, symbols) {
  const bytes = new TextEncoder().encode(prompt);
  const ids = [];
  for (let at = 0; at < bytes.length; ) {
    let best = -1, size = 0;
    symbols.forEach((symbol, id) => {
      if (symbol.length > size && symbol.every((byte, i) => bytes[at + i] === byte))
        [best, size] = [id, symbol.length];
    });
    if (best >= 0) ids.push(best);
    at += size || 1;
  }
  return ids;
}

// The first symbol whose cumulative probability exceeds u, a number in [0, 1).
function draw(logits, temperature, u) {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const weights = Array.from(logits, (value) => Math.exp((value - largest) / temperature));
  const total = weights.reduce((a, b) => a + b);
  let sum = 0;
  return weights.findIndex((weight) => (sum += weight) > u * total);
}

// A small seeded generator (a Weyl sequence, mixed as in MurmurHash3); any other would do.
function generator(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x85ebca6b);
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32;
  };
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    prompt: { type: "string", default: "" },
    length: { type: "string", default: "300" },
    temperature: { type: "string", default: "0.8" },
    seed: { type: "string", default: String(Math.floor(Math.random() * 2 ** 32)) },
    noise: { type: "string" }, // a JSON list of the numbers to draw with
    json: { type: "boolean", default: false }, // print ids and logits too
  },
});

ort.env.wasm.numThreads = 1;
const bytes = new Uint8Array(await readFile(positionals[0]));
const session = await ort.InferenceSession.create(bytes, {
  executionProviders: ["wasm"],
  logSeverityLevel: 3, // errors alone
});
const info = metadata(bytes);
const symbols = info.vocabulary.symbols.map(symbolBytes);
const { boundary } = info.vocabulary;
const ends = !["files", "none"].includes(info.documents); // a model of lines ends its text itself

const state = {};
for (const { name, shape, initial } of info.states) {
  const size = shape.reduce((a, b) => a * b, 1);
  const start = Array.isArray(initial) ? initial.flat(Infinity) : Array(size).fill(initial);
  state[name] = new ort.Tensor("float32", Float32Array.from(start), [1, ...shape]);
}
const given = encode(options.prompt, symbols);
const random = generator(Number(options.seed));
const noise = options.noise ? JSON.parse(await readFile(options.noise, "utf8")) : null;
const written = [];
const seen = [];
let token = boundary;
while (written.length < Number(options.length)) {
  const input = new ort.Tensor("int64", BigInt64Array.of(BigInt(token)), [1]);
  const outputs = await session.run({ token: input, ...state });
  for (const name of Object.keys(state)) state[name] = outputs[`${name}.next`];
  const logits = outputs.logits.data.slice();
  if (options.json) seen.push(Array.from(logits));
  if (given.length) {
    token = given.shift();
    continue;
  }
  if (!ends) logits[boundary] = -Infinity;
  token = draw(logits, Number(options.temperature), noise ? noise[written.length] : random());
  if (token === boundary) break;
  written.push(token);
}
const output = options.prompt + text(Uint8Array.from(written.flatMap((id) => symbols[id])));
console.log(options.json ? JSON.stringify({ text: output, ids: written, logits: seen }) : output);
