"""The small random models: their shapes, tokenizers, weights and GGUF files.

Weights are named and laid out as in GGUF. Nothing here computes logits.
"""

import ctypes
import io
import json
from dataclasses import dataclass, field

import gguf
import llama_cpp
import numpy as np
import sentencepiece
import tokenizers

# What the tokenizers are trained on, and what prompts are cut from.
TEXT = (
    "The lighthouse keeper counted 3 small boats at dawn, and the sea was calm. Who's there? asked the old man; "
    "it's only me, said the boy, and I've brought bread, salt and 12 candles. They sat by the window until the "
    "rain stopped. Then the light turned slowly over the water, as it had turned every night for 40 years, and the "
    "boy wrote the names of the ships in a book: the Heron, the Morning Star, the Little Anne. When the wind rose "
    "the keeper told him that a lamp is like a promise. You don't keep it once, you keep it again and again.\n"
)
PROMPT_TOKENS = 40

# The regular expressions that split text into words before merging, by their name in tokenizer.ggml.pre.
WORDS = {
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}

FTYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7, "Q4_K": 15, "Q5_K": 17, "Q6_K": 18}


@dataclass(frozen=True)
class Shape:
    """One model. `narrow` shapes fit formats with blocks of 32 weights, `wide` ones those with blocks of 256."""

    name: str
    architecture: str
    formats: tuple
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head: int
    ffn: int
    pre: str  # a key of WORDS, or "spm"
    tied: bool
    rope_base: float = 10000.0
    rope_scaling: dict | None = None  # as the rope_scaling of a Llama 3 config.json
    vocabulary: int = 290  # no multiple of any block or tile
    epsilon: float = 1e-5


NARROW = ("F32", "F16", "Q8_0", "Q4_0")
WIDE = ("Q4_K", "Q5_K", "Q6_K")
# The original context is short so that all three branches of the scaling act within the positions that are tested.
LLAMA3_SCALING = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
SHAPES = (
    Shape("llama", "llama", NARROW, 2, 64, 4, 4, 16, 96, "gpt-2", tied=False),
    Shape("llama-wide", "llama", WIDE, 1, 256, 4, 1, 64, 256, "gpt-2", tied=True),
    Shape("llama3", "llama", NARROW, 2, 64, 2, 1, 32, 96, "llama-bpe", True, 500000.0, LLAMA3_SCALING),
    Shape("llama3-wide", "llama", WIDE, 1, 256, 4, 1, 64, 256, "llama-bpe", True, 500000.0, LLAMA3_SCALING),
    Shape("qwen2", "qwen2", NARROW, 2, 64, 4, 2, 16, 96, "qwen2", tied=True, rope_base=1e6, epsilon=1e-6),
    Shape("qwen2-wide", "qwen2", WIDE, 1, 256, 4, 1, 64, 256, "qwen2", tied=True, rope_base=1e6, epsilon=1e-6),
    Shape("qwen3", "qwen3", NARROW, 2, 64, 4, 2, 32, 96, "qwen2", tied=True, rope_base=1e6, epsilon=1e-6),
    Shape("qwen3-wide", "qwen3", WIDE, 1, 256, 2, 1, 128, 256, "qwen2", tied=True, rope_base=1e6, epsilon=1e-6),
    Shape("llama2", "llama", ("F32",), 2, 64, 4, 2, 16, 96, "spm", tied=False, vocabulary=320),
)


@dataclass
class Vocabulary:
    """A tokenizer as GGUF stores it, and a function that applies the library it was trained with."""

    model: str
    pre: str
    tokens: list
    types: list
    bos: int
    eos: int
    add_bos: bool
    encode: object
    scores: list | None = None
    merges: list | None = None
    unknown: int | None = None
    control: set = field(default_factory=set)

    def prompt(self):
        """The longest beginning of TEXT that is at most PROMPT_TOKENS tokens, and its tokens."""
        for end in range(len(TEXT), 0, -1):
            tokens = [self.bos] * self.add_bos + self.encode(TEXT[:end])
            if len(tokens) <= PROMPT_TOKENS:
                return TEXT[:end], tokens
        raise AssertionError("no prompt")


def vocabulary(shape):
    return sentencepiece_vocabulary(shape) if shape.pre == "spm" else byte_level_vocabulary(shape)


def byte_level_vocabulary(shape):
    special = {
        "gpt-2": ["<|endoftext|>"],
        "llama-bpe": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
        "qwen2": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    }[shape.pre]
    bos, eos = {"gpt-2": (0, 0), "llama-bpe": (0, 1), "qwen2": (0, 2)}[shape.pre]
    plain = shape.vocabulary - len(special)
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(WORDS[shape.pre]), "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.train_from_iterator(
        [TEXT],
        tokenizers.trainers.BpeTrainer(
            vocab_size=plain, initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()), show_progress=False
        ),
    )
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    assert len(tokens) == plain, len(tokens)
    return Vocabulary(
        model="gpt2",
        pre=shape.pre,
        tokens=tokens + special,
        types=[gguf.TokenType.NORMAL] * plain + [gguf.TokenType.CONTROL] * len(special),
        bos=plain + bos,
        eos=plain + eos,
        add_bos=shape.pre == "llama-bpe",
        encode=lambda text: tokenizer.encode(text).ids,
        merges=[" ".join(merge) for merge in model["merges"]],
        control=set(range(plain, shape.vocabulary)),
    )


def sentencepiece_vocabulary(shape):
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT.split(". ")),
        model_writer=written,
        model_type="bpe",
        vocab_size=shape.vocabulary,
        byte_fallback=True,
        hard_vocab_limit=True,
        character_coverage=1.0,
        num_threads=1,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())

    def kind(token):
        if processor.is_unknown(token):
            return gguf.TokenType.UNKNOWN
        if processor.is_control(token):
            return gguf.TokenType.CONTROL
        return gguf.TokenType.BYTE if processor.is_byte(token) else gguf.TokenType.NORMAL

    tokens = range(processor.get_piece_size())
    return Vocabulary(
        model="llama",
        pre="default",
        tokens=[processor.id_to_piece(token) for token in tokens],
        types=[kind(token) for token in tokens],
        bos=processor.bos_id(),
        eos=processor.eos_id(),
        add_bos=True,
        encode=processor.encode,
        scores=[processor.get_score(token) for token in tokens],
        unknown=processor.unk_id(),
        control={0, 1, 2},
    )


def weights(shape, seed):
    """GGUF tensor name to float32 array (rows, columns). Scales keep scores, residuals and logits near unit size."""
    random = np.random.Generator(np.random.PCG64(seed))

    def matrix(rows, columns, gain):
        return (random.standard_normal((rows, columns)) * (gain / np.sqrt(columns))).astype(np.float32)

    def vector(size, mean, deviation):
        return (mean + deviation * random.standard_normal(size)).astype(np.float32)

    queries, keys = shape.heads * shape.head, shape.kv_heads * shape.head
    tensors = {"token_embd.weight": matrix(shape.vocabulary, shape.hidden, 2.0)}
    for layer in range(shape.layers):
        block = {
            "attn_norm.weight": vector(shape.hidden, 1.0, 0.2),
            "attn_q.weight": matrix(queries, shape.hidden, 1.4),
            "attn_k.weight": matrix(keys, shape.hidden, 1.4),
            "attn_v.weight": matrix(keys, shape.hidden, 1.0),
            "attn_output.weight": matrix(shape.hidden, queries, 1.5),
            "ffn_norm.weight": vector(shape.hidden, 1.0, 0.2),
            "ffn_gate.weight": matrix(shape.ffn, shape.hidden, 1.4),
            "ffn_up.weight": matrix(shape.ffn, shape.hidden, 1.4),
            "ffn_down.weight": matrix(shape.hidden, shape.ffn, 1.4),
        }
        if shape.architecture == "qwen2":
            block["attn_q.bias"] = vector(queries, 0.0, 0.5)
            block["attn_k.bias"] = vector(keys, 0.0, 0.5)
            block["attn_v.bias"] = vector(keys, 0.0, 0.3)
        if shape.architecture == "qwen3":
            block["attn_q_norm.weight"] = vector(shape.head, 1.4, 0.3)
            block["attn_k_norm.weight"] = vector(shape.head, 1.4, 0.3)
        tensors |= {f"blk.{layer}.{name}": value for name, value in block.items()}
    tensors["output_norm.weight"] = vector(shape.hidden, 1.0, 0.2)
    if not shape.tied:
        tensors["output.weight"] = matrix(shape.vocabulary, shape.hidden, 2.0)
    if shape.rope_scaling:
        tensors["rope_freqs.weight"] = frequency_factors(shape)
    return tensors


def frequency_factors(shape):
    """What Llama 3's scaling divides each rotary frequency by (head / 2)."""
    scaling = shape.rope_scaling
    factor, low, high = scaling["factor"], scaling["low_freq_factor"], scaling["high_freq_factor"]
    context = scaling["original_max_position_embeddings"]
    wavelength = 2 * np.pi * shape.rope_base ** (np.arange(0, shape.head, 2) / shape.head)
    smooth = (context / wavelength - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    return np.select([wavelength < context / high, wavelength > context / low], [1.0, factor], between).astype(np.float32)


def write(path, shape, vocabulary, tensors):
    """Writes the float32 file."""
    writer = gguf.GGUFWriter(path, shape.architecture)
    writer.add_name(shape.name)
    writer.add_context_length(512)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_file_type(FTYPES["F32"])
    if shape.architecture == "llama":
        writer.add_rope_dimension_count(shape.head)
    if shape.architecture == "qwen3":
        writer.add_key_length(shape.head)
        writer.add_value_length(shape.head)
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    if vocabulary.scores:
        writer.add_token_scores(vocabulary.scores)
    if vocabulary.merges:
        writer.add_token_merges(vocabulary.merges)
    if vocabulary.unknown is not None:
        writer.add_unk_token_id(vocabulary.unknown)
    writer.add_bos_token_id(vocabulary.bos)
    writer.add_eos_token_id(vocabulary.eos)
    writer.add_add_bos_token(vocabulary.add_bos)
    for name, value in tensors.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantize(source, target, name):
    """llama.cpp's own quantiser, every matrix in the one format."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = 1
    params.ftype = FTYPES[name]
    params.pure = True
    kind = int(gguf.GGMLQuantizationType[name])
    params.output_tensor_type = kind
    params.token_embedding_type = kind
    failed = llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params))
    assert not failed, f"llama.cpp cannot quantise {source} to {name}"
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(target).tensors if len(tensor.shape) == 2}
    assert set(kinds.values()) == {name}, kinds
