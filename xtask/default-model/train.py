"""Trains the default model or its draft on the generated corpus.

    python train.py --model default --steps 20000 --out build
    python train.py --model draft --teacher build --steps 6000 --out build

The loss is the cross entropy of what the assistant says (and of plain documents, whole); questions and system prompts
are only read. The draft also learns the probabilities of its teacher, so that it proposes what the teacher would say.
Documents are batched with others of about their length and never see each other.
"""

import argparse
import math
import multiprocessing
import os
import time

import numpy
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

import generate
import model as llama
from tokenizer import IM_END, IM_START

os.environ["TOKENIZERS_PARALLELISM"] = "false"
BUCKETS = (64, 96, 160, 256, 448, 1024)


def encode_shard(job):
    """One shard of the corpus as (token ids, whether each is learned) pairs."""
    index, path = job
    tokenizer = Tokenizer.from_file(path)
    header = tokenizer.encode("assistant\n").ids
    rows = []
    for encoding in tokenizer.encode_batch(generate.shard(index)):
        ids = numpy.array(encoding.ids, dtype=numpy.uint16)
        if len(ids) > BUCKETS[-1]:
            continue
        learn = numpy.zeros(len(ids), dtype=bool)
        starts = numpy.flatnonzero(ids == IM_START)
        if len(starts) == 0:
            learn[:] = True
        ends = numpy.flatnonzero(ids == IM_END)
        for start, end in zip(starts, ends):
            body = start + 1 + len(header)
            if list(ids[start + 1:body]) == header:
                learn[body:end + 1] = True
        rows.append((ids, learn))
    return rows


def load_corpus(documents, tokenizer_path, device):
    """For each bucket the padded ids and learn masks of its documents: [(length, ids, learn)], both (documents, length)."""
    buckets = {length: [] for length in BUCKETS}
    with multiprocessing.Pool() as pool:
        jobs = ((i, tokenizer_path) for i in range(-(-documents // generate.SHARD_DOCUMENTS)))
        for rows in pool.imap(encode_shard, jobs):
            grouped = {length: [] for length in BUCKETS}
            for ids, learn in rows:
                grouped[next(b for b in BUCKETS if len(ids) <= b)].append((ids, learn))
            for length, members in grouped.items():
                block = numpy.zeros((len(members), 2, length), dtype=numpy.uint16)
                for r, (ids, learn) in enumerate(members):
                    block[r, 0, :len(ids)], block[r, 1, :len(ids)] = ids, learn
                buckets[length].append(block)
    corpus = []
    for length, blocks in buckets.items():
        joined = numpy.concatenate(blocks)
        corpus.append((length, torch.from_numpy(joined[:, 0].astype(numpy.int16)).to(device), torch.from_numpy(joined[:, 1].astype(bool)).to(device)))
    return corpus


def batches(corpus, tokens, steps, seed):
    """`steps` batches of about so many tokens as (ids, learn), epoch after epoch in a shuffled order."""
    draw = torch.Generator().manual_seed(seed)
    plan = []
    for step in range(steps):
        if not plan:
            for b, (length, ids, _) in enumerate(corpus):
                rows = max(1, tokens // length)
                order = torch.randperm(len(ids), generator=draw)
                # Only whole batches: every batch of a bucket has one shape, and a small corpus is repeated to fill one.
                if len(order) < rows:
                    order = order.repeat(-(-rows // max(1, len(order))))[:rows]
                plan += [(b, part) for part in order.split(rows) if len(part) == rows]
            plan = [plan[i] for i in torch.randperm(len(plan), generator=draw).tolist()]
        b, rows = plan.pop()
        rows = rows.to(corpus[b][1].device)
        yield corpus[b][1][rows].long(), corpus[b][2][rows]


def losses(hidden, embedding, targets, learn, teacher_logits):
    """The mean cross entropy over learned tokens, and the divergence from the teacher (zero without one)."""
    logits = F.linear(hidden, embedding).float()
    count = learn.sum().clamp(min=1)
    cross = (F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none") * learn.flatten()).sum() / count
    if teacher_logits is None:
        return cross, torch.zeros_like(cross)
    teacher = F.log_softmax(teacher_logits.float(), -1)
    divergence = (teacher.exp() * (teacher - F.log_softmax(logits, -1))).sum(-1)
    return cross, (divergence * learn).sum() / count


def learning_rate(step, steps, peak):
    warm = min(300, steps // 10)
    if step < warm:
        return peak * (step + 1) / warm
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm))))


def optimizer_of(network, peak, fused):
    """AdamW; matrices decay, norms do not."""
    matrices = [p for p in network.parameters() if p.dim() == 2]
    vectors = [p for p in network.parameters() if p.dim() < 2]
    return torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}], lr=peak, betas=(0.9, 0.95), fused=fused)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=tuple(llama.CONFIGS), default="default")
    parser.add_argument("--teacher", help="folder with the weights of the default model, for the draft")
    parser.add_argument("--documents", type=int, default=3_000_000)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--tokens", type=int, default=65_536, help="tokens of a batch")
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tokenizer", default="build/tokenizer.json")
    parser.add_argument("--out", default="build")
    options = parser.parse_args()

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(options.seed)
    start = time.time()
    corpus = load_corpus(options.documents, options.tokenizer, device)
    shapes = ", ".join(f"{len(ids)} x {length}" for length, ids, _ in corpus)
    print(f"corpus: {shapes}; {time.time() - start:.0f} s", flush=True)

    network = llama.Model(llama.CONFIGS[options.model]).to(device)
    teacher = llama.load(options.teacher, "default").to(device) if options.teacher else None
    print(llama.describe(network.config), flush=True)
    loss_of = losses
    if device == "cuda":
        torch._dynamo.config.recompile_limit = 64
        loss_of = torch.compile(losses, dynamic=False)
        for layer in [*network.blk, *(teacher.blk if teacher else ())]:
            layer.compile(dynamic=False)
    optimizer = optimizer_of(network, options.rate, device == "cuda")

    start = since = time.time()
    for step, (ids, learn) in enumerate(batches(corpus, options.tokens, options.steps, options.seed)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, options.steps, options.rate)
        with torch.autocast(device, dtype=torch.bfloat16):
            with torch.no_grad():
                teacher_logits = teacher(ids) if teacher else None
            # The last position predicts nothing: its target is masked.
            targets, mask = ids.roll(-1, 1), learn.roll(-1, 1)
            mask[:, -1] = False
            cross, divergence = loss_of(network.hidden(ids), network.token_embd, targets, mask, teacher_logits)
        (cross + 2 * divergence if teacher else cross).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 500 == 0 or step == options.steps - 1 or step == 20:
            rate = 500 * options.tokens / (time.time() - since) / 1e6
            print(f"step {step}: loss {cross.item():.4f}, divergence {divergence.item():.4f}, {time.time() - start:.0f} s, {rate:.2f} M tokens/s", flush=True)
            since = time.time()
    llama.save(network, options.out, options.model)
    print(f"trained in {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
