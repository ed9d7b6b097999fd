"""Golden logits of small random models, for tests/golden.rs.

For every model of models.SHAPES, in every format of that shape, this writes two files. Formats with blocks of 256
weights have a wider model of the same architecture, with one layer instead of two.

NAME-FORMAT.gguf   The model: random weights, a real small tokenizer. Formats other than F32 are made from the F32 file
                   by llama.cpp's quantiser with every matrix, embedding and output head included, in that one format;
                   vectors (norms, biases, rope_freqs) stay F32.
NAME-FORMAT.json   What it computes. All logits are float32 values written with seven significant digits.
  file             name of the GGUF file; `sha256` its digest
  architecture, format, vocabulary (tokens in the vocabulary), seed (of the weights)
  prompt           text; `tokens`: its token ids, as the trainer's library and llama.cpp agree on, special beginning
                   token included where the file asks for one
  positions        indexes into `tokens`, ascending, the last one is the last token
  reference        Hugging Face transformers: the file dequantised, computed in float32.
    by             versions
    logits         one list of `vocabulary` numbers for each of `positions`: the logits after that token
    greedy         64 token ids: the continuation of the prompt by argmax
    smallest_gap   smallest difference of best and second-best logit on that path
    float64        our own float64 forward pass of the same weights against it: `cosine_distance`, `max_abs` (over
                   all prompt positions)
  llama_cpp        llama.cpp on the CPU, activations quantised as it does, keys and values kept in F32.
    by             version
    logits, greedy as above
    cosine_distance, max_abs
                   against reference.logits, one number for each of `positions`: what llama.cpp itself loses against
                   float32 arithmetic on the same weights
    whole_prompt   `mean_cosine_distance` and `max_cosine_distance` against the reference over all of `tokens`
    greedy_agrees  leading greedy tokens equal to the reference's
    f16_cache      the same four with llama.cpp's default F16 keys and values
A cosine distance is 1 - a.b / (|a| |b|), computed in float64.

Seeds are the first for which the float64 greedy path of the F32 model keeps every gap above MINIMUM_GAP (so that rounding
does not decide it), emits no control token and does not fall into repetition.

--only TEXT makes the models whose name contains TEXT. Run by `cargo xtask golden`.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import tempfile
from pathlib import Path

os.environ["TQDM_DISABLE"] = "1"  # read when transformers is imported

import llama_cpp
import numpy as np
import torch
import transformers

import models
import oracles

MINIMUM_GAP = 0.02
MINIMUM_VARIETY = 24  # different tokens among the 64
LOSSES = ("cosine_distance", "max_abs", "whole_prompt", "greedy_agrees")


def main():
    arguments = argparse.ArgumentParser(description="golden logits of small random models")
    arguments.add_argument("--out", type=Path, required=True)
    arguments.add_argument("--only", default="")
    arguments = arguments.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(1)
    for shape in models.SHAPES:
        if arguments.only in shape.name:
            make(shape, arguments.out)


def make(shape, out):
    vocabulary = models.vocabulary(shape)
    text, tokens = vocabulary.prompt()
    seed, tensors = lively_weights(shape, vocabulary, tokens)
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.gguf"
        models.write(base, shape, vocabulary, tensors)
        assert oracles.llamacpp_tokens(base, text) == tokens, f"{shape.name}: tokenizers disagree"
        for name in shape.formats:
            path = out / f"{shape.name.removesuffix('-wide')}-{name.lower()}.gguf"
            if name == "F32":
                path.write_bytes(base.read_bytes())
            else:
                models.quantize(base, path, name)
            golden = {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            golden |= {"architecture": shape.architecture, "format": name, "vocabulary": shape.vocabulary, "seed": seed}
            golden |= {"prompt": text, "tokens": tokens, **measure(path, shape, tokens)}
            path.with_suffix(".json").write_text(encode(golden))
            report(golden)


def lively_weights(shape, vocabulary, tokens):
    for seed in range(10000):
        tensors = models.weights(shape, seed)
        logits, greedy, gaps = oracles.Float64(shape, tensors).run(tokens)
        varied = len(set(greedy)) >= MINIMUM_VARIETY and not vocabulary.control & set(greedy)
        if min(gaps) >= MINIMUM_GAP and varied and 1.0 <= logits.std() <= 3.0:
            return seed, tensors
    raise AssertionError(f"{shape.name}: no seed gives a greedy path with margins")


def measure(path, shape, tokens):
    last = len(tokens) - 1
    positions = [0, last // 3, 2 * last // 3, last]
    logits, greedy, gaps = oracles.huggingface(path, shape, tokens)
    exact, _, _ = oracles.float64(path, shape, tokens)
    reference = {
        "by": f"transformers {transformers.__version__}, torch {torch.__version__}, gguf {importlib.metadata.version('gguf')}, float32",
        "logits": logits[positions],
        "greedy": greedy,
        "smallest_gap": min(gaps),
        "float64": {"cosine_distance": distance(logits.ravel(), exact.ravel()), "max_abs": float(abs(logits - exact).max())},
    }
    assert reference["float64"]["cosine_distance"] < 1e-9, f"{path.name}: transformers computes something else"
    runs = {}
    for cache in ("F32", "F16"):
        theirs, their_greedy = oracles.llamacpp(path, tokens, cache)
        runs[cache] = {
            "logits": theirs[positions],
            "greedy": their_greedy,
            "cosine_distance": [distance(logits[p], theirs[p]) for p in positions],
            "max_abs": [float(abs(logits[p] - theirs[p]).max()) for p in positions],
            "whole_prompt": spread(logits, theirs),
            "greedy_agrees": agreement(greedy, their_greedy),
        }
    llama = {"by": f"llama-cpp-python {llama_cpp.__version__}", **runs["F32"]}
    llama["f16_cache"] = {key: runs["F16"][key] for key in LOSSES}
    return {"positions": positions, "reference": reference, "llama_cpp": llama}


def distance(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float(1 - a @ b / np.sqrt((a @ a) * (b @ b)))


def spread(ours, theirs):
    distances = [distance(a, b) for a, b in zip(ours, theirs)]
    return {"mean_cosine_distance": float(np.mean(distances)), "max_cosine_distance": max(distances)}


def agreement(ours, theirs):
    return next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), len(ours))


def encode(golden):
    """JSON with one line for each key, and one for each row of logits."""

    def value(item, indent):
        if isinstance(item, dict):
            inner = ",\n".join(f"{indent} {json.dumps(key)}: {value(entry, indent + ' ')}" for key, entry in item.items())
            return "{\n" + inner + "\n" + indent + "}"
        if isinstance(item, np.ndarray):
            rows = (",".join(f"{number:.7g}" for number in row) for row in item.tolist())
            return "[" + ",\n".join(f"[{row}]" for row in rows) + "]"
        return json.dumps(item)

    return value(golden, "") + "\n"


def report(golden):
    reference, llama = golden["reference"], golden["llama_cpp"]
    print(
        f"{golden['file']:20} seed {golden['seed']:4} gap {reference['smallest_gap']:.4f} "
        f"float64 {reference['float64']['cosine_distance']:.1e} "
        f"llama.cpp {llama['whole_prompt']['mean_cosine_distance']:.2e} max {llama['whole_prompt']['max_cosine_distance']:.2e} "
        f"(F16 cache {llama['f16_cache']['whole_prompt']['mean_cosine_distance']:.2e}) "
        f"greedy {llama['greedy_agrees']}/{len(reference['greedy'])}",
        flush=True,
    )


if __name__ == "__main__":
    main()
