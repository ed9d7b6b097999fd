"""Writes the trained weights as GGUF: architecture llama, Q8_0 matrices (or F32), F32 norms, tied embeddings.

    python export.py --model default --type q8_0 --out ../../host/model/default.gguf
    python export.py --model draft --type q8_0 --out ../../tests/data/draft.gguf
"""

import argparse
import json
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType, quants

import model as llama
from tokenizer import CONTROL, END_OF_TEXT, IM_END

# ChatML, as `generate.chat` writes it.
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
DESCRIPTIONS = {
    "default": ("wasm-chord default", "The small model that wasm-chord carries: facts, sums, stories."),
    "draft": ("wasm-chord draft", "Proposes tokens for the default model of wasm-chord, whose vocabulary it shares."),
}
TYPES = {"f32": GGMLQuantizationType.F32, "q8_0": GGMLQuantizationType.Q8_0}
FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}


def write_tokenizer(writer, path):
    """Tokens in order of id, the merges, the special ids and the template."""
    bpe = json.loads(Path(path).read_text())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
    merges = [" ".join(m) if isinstance(m, list) else m for m in bpe["merges"]]
    types = [gguf.TokenType.CONTROL if token in CONTROL else gguf.TokenType.NORMAL for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(END_OF_TEXT)
    writer.add_eos_token_id(IM_END)
    writer.add_eot_token_id(END_OF_TEXT)
    writer.add_pad_token_id(END_OF_TEXT)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def write(network, name, kind, tokenizer, out):
    """The whole file."""
    c = network.config
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(out, "llama")
    title, description = DESCRIPTIONS[name]
    writer.add_name(title)
    writer.add_description(description)
    writer.add_license("MIT OR Apache-2.0")
    writer.add_file_type(FILE_TYPES[kind])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(c.layers)
    writer.add_context_length(c.context)
    writer.add_embedding_length(c.width)
    writer.add_feed_forward_length(c.feed_forward)
    writer.add_head_count(c.heads)
    writer.add_head_count_kv(c.kv_heads)
    writer.add_rope_dimension_count(c.head)
    writer.add_rope_freq_base(c.rope_base)
    writer.add_layer_norm_rms_eps(c.epsilon)
    writer.add_vocab_size(c.vocabulary)
    write_tokenizer(writer, tokenizer)
    for key, value in network.state_dict().items():
        array = value.float().numpy()
        if array.ndim == 2 and kind != "f32":
            writer.add_tensor(f"{key}.weight", quants.quantize(array, TYPES[kind]), raw_dtype=TYPES[kind])
        else:
            writer.add_tensor(f"{key}.weight", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=tuple(DESCRIPTIONS), default="default")
    parser.add_argument("--type", choices=tuple(TYPES), default="q8_0")
    parser.add_argument("--weights", default="build")
    parser.add_argument("--tokenizer", default="build/tokenizer.json")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    write(llama.load(options.weights, options.model), options.model, options.type, options.tokenizer, options.out)


if __name__ == "__main__":
    main()
