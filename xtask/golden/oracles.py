"""The oracles: a float64 forward pass of our own, Hugging Face transformers and llama.cpp.

Each takes a GGUF file and tokens and answers with logits (positions, vocabulary) and with the greedy continuation.
"""

import gguf
import llama_cpp
import numpy as np
import torch
import transformers

GREEDY_STEPS = 64


class Float64:
    """The forward pass written out in numpy, weights as dequantised by the gguf package."""

    def __init__(self, shape, tensors):
        self.shape = shape
        self.tensors = {name: value.astype(np.float64) for name, value in tensors.items()}
        self.cache = [([], []) for _ in range(shape.layers)]
        self.position = 0

    def forward(self, tokens):
        """Appends `tokens`; logits (len(tokens), vocabulary)."""
        shape, tensors = self.shape, self.tensors
        positions = np.arange(self.position, self.position + len(tokens))
        self.position += len(tokens)
        x = tensors["token_embd.weight"][tokens]  # (tokens, hidden)
        for layer in range(shape.layers):
            block = lambda name: tensors[f"blk.{layer}.{name}"]
            project = lambda name, x: x @ block(f"{name}.weight").T + tensors.get(f"blk.{layer}.{name}.bias", 0)
            h = self.norm(x, block("attn_norm.weight"))
            q = project("attn_q", h).reshape(len(tokens), shape.heads, shape.head)
            k = project("attn_k", h).reshape(len(tokens), shape.kv_heads, shape.head)
            v = project("attn_v", h).reshape(len(tokens), shape.kv_heads, shape.head)
            if shape.architecture == "qwen3":
                q, k = self.norm(q, block("attn_q_norm.weight")), self.norm(k, block("attn_k_norm.weight"))
            keys, values = self.cache[layer]
            keys.extend(self.rope(k, positions))
            values.extend(v)
            h = self.attention(self.rope(q, positions), np.array(keys), np.array(values), positions)
            x = x + project("attn_output", h)
            h = self.norm(x, block("ffn_norm.weight"))
            gate = project("ffn_gate", h)
            x = x + project("ffn_down", gate / (1 + np.exp(-gate)) * project("ffn_up", h))
        x = self.norm(x, tensors["output_norm.weight"])
        return x @ tensors.get("output.weight", tensors["token_embd.weight"]).T

    def norm(self, x, weight):
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + self.shape.epsilon) * weight

    def rope(self, x, positions):
        half = self.shape.head // 2
        frequencies = self.shape.rope_base ** (-np.arange(half) / half)
        frequencies = frequencies / self.tensors.get("rope_freqs.weight", 1.0)
        angle = (positions[:, None] * frequencies)[:, None, :]  # (tokens, 1, half)
        # The llama architecture rotates neighbours, all others element i with element i + half.
        pairs = (np.s_[..., 0::2], np.s_[..., 1::2]) if self.shape.architecture == "llama" else (np.s_[..., :half], np.s_[..., half:])
        first, second = x[pairs[0]], x[pairs[1]]
        turned = np.empty_like(x)
        turned[pairs[0]] = first * np.cos(angle) - second * np.sin(angle)
        turned[pairs[1]] = first * np.sin(angle) + second * np.cos(angle)
        return turned

    def attention(self, q, keys, values, positions):
        group = self.shape.heads // self.shape.kv_heads
        keys, values = keys.repeat(group, axis=1), values.repeat(group, axis=1)  # (length, heads, head)
        scores = np.einsum("thd,lhd->htl", q, keys) / np.sqrt(self.shape.head)
        scores[:, positions[:, None] < np.arange(len(keys))] = -np.inf
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        return np.einsum("htl,lhd->thd", scores, values).reshape(len(q), -1)

    def run(self, tokens):
        """Logits of all tokens, the greedy continuation, and the top-1 to top-2 gap at each of its steps."""
        logits = self.forward(tokens)
        last, greedy, gaps = logits[-1], [], []
        for _ in range(GREEDY_STEPS):
            greedy.append(int(last.argmax()))
            first, second = np.sort(last)[:-3:-1]
            gaps.append(first - second)
            last = self.forward(greedy[-1:])[-1]
        return logits, greedy, gaps


def float64(path, shape, tokens):
    reader = gguf.GGUFReader(path)
    return Float64(shape, {t.name: gguf.quants.dequantize(t.data, t.tensor_type) for t in reader.tensors}).run(tokens)


def huggingface(path, shape, tokens):
    """Transformers on the dequantised file in float32; logits, greedy tokens and gaps."""
    # What transformers does not read from GGUF: the head size of qwen3 and Llama 3's rope scaling.
    known = {"head_dim": shape.head} if shape.architecture == "qwen3" else {}
    if shape.rope_scaling:
        known["rope_parameters"] = dict(shape.rope_scaling, rope_theta=shape.rope_base)
    model = transformers.AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32, attn_implementation="eager", **known
    ).eval()
    with torch.no_grad():
        output = model(torch.tensor([tokens]), use_cache=True)
        logits, last, greedy, gaps = output.logits[0], output.logits[0, -1], [], []
        for _ in range(GREEDY_STEPS):
            greedy.append(int(last.argmax()))
            top = last.topk(2).values
            gaps.append(float(top[0] - top[1]))
            output = model(torch.tensor([greedy[-1:]]), past_key_values=output.past_key_values, use_cache=True)
            last = output.logits[0, -1]
    return logits.numpy(), greedy, gaps


def llamacpp(path, tokens, cache):
    """llama.cpp on the CPU with keys and values kept as `cache` ("F32" or "F16"); logits and greedy tokens."""
    kind = int(gguf.GGMLQuantizationType[cache])
    model = llama_cpp.Llama(
        str(path), n_ctx=256, n_batch=256, n_threads=1, n_threads_batch=1, logits_all=True, type_k=kind, type_v=kind, verbose=False
    )
    model.eval(tokens)
    logits = model.scores[: len(tokens)].copy()
    last, greedy = logits[-1], []
    for step in range(GREEDY_STEPS):
        greedy.append(int(last.argmax()))
        model.eval(greedy[-1:])
        last = model.scores[len(tokens) + step]
    model.close()
    return logits, greedy


def llamacpp_tokens(path, text):
    """What llama.cpp makes of a text, with the file's own choice of a beginning token."""
    model = llama_cpp.Llama(str(path), n_ctx=256, verbose=False)
    return model.tokenize(text.encode(), add_bos=True, special=False)
