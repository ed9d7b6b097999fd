"""The vocabulary: byte-level BPE with merges, trained on the corpus, digits singly (the pre-tokenizer that GGUF names "qwen2").

    python tokenizer.py --out build/tokenizer.json
"""

import argparse
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

import generate

VOCABULARY = 4096
CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
END_OF_TEXT, IM_START, IM_END = range(3)
# Words with the character before them, digits singly, runs of punctuation, line ends, white space.
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def train(documents):
    """A tokenizer of `VOCABULARY` tokens from a list of texts; the control tokens come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=list(CONTROL), show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.train_from_iterator(documents, trainer)
    assert tokenizer.get_vocab_size() == VOCABULARY
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=60_000)
    parser.add_argument("--out", type=Path, default=Path("build/tokenizer.json"))
    options = parser.parse_args()
    texts = []
    for shard in generate.corpus(options.documents):
        for text in shard:
            for token in CONTROL:
                text = text.replace(token, "\n")
            texts.append(text)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    train(texts).save(str(options.out))


if __name__ == "__main__":
    main()
