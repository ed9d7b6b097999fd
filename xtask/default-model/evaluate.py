"""Asks the evaluation set greedily and prints a table of skills, as Markdown.

    python evaluate.py --pytorch build --answers build/pytorch.json       # the F32 weights
    python evaluate.py --llama-cpp build/default-q8_0.gguf                # a GGUF file through llama-cpp-python
    python evaluate.py --program '../../target/release/wasm-chord run --temp 0 -n 300 -m ../../host/model/default.gguf'

The program gets the question as its last argument and the system prompt, where there is one, as `-sys TEXT` before it.
Conversations of several turns are one text in ChatML: they need `--conversation-arguments`, for example
'--no-chat --special', and are left out of the table without it.
`--compare FILE` counts the answers that differ from those of an earlier run.
"""

import argparse
import json
import re
import shlex
import subprocess
from collections import defaultdict
from pathlib import Path

from tokenizers import Tokenizer

import generate

LIMIT = 320
STOPS = ("<|im_end|>", "<|endoftext|>")


def words(text):
    """The text in lower case with everything but letters and digits made spaces, fenced by spaces."""
    return " " + " ".join(re.findall(r"[^\W_]+", text.casefold())) + " "


def is_right(row, answer):
    """Whether the answer passes every check of its row."""
    if "equals" in row and " ".join(answer.split()) != row["equals"]:
        return False
    if "json" in row:
        try:
            return json.loads(answer) == row["json"]
        except ValueError:
            return False
    return (
        all(words(part) in words(answer) for part in row.get("contains", ()))
        and words(answer).startswith(words(row.get("starts", "")).rstrip() or " ")
        and words(answer).endswith(words(row.get("ends", "")).lstrip() or " ")
        and len(answer.split()) >= row.get("least_words", 1)
    )


def rendered(row):
    """The conversation as the model reads it, up to where it answers."""
    return generate.chat([(m["role"], m["content"]) for m in row["messages"]]) + "<|im_start|>assistant\n"


def ask_pytorch(rows, folder, name, tokenizer_path):
    import torch

    import model as llama
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = Tokenizer.from_file(tokenizer_path)
    network = llama.load(folder, name).to(device)
    stops = {tokenizer.token_to_id(s) for s in STOPS}
    prompts = [tokenizer.encode(rendered(row)).ids for row in rows]
    return [tokenizer.decode(ids) for ids, _ in llama.generate(network, prompts, stops, LIMIT, device)]


def ask_llama_cpp(rows, file, tokenizer_path):
    import llama_cpp
    import numpy
    tokenizer = Tokenizer.from_file(tokenizer_path)
    engine = llama_cpp.Llama(file, n_ctx=1024, n_batch=1024, n_threads=1, verbose=False)
    stops = [engine.tokenize(s.encode(), add_bos=False, special=True)[0] for s in STOPS]
    answers = []
    for row in rows:
        ids = engine.tokenize(rendered(row).encode(), add_bos=False, special=True)
        assert ids == tokenizer.encode(rendered(row)).ids, rendered(row)
        out = []
        engine.reset()
        engine.eval(ids)
        while len(out) < LIMIT:
            logits = numpy.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(engine.ctx, -1), (engine.n_vocab(),))
            token = int(logits.argmax())
            if token in stops:
                break
            out.append(token)
            engine.eval([token])
        answers.append(engine.detokenize(out).decode(errors="replace"))
    return answers


def ask_program(rows, command, conversation_arguments):
    answers = []
    for row in rows:
        messages = row["messages"]
        arguments = shlex.split(command)
        system = [m["content"] for m in messages if m["role"] == "system"]
        if len(messages) - len(system) > 1:
            if conversation_arguments is None:
                answers.append(None)
                continue
            arguments += shlex.split(conversation_arguments) + [rendered(row)]
        else:
            arguments += (["-sys", system[0]] if system else []) + [messages[-1]["content"]]
        run = subprocess.run(arguments, capture_output=True, text=True)
        if run.returncode != 0:
            raise SystemExit(f"{shlex.join(arguments)}: exit code {run.returncode}\n{run.stderr}")
        answers.append(run.stdout.strip())
    return answers


def table(rows, answers):
    """Skill, number of questions, share of right answers, as Markdown."""
    right = defaultdict(list)
    for row, answer in zip(rows, answers):
        if answer is not None:
            right[row["skill"]].append(is_right(row, answer))
    lines = ["| skill | questions | right |", "| --- | ---: | ---: |"]
    lines += [f"| {skill} | {len(r)} | {100 * sum(r) / len(r):.1f} % |" for skill, r in right.items()]
    everything = [x for r in right.values() for x in r]
    return "\n".join(lines + [f"| **all** | {len(everything)} | {100 * sum(everything) / len(everything):.2f} % |"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    engine = parser.add_mutually_exclusive_group(required=True)
    engine.add_argument("--pytorch", metavar="FOLDER")
    engine.add_argument("--llama-cpp", metavar="FILE")
    engine.add_argument("--program", metavar="COMMAND")
    engine.add_argument("--saved", metavar="ANSWERS", help="the answers of an earlier run")
    parser.add_argument("--model", default="default")
    parser.add_argument("--conversation-arguments", metavar="ARGUMENTS")
    parser.add_argument("--tokenizer", default="build/tokenizer.json")
    parser.add_argument("--questions", default="evaluation.jsonl")
    parser.add_argument("--every", type=int, default=1, help="ask only every so many questions")
    parser.add_argument("--answers", type=Path, help="write the answers to this file")
    parser.add_argument("--compare", type=Path, help="answers of an earlier run with the same questions")
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers, too")
    options = parser.parse_args()
    rows = [json.loads(line) for line in Path(options.questions).read_text().splitlines()][::options.every]
    if options.pytorch:
        answers = ask_pytorch(rows, options.pytorch, options.model, options.tokenizer)
    elif options.llama_cpp:
        answers = ask_llama_cpp(rows, options.llama_cpp, options.tokenizer)
    elif options.saved:
        answers = json.loads(Path(options.saved).read_text())
    else:
        answers = ask_program(rows, options.program, options.conversation_arguments)
    if options.answers:
        options.answers.write_text(json.dumps(answers, ensure_ascii=False, indent=0))
    print(table(rows, answers))
    if options.wrong:
        for row, answer in zip(rows, answers):
            if answer is not None and not is_right(row, answer):
                wanted = {k: v for k, v in row.items() if k not in ("skill", "messages")}
                print(f"- {row['skill']}: {[m['content'] for m in row['messages']]} -> {answer!r}, wanted {wanted}")
    if options.compare:
        earlier = json.loads(options.compare.read_text())[::options.every]
        print(f"{sum(a != b for a, b in zip(answers, earlier) if a is not None)} of {len(answers)} answers differ from {options.compare.name}")


if __name__ == "__main__":
    main()
