"""One measurement of llama.cpp, as JSON: the counterpart of one call of `wasm-chord bench`.

`cargo xtask compare` runs it once a round. Each test runs once to warm up and once to be measured, on random tokens,
after `--depth` others; a prompt goes in batches of 512, as llama-bench has it by default. All cores bring a sequence to
its depth, which is no part of the test.
"""

import argparse
import ctypes
import json
import os
import random
import time

import llama_cpp as llama

BATCH = 512
CACHE_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}

# Held for as long as the process lives: llama.cpp keeps only the address.
silent = llama.llama_log_callback(lambda level, text, data: None)


class Session:
    def __init__(self, options: argparse.Namespace):
        self.model = llama.llama_model_load_from_file(options.model.encode(), llama.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {options.model}")
        parameters = llama.llama_context_default_params()
        # One position more than is asked for, as wasm-chord takes it.
        positions = options.depth + max(options.prompt, options.generate) + 1
        parameters.n_ctx = positions * options.parallel
        parameters.n_seq_max = options.parallel
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.type_k = parameters.type_v = CACHE_TYPES[options.cache_type]
        self.context = llama.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot make a context of {parameters.n_ctx} positions")
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.random = random.Random(0)
        self.batch = llama.llama_batch_init(BATCH, 0, 1)
        # Tokens of each sequence so far.
        self.lengths = [0] * options.parallel

    def threads(self, count: int) -> None:
        llama.llama_set_n_threads(self.context, count, count)

    def decode(self, sequences: list[int]) -> None:
        """A random token more for each of `sequences`, at most a batch, up to the logits of the last of each."""
        batch, last = self.batch, {sequence: index for index, sequence in enumerate(sequences)}
        batch.n_tokens = len(sequences)
        for index, sequence in enumerate(sequences):
            batch.token[index] = self.random.randrange(self.vocabulary)
            batch.pos[index] = self.lengths[sequence]
            batch.n_seq_id[index] = 1
            batch.seq_id[index][0] = sequence
            batch.logits[index] = last[sequence] == index
            self.lengths[sequence] += 1
        if llama.llama_decode(self.context, batch) != 0:
            raise SystemExit("llama.cpp cannot decode")
        for index in last.values():
            llama.llama_get_logits_ith(self.context, index)
        llama.llama_synchronize(self.context)

    def prompt(self, count: int, sequence: int = 0) -> None:
        for begin in range(0, count, BATCH):
            self.decode([sequence] * min(BATCH, count - begin))

    def generate(self, count: int) -> None:
        for _ in range(count):
            self.decode(list(range(len(self.lengths))))

    def keep(self, positions: int) -> None:
        """Forgets everything after the first `positions` of each sequence."""
        for sequence in range(len(self.lengths)):
            llama.llama_memory_seq_rm(llama.llama_get_memory(self.context), sequence, positions, -1)
            self.lengths[sequence] = min(self.lengths[sequence], positions)


def measure(options: argparse.Namespace) -> dict:
    begun = time.perf_counter()
    session = Session(options)
    session.decode([0])
    ready = time.perf_counter() - begun

    session.keep(0)
    session.threads(os.cpu_count())
    for sequence in range(options.parallel):
        session.prompt(options.depth, sequence)
    session.threads(options.threads)
    speeds = []
    for test, count, sequences in (
        (session.prompt, options.prompt, 1),
        (session.generate, options.generate, options.parallel),
    ):
        if count == 0:
            continue
        for _ in range(2):
            session.keep(options.depth)
            begun = time.perf_counter()
            test(count)
            seconds = time.perf_counter() - begun
        speeds.append(count * sequences / seconds)
    return {"tokens_per_second": speeds, "ready_seconds": ready}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--describe", action="store_true", help="say the version and what it was built for")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=0)
    parser.add_argument("--generate", type=int, default=0)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--parallel", type=int, default=1)
    parser.add_argument("--cache-type", choices=CACHE_TYPES, default="f16")
    options = parser.parse_args()

    llama.llama_log_set(silent, ctypes.c_void_p(0))
    llama.llama_backend_init()
    if options.describe:
        # As in "CPU : AVX2 = 1 | FMA = 1 |".
        parts = llama.llama_print_system_info().decode().split(":", 1)[-1].split("|")
        features = [part.split("=")[0].strip() for part in parts if part.strip().endswith("= 1")]
        print(f"llama-cpp-python {llama.__version__} ({' '.join(features)})")
    else:
        print(json.dumps(measure(options)))


main()
