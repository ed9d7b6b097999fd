//! The chat format of a model: its Jinja template, rendered as Hugging Face does.
