"""Continue a text, always with the most likely token, and show it while it comes.

    python3 -m venv .venv && .venv/bin/pip install -r examples/python/requirements.txt
    .venv/bin/python examples/python/generate.py target/dist/wasm-chord-plugin.wasm host/model/default.gguf "Once upon a time"
"""

import sys

from wasm_chord import Model


def main(component, file, text):
    session = Model(component, file).session(tokens=64, temperature=0)
    session.append(text)
    print(text, end="", flush=True)
    for piece in session.pieces():
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main(*sys.argv[1:])
