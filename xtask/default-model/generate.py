"""The corpus of the default model and its evaluation set, from fixed seeds.

    python generate.py corpus --documents 200000 --out build/corpus   # shards of JSON lines
    python generate.py evaluation --out evaluation.jsonl
    python generate.py show                                           # a few documents to read

A document is either plain text or a conversation in ChatML. Every shard has its own seed, so the corpus does not depend
on how many processes write it. No phrasing, and no pair of two-digit numbers, that the evaluation asks for occurs in the corpus.
"""

import argparse
import json
import multiprocessing
import random
from pathlib import Path

import stories
import talk
from facts import article
from skill import Answer, upper_first
from skills import HELD_SKILLS, SKILLS
from styles import JSON_KEYS, NEUTRAL, NEUTRAL_HELD, STYLES

SEED = 20260
SHARD_DOCUMENTS = 10_000
TURN_KINDS = {"fact": 70, "self": 5, "courtesy": 6, "unknown place": 5, "unknown": 6, "memory": 6, "echo": 5, "joke": 1, "story": 5, "two facts": 4}
PREFIXES = ("Hi! ", "Hello, ", "Hey, ", "Okay, ", "Please, ", "Quick question: ", "One more thing: ", "Well, ", "So, ", "Hello! ", "Good morning! ", "Um, ", "Excuse me, ", "Question: ")
SUFFIXES = (" Thanks!", " Thank you.", " Please.", " please", " I need it for school.", " It is for a quiz.", " Tell me!", " I forgot.", " Thanks in advance.")


def chat(messages):
    """The conversation as the chat template of the model file renders it."""
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in messages)


# Light damage, so that the model does not depend on case, punctuation and spelling.

def misspell(rng, text):
    """One letter of one longer word swapped, dropped or doubled; slots are left alone."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if len(word) >= 4 and word.isalpha()]
    if not places:
        return text
    i = rng.choice(places)
    word, at = words[i], rng.randrange(1, len(words[i]) - 1)
    words[i] = rng.choice((word[:at] + word[at + 1] + word[at] + word[at + 2:], word[:at] + word[at + 1:], word[:at] + word[at] + word[at:]))
    return " ".join(words)


# Words that a question can lose without losing its meaning.
FILLERS = frozenset("what which what's is the tell me can could you know do does name give say please i want to like need would let that for my it are called find so any idea know how does one".split())


def disturb(rng, template, drop):
    """The template with a strange word put in, or in place of a filler; slots stay."""
    words = template.split(" ")
    for _ in range(rng.choice((1, 1, 2))):
        strange = rng.choice(talk.STRAY) if rng.random() < 0.7 else talk.invented_noun(rng)
        places = [i for i, word in enumerate(words) if word.lower() in FILLERS] if drop else []
        if places and rng.random() < 0.6:
            at = rng.choice(places)
            words[at:at + 1] = [strange] if rng.random() < 0.75 else []
        else:
            words.insert(rng.randrange(len(words) + 1), strange)
    return " ".join(words)


def fill(template, slots):
    """The template with its slots filled and its first letter in upper case."""
    text = template
    for name, value in slots.items():
        if value[:1] in "aeiou":
            text = text.replace(f" a {{{name}}}", f" an {{{name}}}").replace(f"A {{{name}}}", f"An {{{name}}}")
        text = text.replace(f"{{{name}}}", value)
    return upper_first(text)


def roughen(rng, template, slots):
    """The filled template as a hasty user may type it; without slots every word counts."""
    if len(template) > 12 and rng.random() < (0.25 if slots else 0.08):
        template = disturb(rng, template, bool(slots))
    if rng.random() < 0.07:
        template = misspell(rng, template)
    if rng.random() < 0.02:
        slots = {name: misspell(rng, value) if len(value) > 6 else value for name, value in slots.items()}
    text = fill(template, slots)
    if rng.random() < 0.12:
        text = rng.choice(PREFIXES) + (text if rng.random() < 0.5 else text[:1].lower() + text[1:])
    if rng.random() < 0.06 and text[-1] in "?.!":
        text += rng.choice(SUFFIXES)
    draw = rng.random()
    if draw < 0.15 and text[-1] in "?.":
        text = text[:-1]
    elif draw < 0.17 and text[-1] in "?!":
        text += text[-1]
    draw = rng.random()
    return text.lower() if draw < 0.15 else text.upper() if draw < 0.17 else text


# Turns. Each returns (question, answer, checks), the answer still without style.

def slots_of(rng, skill, subject):
    if skill.name == "yes or no":
        return {"a": subject[0], "b": subject[1]}
    return {"x": str(skill.surface(rng, subject))}


def fact_turn(rng, held, skill=None, subject=None, template=None):
    skill = skill or rng.choices(SKILLS, WEIGHTS)[0]
    subject = rng.choice(skill.subjects) if subject is None else subject
    template = template or skill.ask(rng, subject, held)
    slots = slots_of(rng, skill, subject)
    question = fill(template, slots) if held else roughen(rng, template, slots)
    return question, skill.answer(subject), skill


def said(text, contains=()):
    """An answer that is no fact: all its forms are the text."""
    return Answer(text, text, {"answer": text}, "answer")


UNKNOWN_ANSWER = Answer(talk.DONT_KNOW, "I don't know", {"answer": None}, "answer")


# What the model says of a subject that it does not know, by skill.
UNKNOWN_SUBJECTS = {
    "capitals": "I don't know the capital of {x}.", "continents": "I don't know where {x} is.", "about countries": "I don't know {x}.", "countries by capital": "I don't know the city {x}.",
    "opposites": "I don't know the opposite of {x}.", "colours": "I don't know the colour of {x}.",
}
UNKNOWN_SKILLS = tuple({skill.name: skill for skill in reversed(SKILLS) if skill.name in UNKNOWN_SUBJECTS}.values())


def unknown_place_turn(rng, held):
    """A question of a known kind about something that does not exist."""
    skill = rng.choices(UNKNOWN_SKILLS, [4 if s.name == "capitals" else 2 if s.name == "continents" else 1 for s in UNKNOWN_SKILLS])[0]
    place = talk.unknown_place(rng)
    if skill.name == "countries by capital":
        place = talk.invented_place(rng)
    elif skill.name in ("opposites", "colours"):
        place = talk.invented_noun(rng)
        place = article(place) if skill.name == "colours" else place
    template = skill.ask(rng, place, held)
    question = fill(template, {"x": place}) if held else roughen(rng, template, {"x": place})
    # Damage to case would ask the model to guess the capital letters of an invented name.
    if place not in question and upper_first(place) not in question:
        question = fill(template, {"x": place})
    return question, Answer(UNKNOWN_SUBJECTS[skill.name].format(x=place), "I don't know", {"answer": None}, "answer")


def two_facts_turn(rng, held=False):
    """Two questions in one message, answered one after the other."""
    first, second = (rng.choice(DOUBLE_SKILLS) for _ in range(2))
    (q1, a1, _), (q2, a2, _) = (fact_turn(rng, held, skill) for skill in (first, second))
    question = q1 + rng.choice((" And ", " Also: ", " ")) + (q2 if rng.random() < 0.5 else q2[:1].lower() + q2[1:])
    return question, Answer(f"{a1.sentence} {a2.sentence}", f"{a1.short}, {a2.short}", {"answers": [a1.data[a1.key], a2.data[a2.key]]}, "answers")


def same_country_turn(rng, skill, country):
    """A question about the country of the turn before, which is not named again."""
    if skill.name == "continents":
        return roughen(rng, rng.choice(talk.CAPITAL_OF_IT), {}), SKILLS[0].answer(country)
    return roughen(rng, rng.choice(talk.CONTINENT_OF_IT), {}), CONTINENTS.answer(country)


def talk_turn(rng, held, table):
    question, answer, contains = talk.choose(rng, rng.choice(table), held)
    return question if held else roughen(rng, question, {}), said(answer), contains


def turn(rng, kind):
    """One question with its answer, in training phrasings: (question, answer, skill or None)."""
    if kind == "fact":
        return fact_turn(rng, False)
    if kind == "unknown place":
        return *unknown_place_turn(rng, False), None
    if kind == "unknown":
        return roughen(rng, talk.unknown_question(rng, False), {}), UNKNOWN_ANSWER, None
    if kind == "echo":
        words = talk.words_to_echo(rng)
        return rng.choice(talk.ECHO).replace("{w}", words), said(words), None
    if kind == "two facts":
        return *two_facts_turn(rng), None
    if kind == "joke":
        return roughen(rng, rng.choice(talk.JOKE_QUESTIONS), {}), said(rng.choice(talk.JOKES)), None
    return *talk_turn(rng, False, talk.SELF if kind == "self" else talk.COURTESY)[:2], None


def styled(rng, style, answer, key):
    return style.apply(answer, key) if style else answer.sentence


def draw_style(rng):
    return rng.choices(STYLES, STYLE_WEIGHTS)[0]


def with_key(rng, text):
    """The wording with its JSON key filled in, and the key; None where the wording names none."""
    if "{k}" not in text:
        return text, None
    key = rng.choice(JSON_KEYS) if rng.random() < 0.7 else rng.choice(talk.WORDS)
    return text.replace("{k}", key), key


def maybe_disturbed(rng, wording):
    """The wording of a style, now and then with a strange word in it."""
    return disturb(rng, wording, False) if rng.random() < 0.12 and '{"' not in wording else wording


def conversation(rng, turns):
    """Messages of one conversation of about so many turns, in training phrasings."""
    messages, style, key, pending = [], None, None, []
    draw = rng.random()
    if draw < 0.28:
        style = draw_style(rng)
        text, key = with_key(rng, maybe_disturbed(rng, rng.choice(style.system)))
        if rng.random() < 0.1:
            text = rng.choice(NEUTRAL) + " " + text
        messages.append(("system", text))
    elif draw < 0.42:
        messages.append(("system", rng.choice(NEUTRAL)))
    skill, country, said_last = None, None, None
    while turns > 0:
        turns -= 1
        kind = rng.choices(tuple(TURN_KINDS), TURN_KINDS.values())[0]
        one_off, one_key = style, key
        if pending and rng.random() < 0.6:
            question, answer = pending.pop()
            messages += [("user", question), ("assistant", styled(rng, style, answer, key))]
            skill = country = said_last = None
            continue
        if said_last and rng.random() < 0.08:
            draw = rng.random()
            if draw < 0.2:
                question, answer = roughen(rng, rng.choice(talk.SURE), {}), said(f"Yes, I am sure. {said_last.sentence}")
            elif draw < 0.4:
                question, answer = roughen(rng, rng.choice(talk.AGAIN), {}), said_last
            else:
                one_off = draw_style(rng)
                manner, one_key = with_key(rng, rng.choice(one_off.manners))
                question, answer = roughen(rng, rng.choice(talk.RESTYLE).replace("{m}", manner), {}), said_last
            skill, kind = None, "again"
        elif country and rng.random() < 0.15:
            question, answer = same_country_turn(rng, skill, country)
            skill, kind = None, "again"
        elif skill and skill.follow_ups and rng.random() < 0.5:
            template = rng.choice(skill.follow_ups)
            question, answer, skill = fact_turn(rng, False, skill, template=template)
        elif kind == "memory":
            statements, questions, _, reply, recall, name = rng.choice(talk.MEMORY)
            value = talk.memory_value(rng, name)
            question, answer = rng.choice(statements).replace("{v}", value), said(reply.replace("{v}", value))
            later = rng.choice(questions)
            pending.append((later if rng.random() < 0.8 else later.lower(), Answer(recall.replace("{v}", value), value, {name: value}, name)))
            turns += turns == 0
            skill = None
        elif kind == "story":
            question, text, _ = stories.request(rng, False)
            if style:
                continue
            question, answer, skill = roughen_story(rng, question), said(text), None
        else:
            question, answer, skill = turn(rng, kind)
        if style is None and kind in ("fact", "two facts") and rng.random() < 0.16:
            one_off = draw_style(rng)
            wording, one_key = with_key(rng, maybe_disturbed(rng, rng.choice(one_off.inline)))
            question = f"{question} {wording}" if rng.random() < 0.85 else f"{wording} {question}"
        messages += [("user", question), ("assistant", styled(rng, one_off, answer, one_key))]
        said_last = answer if skill or kind in ("again", "two facts") else None
        country = answer.data.get("country") if skill and skill.name in ("capitals", "countries by capital", "continents") else None
        if country not in CONTINENTS.subjects:
            country = None
    return messages if len(messages) > 1 else conversation(rng, 1)


def roughen_story(rng, question):
    if rng.random() < 0.1:
        question = disturb(rng, question, False)
    if rng.random() < 0.1:
        question = question.rstrip(".?")
    return question.lower() if rng.random() < 0.1 else question


def plain_document(rng):
    """Text without chat: a story, or sentences of facts to be completed."""
    if rng.random() < 0.5:
        return stories.story(rng)[0]
    sentences = []
    for _ in range(rng.choice((1, 1, 2, 3, 5))):
        skill = rng.choice(PLAIN_SKILLS)
        subject = rng.choice(skill.subjects)
        sentences.append(fill(rng.choice(skill.plain), {"x": subject, "y": skill.answer(subject).short}).replace("..", "."))
    return " ".join(sentences)


def document(rng):
    draw = rng.random()
    if draw < 0.06:
        return plain_document(rng) + "<|endoftext|>"
    if draw < 0.12:
        question, text, _ = stories.request(rng, False)
        system = [("system", rng.choice(NEUTRAL))] * (rng.random() < 0.2)
        return chat(system + [("user", roughen_story(rng, question)), ("assistant", text)])
    if draw < 0.14:
        return chat(conversation(rng, rng.randrange(8, 22)))
    return chat(conversation(rng, rng.choices((1, 2, 3, 4, 5, 6), (60, 18, 10, 6, 4, 2))[0]))


WEIGHTS = tuple(skill.weight for skill in SKILLS)
STYLE_WEIGHTS = tuple(style.weight for style in STYLES)
CONTINENTS = next(skill for skill in SKILLS if skill.name == "continents")
DOUBLE_SKILLS = tuple(s for s in SKILLS if s.name in ("capitals", "countries by capital", "continents", "opposites", "plurals", "colours", "one-digit sums", "two-digit sums", "days", "months", "animals"))
PLAIN_SKILLS = tuple(skill for skill in SKILLS if skill.plain for _ in range(4 if skill.name == "capitals" else 1))


def shard(index):
    """The documents of one shard."""
    rng = random.Random(SEED + index)
    return [document(rng) for _ in range(SHARD_DOCUMENTS)]


def corpus(documents):
    """All shards, in order, written by as many processes as there are cores."""
    with multiprocessing.Pool() as pool:
        yield from pool.imap(shard, range(-(-documents // SHARD_DOCUMENTS)))


# The evaluation set: (skill, messages, checks), with phrasings that the corpus does not hold.

EVALUATION_COUNTS = {
    "capitals": 300, "countries by capital": 100, "continents": 100, "yes or no": 40, "opposites": 50, "plurals": 50, "colours": 40, "one-digit sums": 40,
    "two-digit sums": 40, "differences": 40, "two-digit sums, unseen pairs": 60, "differences, unseen pairs": 40, "three-digit sums, unseen pairs": 40,
    "three-digit differences, unseen pairs": 40, "times tables": 30, "division": 30, "differences below zero": 20, "days": 10, "months": 8, "numbers": 10, "too large to calculate": 20, "cities": 16,
}


def checks_of(skill, answer):
    """What a right answer holds."""
    if skill.name == "yes or no":
        return {"starts": answer.short, "contains": [answer.data["capital"]]}
    if skill.name in ("about countries", "too large to calculate", "differences below zero"):
        return {"equals": answer.sentence}
    if skill.name in ("lists", "counting"):
        return {"equals": answer.sentence}
    if "sums" in skill.name or "differences" in skill.name or skill.name in ("times tables", "division"):
        return {"ends": answer.short}
    if skill.name in ("days", "months", "letters", "numbers", "comparing"):
        return {"equals": answer.sentence}
    return {"contains": [answer.short]}


def evaluation():
    rng = random.Random(SEED - 1)
    rows = []

    def add(name, messages, **checks):
        rows.append({"skill": name, "messages": [{"role": role, "content": text} for role, text in messages], **checks})

    for skill in SKILLS + HELD_SKILLS:
        count = EVALUATION_COUNTS.get(skill.name, 12)
        # Each subject once before any comes again, where there are few of them.
        subjects = rng.sample(skill.subjects, len(skill.subjects)) if len(skill.subjects) < 20_000 else [rng.choice(skill.subjects) for _ in range(count)]
        for i in range(count):
            question, answer, _ = fact_turn(rng, True, skill, subjects[i % len(subjects)])
            add(skill.name, [("user", question)], **checks_of(skill, answer))
    for _ in range(60):
        skill = rng.choice([s for s in SKILLS if s.name in ("capitals", "opposites", "plurals", "continents", "colours", "countries by capital")])
        question, answer, _ = fact_turn(rng, True, skill)
        again, wanted, _ = fact_turn(rng, True, skill, template=rng.choice(skill.follow_ups[:4]))
        add("follow-ups", [("user", question), ("assistant", answer.sentence), ("user", again)], contains=[wanted.short])
    for style in STYLES:
        for i in range(12):
            skill = rng.choice([s for s in SKILLS if s.name in ("capitals", "opposites", "plurals", "continents", "colours", "days", "one-digit sums")])
            question, answer, _ = fact_turn(rng, True, skill)
            wording, key = with_key(rng, rng.choice(style.system_held if i % 2 else style.inline_held))
            messages = [("system", wording), ("user", question)] if i % 2 else [("user", f"{question} {wording}")]
            text = style.apply(answer, key)
            if style.name.startswith("json"):
                add(f"style: {style.name}", messages, json=json.loads(text))
            else:
                add(f"style: {style.name}", messages, equals=text)
    for i in range(30):
        question, answer, _ = fact_turn(rng, True, rng.choice(DOUBLE_SKILLS))
        style = STYLES[i % (len(STYLES) - 1)]
        again = rng.choice(talk.RESTYLE_HELD).replace("{m}", rng.choice(style.manners))
        text = style.apply(answer, None)
        checks = {"json": json.loads(text)} if style.name == "json" else {"equals": text}
        add("the same in another style", [("user", question), ("assistant", answer.sentence), ("user", again)], **checks)
    for _ in range(20):
        question, answer = two_facts_turn(rng, True)
        add("two questions at once", [("user", question)], equals=answer.sentence)
    for i in range(20):
        question, answer, skill = fact_turn(rng, True, SKILLS[0])
        add("style: neutral system prompt", [("system", rng.choice(NEUTRAL_HELD)), ("user", question)], contains=[answer.short])
    for _ in range(40):
        question, _ = unknown_place_turn(rng, True)
        add("unknown places", [("user", question)], contains=["don't know"])
    for _ in range(40):
        add("unknown questions", [("user", talk.unknown_question(rng, True))], contains=["don't know"])
    for entry in talk.SELF * 2:
        question, _, contains = talk.choose(rng, entry, True)
        add("about itself", [("user", question)], contains=list(contains))
    for entry in talk.COURTESY * 2:
        question, _, contains = talk.choose(rng, entry, True)
        add("courtesy", [("user", question)], contains=list(contains))
    for i in range(40):
        statements, _, held_questions, reply, recall, name = talk.MEMORY[i % len(talk.MEMORY)]
        value = talk.memory_value(rng, name)
        messages = [("user", rng.choice(statements).replace("{v}", value)), ("assistant", reply.replace("{v}", value))]
        if i % 2:
            question, answer, _ = fact_turn(rng, True, SKILLS[0])
            messages += [("user", question), ("assistant", answer.sentence)]
        add("memory", messages + [("user", rng.choice(held_questions))], contains=[value])
    for _ in range(30):
        words = talk.words_to_echo(rng)
        add("repeating", [("user", rng.choice(talk.ECHO_HELD).replace("{w}", words))], equals=words)
    for _ in range(40):
        question, _, words = stories.request(rng, True)
        words = [] if "named" in words else list(words)
        add("stories", [("user", question)], contains=words, least_words=60)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("corpus", "evaluation", "show"))
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path("build/corpus"))
    options = parser.parse_args()
    if options.what == "show":
        rng = random.Random(SEED)
        print("\n--\n".join(document(rng) for _ in range(25)))
    elif options.what == "evaluation":
        options.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in evaluation()))
    else:
        options.out.mkdir(parents=True, exist_ok=True)
        for index, texts in enumerate(corpus(options.documents)):
            (options.out / f"{index:04}.jsonl").write_text("".join(json.dumps(text, ensure_ascii=False) + "\n" for text in texts))


if __name__ == "__main__":
    main()
