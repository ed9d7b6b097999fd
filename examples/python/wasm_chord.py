"""The component `wasm-chord-plugin.wasm` in Python: its resources as classes, its errors as exceptions.

Everything runs in the sandbox of PyPI's `wasmtime`; the component reads the one folder that it is given, and nothing else.
Names and meanings are those of wit/generation.wit.
"""

from pathlib import Path
from types import SimpleNamespace

from wasmtime import Engine, Store, WasiConfig
from wasmtime.component import Component, Linker, ResourceAny, Variant

GENERATION = "wasm-chord:inference/generation@0.1.0"
FILES = "wasm-chord:inference/files@0.1.0"


class Error(Exception):
    """A circumstance, in words for the user; `kind` is the case of the contract's error."""

    def __init__(self, kind, message):
        super().__init__(message or kind)
        self.kind = kind


def record(**fields):
    """A record of the contract; names are written with `_` instead of `-`."""
    return SimpleNamespace(**{name.replace("_", "-"): value for name, value in fields.items()})


def message(role, content):
    return record(role=role, content=content, extra=None)


class Model:
    """A model file, loaded by an instance of the component of its own."""

    def __init__(self, component, file, context=None):
        file = Path(file).resolve()
        engine = Engine()
        linker = Linker(engine)
        linker.add_wasip2()
        wasi = WasiConfig()
        wasi.preopen_dir(str(file.parent), "models", fs_mutable=False)
        self.store = Store(engine)
        self.store.set_wasi(wasi)
        self.instance = linker.instantiate(self.store, Component.from_file(engine, component))
        opened = self.function(FILES, "open")(f"models/{file.name}")
        if opened is not None:
            raise Error("failed", opened)
        self.handle = self.call("[static]model.load", record(context=context, cache="f16"))

    def function(self, interface, name):
        """An exported function; it is called without the store."""
        interface = self.instance.get_export_index(self.store, interface)
        function = self.instance.get_func(self.store, self.instance.get_export_index(self.store, name, interface))
        return lambda *arguments: function(self.store, *arguments)

    def call(self, name, *arguments):
        """Call a function of `generation`; the error of its result is raised."""
        result = self.function(GENERATION, name)(*arguments)
        if isinstance(result, Variant):
            raise Error(result.tag, result.payload)
        return result

    def information(self):
        return self.call("[method]model.information", self.handle)

    def session(self, tokens=None, temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, seed=0):
        sampling = record(
            temperature=float(temperature), top_k=top_k, top_p=float(top_p), min_p=float(min_p), seed=seed, bias=[],
            repeat_penalty=1.0, repeat_last=64, presence_penalty=0.0, frequency_penalty=0.0,
        )
        limits = record(tokens=tokens, stop=[], stop_tokens=[], ignore_end=False)
        return Session(self, self.call("[method]model.session", self.handle, sampling, limits))

    def advance(self, sessions):
        """One batched step: an event for each session."""
        return self.call("[method]model.advance", self.handle, [session.handle for session in sessions])


class Session:
    """One conversation."""

    def __init__(self, model: Model, handle: ResourceAny):
        self.model, self.handle = model, handle

    def close(self):
        """Give its positions in the context back to the model."""
        self.handle.drop(self.model.store)

    def append(self, text, special=False):
        return self.model.call("[method]session.append", self.handle, text, special)

    def converse(self, messages):
        conversation = record(
            messages=messages, template=Variant("from-file"), open_answer=True, variables=None, now=None
        )
        return self.model.call("[method]session.converse", self.handle, conversation)

    def pieces(self):
        """The answer, piece by piece."""
        finish = None
        while finish is None:
            [event] = self.model.advance([self])
            finish = event.finish
            yield event.text
