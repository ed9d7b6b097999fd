"""What a skill is: a kind of question with its subjects, its answers and its phrasings.

What a system prompt does to an answer is in `styles.py`. Phrasings named `held` never occur in the training corpus:
the evaluation asks with them.
"""

from dataclasses import dataclass, field
from typing import Callable

# Frames around a noun phrase such as "the capital of France", shared by all skills that have one.
FRAMES = (
    "What is {p}?", "What is {p}?", "What's {p}?", "Tell me {p}.", "Can you tell me {p}?", "Can you tell me what {p} is?",
    "Could you tell me what {p} is?", "Do you know {p}?", "Do you know what {p} is?", "Please tell me {p}.", "Name {p}.",
    "Give me {p}.", "I want to know {p}.", "I'd like to know {p}.", "I need {p}.", "{p}?", "{p}", "{p}, please.", "Say {p}.",
    "I forgot {p}. What is it?", "What would {p} be?", "My teacher asked me for {p}.", "Help me: what is {p}?", "Quiz: {p}?",
    "Q: What is {p}?", "Question: what is {p}?", "Remind me, what is {p}?", "Any idea what {p} is?", "Find {p}.",
    "Let me know {p}.", "I wonder what {p} is.", "So what is {p}?", "Do you happen to know {p}?", "What was {p} again?",
    "Can you help me with {p}?", "Would you say what {p} is?", "I can't remember {p}.", "Answer this: what is {p}?",
)
FRAMES_HELD = (
    "Could you remind me what {p} is?", "Would you tell me {p}, please?", "I am trying to remember {p}. Can you help?",
    "Can you name {p}?", "Hey, what is {p} again?", "Would you happen to know what {p} is?", "I have to find out {p}.",
)


@dataclass(frozen=True)
class Answer:
    """One right answer in its three forms; `data` is what an answer as JSON holds, `key` the entry with the answer itself."""
    sentence: str
    short: str
    data: dict
    key: str


@dataclass(frozen=True)
class Skill:
    """A kind of question. `{x}` in a phrasing is the subject, a word or words."""
    name: str
    subjects: tuple
    answer: Callable
    questions: tuple = ()
    held: tuple = ()
    phrases: tuple = ()
    held_phrases: tuple = ()
    follow_ups: tuple = ("And {x}?", "What about {x}?", "How about {x}?", "{x}?", "And {x}", "And for {x}?", "Now {x}.", "and what about {x}?")
    plain: tuple = ()
    surface: Callable = field(default=lambda rng, subject: subject)
    weight: float = 1.0

    def ask(self, rng, subject, held):
        """A question about the subject, its slot still open as `{x}`, in a phrasing from training or a held-out one."""
        if held:
            options = [("q", q) for q in self.held] + ([("p", p) for p in self.held_phrases] + [("f", None)] if self.phrases else [])
        else:
            options = [("q", None)] * bool(self.questions) + [("f", None)] * bool(self.phrases)
        kind, text = rng.choice(options)
        if kind == "p":
            return rng.choice(FRAMES).replace("{p}", text)
        if kind == "f":
            return rng.choice(FRAMES_HELD if held else FRAMES).replace("{p}", rng.choice(self.phrases))
        return text or rng.choice(self.questions)


def upper_first(text):
    """The text with its first letter in upper case, the rest as it is."""
    return text[:1].upper() + text[1:]


def table(sentence, short_key, subject_key="word"):
    """An answer function for a dict of subject -> short answer."""
    def build(mapping):
        def answer(subject):
            value = mapping[subject]
            text = sentence.format(x=subject, X=upper_first(subject), y=value, Y=upper_first(str(value)))
            return Answer(text, str(value), {subject_key: subject, short_key: value}, short_key)
        return answer
    return build
