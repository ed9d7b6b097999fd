"""One measurement of llama.cpp, as JSON: the counterpart of one call of `wasm-chord bench`.

`cargo xtask compare` runs it once a round. Each test runs once to warm up and once to be measured, on random tokens,
after `--depth` others; a prompt goes in batches of 512, as llama-bench has it by default.
"""

import argparse
import ctypes
import json
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
        parameters.n_ctx = options.depth + max(options.prompt, options.generate) + 1
        parameters.n_batch = parameters.n_ubatch = BATCH
        parameters.n_threads = parameters.n_threads_batch = options.threads
        parameters.type_k = parameters.type_v = CACHE_TYPES[options.cache_type]
        self.context = llama.llama_init_from_model(self.model, parameters)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot make a context of {parameters.n_ctx} positions")
        self.vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(self.model))
        self.random = random.Random(0)

    def decode(self, count: int) -> None:
        """`count` random tokens, at most a batch, up to the logits of the last."""
        tokens = (llama.llama_token * count)(*(self.random.randrange(self.vocabulary) for _ in range(count)))
        if llama.llama_decode(self.context, llama.llama_batch_get_one(tokens, count)) != 0:
            raise SystemExit("llama.cpp cannot decode")
        llama.llama_get_logits_ith(self.context, -1)
        llama.llama_synchronize(self.context)

    def prompt(self, count: int) -> None:
        for begin in range(0, count, BATCH):
            self.decode(min(BATCH, count - begin))

    def generate(self, count: int) -> None:
        for _ in range(count):
            self.decode(1)

    def keep(self, positions: int) -> None:
        """Forgets everything after the first `positions`."""
        llama.llama_memory_seq_rm(llama.llama_get_memory(self.context), 0, positions, -1)


def measure(options: argparse.Namespace) -> dict:
    begun = time.perf_counter()
    session = Session(options)
    session.decode(1)
    ready = time.perf_counter() - begun

    session.keep(0)
    session.prompt(options.depth)
    speeds = []
    for test, count in ((session.prompt, options.prompt), (session.generate, options.generate)):
        if count == 0:
            continue
        for _ in range(2):
            session.keep(options.depth)
            begun = time.perf_counter()
            test(count)
            seconds = time.perf_counter() - begun
        speeds.append(count / seconds)
    return {"tokens_per_second": speeds, "ready_seconds": ready}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--describe", action="store_true", help="say the version and what it was built for")
    parser.add_argument("--model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--prompt", type=int, default=0)
    parser.add_argument("--generate", type=int, default=0)
    parser.add_argument("--depth", type=int, default=0)
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
