"""The llama architecture in PyTorch, as GGUF's "llama" defines it: RoPE turns adjacent pairs, embeddings are tied.

Parameters bear the tensor names of the GGUF file, so that the export needs no table.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy
import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Config:
    """The shape of a model; all sizes in elements."""
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int = 4096
    context: int = 1024
    rope_base: float = 10000.0
    epsilon: float = 1e-5

    @property
    def head(self):
        return self.width // self.heads


CONFIGS = {
    "default": Config(layers=9, width=256, feed_forward=768, heads=4, kv_heads=2),
    "draft": Config(layers=2, width=128, feed_forward=256, heads=2, kv_heads=1),
    "tiny": Config(layers=1, width=64, feed_forward=64, heads=1, kv_heads=1),
}


def rms_norm(x, weight, epsilon):
    x32 = x.float()
    return (x32 * torch.rsqrt(x32.pow(2).mean(-1, keepdim=True) + epsilon) * weight).to(x.dtype)


def rope(x, angles):
    """x: (batch, heads, positions, head), angles: (positions, head / 2); element pairs (2i, 2i + 1) turn together."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    cos, sin = angles.cos(), angles.sin()
    return torch.stack((even * cos - odd * sin, even * sin + odd * cos), -1).flatten(-2).to(x.dtype)


class Layer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        w, kv = config.width, config.kv_heads * config.head
        self.attn_norm, self.ffn_norm = nn.Parameter(torch.ones(w)), nn.Parameter(torch.ones(w))
        shapes = {"attn_q": (w, w), "attn_k": (kv, w), "attn_v": (kv, w), "attn_output": (w, w),
                  "ffn_gate": (config.feed_forward, w), "ffn_up": (config.feed_forward, w), "ffn_down": (w, config.feed_forward)}
        for name, shape in shapes.items():
            scale = 0.02 / (2 * config.layers) ** 0.5 if name in ("attn_output", "ffn_down") else 0.02
            setattr(self, name, nn.Parameter(torch.randn(shape) * scale))

    def forward(self, x, angles):
        c, (batch, positions, _) = self.config, x.shape
        y = rms_norm(x, self.attn_norm, c.epsilon)
        q = rope(F.linear(y, self.attn_q).view(batch, positions, c.heads, c.head).transpose(1, 2), angles)
        k = rope(F.linear(y, self.attn_k).view(batch, positions, c.kv_heads, c.head).transpose(1, 2), angles)
        v = F.linear(y, self.attn_v).view(batch, positions, c.kv_heads, c.head).transpose(1, 2)
        k, v = (t.repeat_interleave(c.heads // c.kv_heads, 1) for t in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(batch, positions, c.width)
        x = x + F.linear(y, self.attn_output)
        y = rms_norm(x, self.ffn_norm, c.epsilon)
        return x + F.linear(F.silu(F.linear(y, self.ffn_gate)) * F.linear(y, self.ffn_up), self.ffn_down)


class Model(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.token_embd = nn.Parameter(torch.randn(config.vocabulary, config.width) * 0.02)
        self.blk = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.output_norm = nn.Parameter(torch.ones(config.width))
        frequencies = config.rope_base ** (-torch.arange(0, config.head, 2).float() / config.head)
        self.register_buffer("angles", torch.outer(torch.arange(config.context).float(), frequencies), persistent=False)

    def hidden(self, ids):
        """ids: (batch, positions) -> (batch, positions, width), normalised for the head."""
        x = F.embedding(ids, self.token_embd)
        for layer in self.blk:
            x = layer(x, self.angles[:ids.shape[1]])
        return rms_norm(x, self.output_norm, self.config.epsilon)

    def forward(self, ids):
        return F.linear(self.hidden(ids), self.token_embd)


@torch.no_grad()
def generate(model, prompts, stops, limit, device="cpu", batch=512):
    """Greedy answers, token ids without the stop token, of the prompts (lists of ids); None in the pair's second place means no stop came."""
    answers = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch):
        rows = [(i, list(prompts[i])) for i in order[start:start + batch]]
        for _ in range(limit):
            if not rows:
                break
            longest = max(len(ids) for _, ids in rows)
            padded = torch.zeros(len(rows), longest, dtype=torch.long)
            for r, (_, ids) in enumerate(rows):
                padded[r, :len(ids)] = torch.tensor(ids)
            last = torch.tensor([len(ids) - 1 for _, ids in rows], device=device)
            hidden = model.hidden(padded.to(device))[torch.arange(len(rows), device=device), last]
            best = F.linear(hidden, model.token_embd).argmax(-1).tolist()
            left = []
            for (i, ids), token in zip(rows, best):
                if token in stops:
                    answers[i] = (ids[len(prompts[i]):], token)
                elif len(ids) + 1 < model.config.context:
                    left.append((i, ids + [token]))
                else:
                    answers[i] = (ids[len(prompts[i]):], None)
            rows = left
        for i, ids in rows:
            answers[i] = (ids[len(prompts[i]):], None)
    return answers


def save(model, folder, name, part_bytes=12 << 20):
    """The F32 weights in files NAME.0.npz, NAME.1.npz, ... of bounded size."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    parts, size = [{}], 0
    for key, value in model.state_dict().items():
        array = value.float().cpu().numpy()
        if size and size + array.nbytes > part_bytes:
            parts.append({})
            size = 0
        parts[-1][key] = array
        size += array.nbytes
    for i, part in enumerate(parts):
        numpy.savez(Path(folder) / f"{name}.{i}.npz", **part)


def load(folder, name):
    """The model that `save` wrote."""
    model = Model(CONFIGS[name])
    state = {}
    for path in sorted(Path(folder).glob(f"{name}.*.npz")):
        state |= {key: torch.from_numpy(value) for key, value in numpy.load(path).items()}
    model.load_state_dict(state)
    return model.eval()


def describe(config):
    parameters = sum(p.numel() for p in Model(config).parameters())
    return f"{asdict(config)}, {parameters} parameters"
