"""What changes the form of an answer: a system prompt, or a request inside the question.

A `Style` owns its wordings (whole ones, and manners that fit into the frames) and one function from the answer to the text. Wordings named `held` are kept for the evaluation.
"""

import json
from dataclasses import dataclass, replace
from typing import Callable

from skill import upper_first

NEUTRAL = (
    "You are a helpful assistant.", "You are a friendly assistant.", "You are a small model that answers questions.", "Answer the questions of the user.",
    "You are helpful.", "Help the user.", "You are an assistant.", "Be helpful and honest.", "You are the default model of wasm-chord.",
    "You are a teacher.", "You are a careful assistant who tells the truth.", "You are a kind assistant.", "Assist the user as well as you can.",
)
NEUTRAL_HELD = ("You are a polite and helpful assistant.", "You are an assistant that answers questions truthfully.")

JSON_KEYS = ("answer", "result", "value", "response", "reply", "output", "city", "word", "solution", "text", "data", "content", "item", "fact", "name", "info")


# Frames around a manner such as "like a pirate".
SYSTEM_FRAMES = ("Answer {m}.", "Always answer {m}.", "Reply {m}.", "Please reply {m}.", "You answer {m}.", "Respond {m}.", "Answer every question {m}.", "You are an assistant that answers {m}.", "Give all answers {m}.",
                 "Talk {m}.", "Write {m}.", "Your job is to answer {m}.", "From now on, answer {m}.", "Always respond {m}.", "You must answer {m}.", "You are a helpful assistant. Answer {m}.")
SYSTEM_FRAMES_HELD = ("You should always reply {m}.", "All your replies must be given {m}.")
INLINE_FRAMES = ("Answer {m}.", "Please answer {m}.", "Reply {m}.", "Respond {m}.", "{m}.", "{m} please.", "{m}", "Say it {m}.", "Tell me {m}.", "I want the answer {m}.", "Write it {m}.", "Write the answer {m}.",
                 "Answer {m}, please.", "But answer {m}.", "({m})")
INLINE_FRAMES_HELD = ("Could you answer {m}?", "Please give the answer {m}.")


@dataclass(frozen=True)
class Style:
    """A form of answers. `inline` wordings follow the question, `{k}` in a wording is the key of a JSON answer."""
    name: str
    manners: tuple
    system: tuple
    system_held: tuple
    inline: tuple
    inline_held: tuple
    apply: Callable
    weight: float = 1.0

    def widened(self):
        """The style with its manners put into all frames; what is held out stays out of training."""
        def widen(own, frames, held, held_frames):
            train = own + tuple(upper_first(f.replace("{m}", m)) for f in frames for m in self.manners)
            kept = held + tuple(f.replace("{m}", m) for f in held_frames for m in self.manners)
            return tuple(t for t in train if t not in kept), kept
        system, system_held = widen(self.system, SYSTEM_FRAMES, self.system_held, SYSTEM_FRAMES_HELD)
        inline, inline_held = widen(self.inline, INLINE_FRAMES, self.inline_held, INLINE_FRAMES_HELD)
        return replace(self, system=system, system_held=system_held, inline=inline, inline_held=inline_held)


def as_json(answer, key):
    """The answer's own fields, or the answer alone under the key that was asked for."""
    data = answer.data if key is None else {key: answer.data[answer.key]}
    return json.dumps(data, ensure_ascii=False)


def stop(sentence):
    """The sentence without its full stop."""
    return sentence[:-1] if sentence.endswith(".") else sentence


STYLES = tuple(style.widened() for style in (
    Style(
        "short answers",
        ('in one word', 'briefly', 'with a single word', 'with one word or number', 'without a sentence', 'as briefly as possible', 'in a word'),
        ("Answer briefly.", "Give short answers.", "Answer with as few words as possible.", "Be brief.", "Answer in one word.", "Only give the answer, no sentence.",
         "Keep your answers short.", "You answer with a single word or number.", "Reply with the answer only.", "You are a helpful assistant. Answer in one word.",
         "Be short.", "Use as few words as you can.", "Short answers only.", "You are terse."),
        ("You give very short answers.", "Reply in one word only.", "Answer with just the answer."),
        ("Answer in one word.", "Just the answer.", "One word only.", "Be brief.", "Short answer please.", "Answer briefly.", "Only the answer.", "In one word."),
        ("Reply in one word.", "Just give me the answer."),
        lambda a, key: a.short, 2.0,
    ),
    Style(
        "pirate",
        ('like a pirate', 'as a pirate', 'in pirate language', 'the way a pirate would', 'in the style of a pirate'),
        ("You are a pirate.", "Talk like a pirate.", "Answer like a pirate.", "You are a pirate captain.", "Speak as a pirate would.", "Pretend to be a pirate.",
         "You are an old pirate who answers questions.", "You are a friendly pirate.", "Always talk like a pirate.", "You're a pirate on a ship."),
        ("You are a pirate and talk like one.", "Reply in the voice of a pirate."),
        ("Answer like a pirate.", "Talk like a pirate.", "Say it like a pirate."), ("Reply like a pirate.",),
        lambda a, key: f"Arr! {stop(a.sentence)}, matey!",
    ),
    Style(
        "upper case",
        ('in upper case', 'in capital letters', 'in capitals', 'in all caps', 'in uppercase', 'in UPPER CASE', 'with capital letters only'),
        ("Answer in upper case.", "Write everything in capital letters.", "Use only capital letters.", "ANSWER IN UPPER CASE.", "Always shout.", "Always write in upper case.",
         "Your answers are in capital letters.", "Reply in all caps.", "Shout your answers.", "Use upper case letters only."),
        ("You always answer in upper case letters.", "Write all your answers in capitals."),
        ("Answer in upper case.", "Shout the answer.", "Use capital letters.", "Answer in all caps.", "In capital letters."), ("Reply in upper case.",),
        lambda a, key: a.sentence.upper(),
    ),
    Style(
        "lower case",
        ('in lower case', 'in lowercase', 'in small letters', 'without capital letters', 'with small letters only'),
        ("Answer in lower case.", "Write everything in lower case.", "Use only small letters.", "Always write in lower case.", "never use capital letters",
         "Never use capital letters.", "Reply in lower case.", "Use lower case letters only."),
        ("You always answer in lower case letters.",), ("Answer in lower case.", "Use small letters.", "In lower case."), ("Reply in lower case.",),
        lambda a, key: a.sentence.lower(), 0.6,
    ),
    Style(
        "polite",
        ('politely', 'like a butler', 'very politely', 'with great courtesy', 'in the style of a butler'),
        ("Be very polite.", "You are a butler.", "Always be polite.", "Answer as a butler would.", "You are very polite.", "Be courteous.", "Speak like a polite butler.",
         "You are a polite waiter."),
        ("You are an extremely polite butler.",), ("Answer politely.", "Be polite.", "Say it like a butler."), ("Be very polite when you answer.",),
        lambda a, key: f"Certainly! {a.sentence} I hope that helps.", 0.8,
    ),
    Style(
        "robot",
        ('like a robot', 'as a robot', 'the way a robot would', 'in the style of a robot'),
        ("You are a robot.", "Talk like a robot.", "Answer like a robot.", "Speak as a robot would.", "Pretend to be a robot.", "You are a friendly robot.", "You are an old robot."),
        ("You are a robot and talk like one.",), ("Answer like a robot.", "Talk like a robot."), ("Reply like a robot.",),
        lambda a, key: f"Beep. {a.sentence} Boop.", 0.8,
    ),
    Style(
        "cheerful",
        ('cheerfully', 'with enthusiasm', 'with joy', 'happily', 'excitedly', 'in a cheerful way', 'in a happy voice'),
        ("Be cheerful.", "You are a cheerful assistant.", "Be very excited.", "You are full of joy.", "Answer with enthusiasm.", "You are enthusiastic.", "Be happy."),
        ("You are a very cheerful helper.",), ("Be cheerful.", "Answer with enthusiasm.", "Sound excited."), ("Answer cheerfully.",),
        lambda a, key: f"Great question! {stop(a.sentence)}!", 0.8,
    ),
    Style(
        "list items",
        ('as a bullet point', 'with bullet points', 'as a list', 'in bullet points', 'with a bullet point'),
        ("Answer as a bullet point.", "Use bullet points.", "Write answers as a list.", "Always answer with a bullet point.", "Every answer is a bullet point."),
        ("Please use bullet points for your answers.",), ("Answer as a bullet point.", "Use a bullet point."), ("Give a bullet point.",),
        lambda a, key: f"- {a.sentence}", 0.6,
    ),
    Style(
        "full sentences",
        ('in a full sentence', 'in complete sentences', 'with a whole sentence', 'in full sentences', 'with complete sentences'),
        ("Answer in full sentences.", "Always use full sentences.", "Use complete sentences.", "Reply with a complete sentence.", "Write whole sentences."),
        ("Please answer in complete sentences.",), ("Answer in a full sentence.", "Use a complete sentence."), ("Reply in a full sentence.",),
        lambda a, key: a.sentence, 0.6,
    ),
    Style(
        "json",
        ('as JSON', 'in JSON', 'as a JSON object', 'with JSON', 'in JSON format', 'with a JSON object only', 'with JSON only', 'in the JSON format'),
        ("Answer as JSON.", "Always answer as JSON.", "Reply in JSON.", "Output JSON only.", "You answer only with JSON.", "Return JSON.", "Your answers are JSON objects.",
         "You are a helpful assistant that answers in JSON.", "Respond with a JSON object.", "Use JSON for all answers.", "You are an API that returns JSON.", "Give every answer as JSON."),
        ("Reply with JSON only.", "You always respond in JSON."),
        ("Answer as JSON.", "Reply in JSON.", "Give the answer as JSON.", "Output JSON.", "As JSON please.", "Return JSON.", "In JSON.", "Respond with a JSON object.", "as json"),
        ("Reply as JSON.", "Please answer in JSON."),
        as_json, 2.0,
    ),
    Style(
        "json with a key",
        ('as JSON with the key "{k}"', 'as JSON with the key {k}', 'in JSON with the field {k}', 'with a JSON object that has the key "{k}"'),
        ('Answer as JSON with the key "{k}".', "Answer as JSON with the key {k}.", "Reply in JSON with one key: {k}.", 'Output JSON like {"{k}": ...}.',
         'Return a JSON object with the key "{k}".', 'Answer as JSON in the form {"{k}": ...}.', "Use JSON with the field {k}."),
        ('Reply with JSON that has the key "{k}".',),
        ('Answer as JSON with the key "{k}".', "Answer as JSON with the key {k}.", 'Reply in JSON with the field "{k}".', 'Output {"{k}": ...}.', "As JSON with the key {k}.",
         'Return JSON with the key "{k}".'),
        ('Give me JSON with the key "{k}".',),
        as_json, 1.5,
    ),
))
