"""The skills of the default model that are facts about the world, and the list of all skills."""

import facts
from arithmetic import HELD_SKILLS, NUMBER_SKILLS
from facts import article
from skill import Answer, Skill, table, upper_first

COUNTRIES = facts.parse_countries()
CAPITAL = {country: capital for country, capital, _ in COUNTRIES}
CONTINENT = {country: continent for country, _, continent in COUNTRIES}
COUNTRY_OF = {capital: country for country, capital, _ in COUNTRIES} | {city: part for part, city in facts.PARTS_OF_COUNTRIES.items() if city != "London"}
CAPITAL |= facts.PARTS_OF_COUNTRIES
CONTINENT |= {part: "Europe" for part in facts.PARTS_OF_COUNTRIES}
PLURAL = {noun: facts.regular_plural(noun) for noun in facts.REGULAR_PLURALS} | facts.PLURALS


def capital_answer(country):
    capital = CAPITAL[country]
    text = facts.CAPITAL_SENTENCES.get(country, f"The capital of {country} is {capital}.")
    return Answer(text.replace("..", "."), capital, {"country": country, "capital": capital}, "capital")


def country_surface(rng, country):
    aliases = facts.COUNTRY_ALIASES.get(country)
    return rng.choice(aliases) if aliases and rng.random() < 0.5 else country


NEXT_DAY = {d: facts.DAYS[(i + 1) % 7] for i, d in enumerate(facts.DAYS)}
PREVIOUS_DAY = {d: facts.DAYS[i - 1] for i, d in enumerate(facts.DAYS)}
NEXT_MONTH = {m: facts.MONTHS[(i + 1) % 12] for i, m in enumerate(facts.MONTHS)}
PREVIOUS_MONTH = {m: facts.MONTHS[i - 1] for i, m in enumerate(facts.MONTHS)}
MONTH_DAYS = dict(zip(facts.MONTHS, facts.MONTH_DAYS))
MONTH_AT = {facts.ordinal(i + 1): m for i, m in enumerate(facts.MONTHS)}
DAY_AT = {facts.ordinal(i + 1): d for i, d in enumerate(facts.DAYS)}
MONTH_NUMBER = {m: i + 1 for i, m in enumerate(facts.MONTHS)}
NEXT_SEASON = {s: facts.SEASONS[(i + 1) % 4] for i, s in enumerate(facts.SEASONS)}
OPPOSITE = {a: b for pair in facts.OPPOSITES for a, b in (pair, pair[::-1])} | facts.ONE_WAY_OPPOSITES
NEXT_LETTER = {chr(65 + i): chr(66 + i) for i in range(25)}
PREVIOUS_LETTER = {chr(66 + i): chr(65 + i) for i in range(25)}
CONTENTS = {f"{what} are in {where}": n for (what, where), n in facts.CONTENTS.items()}


def contents_answer(subject):
    what, where = subject.split(" are in ")
    value = CONTENTS[subject]
    text = f"There are {value} {what} in {where}."
    return Answer(text, str(value), {"what": what, "in": where, "number": value}, "number")


def list_answer(subject):
    items = facts.LISTS[subject]
    joined = ", ".join(items[:-1]) + " and " + items[-1]
    return Answer(upper_first(joined) + ".", ", ".join(items), {"list": list(items)}, "list")


CITIES = tuple(COUNTRY_OF)


def yes_no_answer(subject):
    """"Is {city} the capital of {country}?"; subjects are (city, country)."""
    city, country = subject
    right = CAPITAL[country]
    if city == right:
        return Answer(f"Yes, {city} is the capital of {country}.".replace("..", "."), "Yes", {"answer": "yes", "capital": right}, "answer")
    return Answer(f"No, the capital of {country} is {right}.".replace("..", "."), "No", {"answer": "no", "capital": right}, "answer")


def yes_no_pairs():
    """Every true pair, several times, and as many false ones."""
    countries = [c for c in CAPITAL if c not in facts.CAPITAL_SENTENCES]
    true = [(CAPITAL[c], c) for c in countries]
    false = [(CAPITAL[countries[(i * 7 + k * 31 + 5) % len(countries)]], c) for i, c in enumerate(countries) for k in range(6)]
    false += [(city, country) for city, country in facts.OTHER_CITIES.items()] * 4
    return tuple(true * 6 + [pair for pair in false if CAPITAL[pair[1]] != pair[0]])


def city_surface(rng, city):
    aliases = facts.CITY_ALIASES.get(city)
    return rng.choice(aliases) if aliases and rng.random() < 0.5 else city


def reverse_answer(city):
    country = COUNTRY_OF[city]
    text = f"{city} is the capital of {country}."
    return Answer(text, country, {"capital": city, "country": country}, "country")


def country_answer(country):
    """All that the model knows of a country."""
    capital, continent = CAPITAL[country], CONTINENT[country]
    text = f"{upper_first(country)} is a country in {continent}. Its capital is {capital}."
    return Answer(text.replace("..", "."), f"A country in {continent}", {"country": country, "continent": continent, "capital": capital}, "capital")


FACT_SKILLS = (
    Skill(
        "capitals", tuple(CAPITAL), capital_answer, weight=6.0, surface=country_surface,
        questions=(
            "What is the capital of {x}?", "What is {x}'s capital?", "Which city is the capital of {x}?", "What city is the capital of {x}?",
            "{x} capital?", "capital of {x}", "Capital of {x}?", "{x}: capital?", "The capital of {x} is?", "What is the capital city of {x}?",
            "Tell me the capital city of {x}.", "What is the name of the capital of {x}?", "Where is the capital of {x}?",
            "Which city is the seat of government and capital of {x}?", "What do you call the capital of {x}?", "The capital of {x} is called what?",
            "I am going to {x}. What is the capital?", "What is the capital of the country {x}?", "What is the main city and capital of {x}?",
            "Do you know which city is the capital of {x}?", "Can you tell me which city is the capital of {x}?", "For {x}, what is the capital?",
            "In {x}, what is the capital?", "I have a question about {x}. What is its capital?", "Complete: the capital of {x} is",
            "Fill in: The capital of {x} is ___.", "How is the capital of {x} called?", "Name the capital city of {x}.", "{x} has which capital?",
            "Which town acts as the capital of {x}?", "What place functions as the capital of {x}?", "Which city would you call the capital of {x}?", "The people of {x} have which city as their capital?",
            "Which city do people in {x} call their capital?", "I need the capital of {x} for my homework.", "What city did {x} choose as its capital?", "On a map of {x}, which city is marked as the capital?",
            "When I fly to {x}, what capital will I see?", "Which capital belongs to {x}?", "What capital does {x} have?", "Which is the capital of {x}?", "Please write down the capital of {x}.",
            "Someone asked me about the capital of {x}.", "Look up the capital of {x}.", "Guess the capital of {x}!", "My homework asks for the capital of {x}.", "What is {x}'s capital called?",
        ),
        held=(
            "Which city serves as the capital of {x}?", "What city is {x}'s capital?", "Can you tell me the name of {x}'s capital?",
            "Which city is {x}'s capital city?", "If I travel to {x}, which city is the capital?", "Tell me which city is the capital of {x}.",
            "May I ask what the capital of {x} is?", "I was wondering about the capital of {x}.", "Which city did they make the capital of {x}?",
        ),
        phrases=("the capital of {x}", "the capital of {x}", "the capital city of {x}", "{x}'s capital", "the name of the capital of {x}"),
        follow_ups=("And {x}?", "And of {x}?", "What about {x}?", "How about {x}?", "{x}?", "And the capital of {x}?", "And for {x}?",
                    "Now {x}.", "of {x}?", "And what is it for {x}?", "Same question for {x}."),
        plain=("The capital of {x} is {y}.", "{y} is the capital of {x}.", "The capital city of {x} is {y}.", "The name of the capital of {x} is {y}."),
    ),
    Skill(
        "countries by capital", CITIES, reverse_answer, weight=3.0, surface=city_surface,
        questions=(
            "{x} is the capital of which country?", "Which country has the capital {x}?", "Of which country is {x} the capital?",
            "What country is {x} the capital of?", "{x} is the capital of what?", "Which country's capital is {x}?", "Whose capital is {x}?",
            "What country has {x} as its capital?", "Name the country with the capital {x}.", "Tell me the country whose capital is {x}.",
            "The city {x} is the capital of which country?", "{x}: capital of which country?", "Do you know which country has the capital {x}?",
            "In which country is {x} the capital?", "In which country is {x}?", "Where is the city {x}?", "Complete: {x} is the capital of", "Tell me about the city {x}.", "What is the city {x}?", "Which country is the city {x} in?", "What nation has its capital in {x}?",
        ),
        held=("Which country has {x} as its capital?", "Which nation's capital is {x}?", "{x} is the capital city of what country?",
              "Can you tell me which country {x} is the capital of?"),
        phrases=("the country whose capital is {x}", "the country with the capital {x}", "the country that has {x} as its capital"),
        follow_ups=("And {x}?", "What about {x}?", "How about {x}?", "{x}?", "And the country of {x}?", "Now {x}."),
        plain=("{x} is the capital of {y}.",),
    ),
    Skill(
        "continents", tuple(CONTINENT), table("{X} is in {y}.", "continent", "country")(CONTINENT), weight=2.5, surface=country_surface,
        questions=(
            "On which continent is {x}?", "Which continent is {x} on?", "Which continent is {x} in?", "What continent is {x} in?", "What continent is {x} on?",
            "In which continent does {x} lie?", "{x} is on which continent?", "To which continent does {x} belong?", "{x} continent?",
            "{x} belongs to which continent?", "Where in the world is {x}?", "Tell me which continent {x} is on.", "Where is {x}?",
            "What part of the world is {x} in?", "Do you know which continent {x} is in?", "{x} is part of which continent?", "Where is {x} located?",
        ),
        held=("{x} lies on which continent?", "On what continent can I find {x}?", "Which continent does {x} belong to?", "What continent does {x} lie in?"),
        phrases=("the continent of {x}", "{x}'s continent", "the continent that {x} is on"),
        plain=("{x} is a country in {y}.", "{x} is in {y}."),
    ),
    Skill(
        "about countries", tuple(c for c, _, _ in COUNTRIES if c not in facts.CAPITAL_SENTENCES and c != "Vatican City"), country_answer, weight=1.5, surface=country_surface,
        questions=(
            "Tell me about {x}.", "What do you know about {x}?", "What is {x}?", "What can you tell me about {x}?", "Describe {x}.", "Tell me something about {x}.", "What kind of place is {x}?",
            "What about the country {x}?", "{x}", "Do you know {x}?", "Please tell me about {x}.", "Explain {x}.", "Give me facts about {x}.", "I want to know more about {x}.", "Teach me about {x}.", "What is there to say about {x}?", "Say something about {x}.", "I am interested in {x}.", "Talk about {x}.",
        ),
        held=("Would you tell me about {x}?", "What do you know of {x}?", "I would like to learn about {x}."),
        follow_ups=("And {x}?", "What about {x}?", "How about {x}?", "And about {x}?"),
    ),
    Skill(
        "cities", tuple(facts.OTHER_CITIES), table("{X} is a city in {y}.", "country", "city")(facts.OTHER_CITIES), weight=0.7,
        questions=("Where is {x}?", "In which country is {x}?", "Which country is {x} in?", "What country is {x} in?", "{x} is in which country?", "Tell me about {x}.", "What is {x}?", "Where is the city {x}?", "Where is {x} located?"),
        held=("In what country can I find {x}?", "{x} lies in which country?"), phrases=("the country of the city {x}", "the country that {x} is in"),
    ),
    Skill(
        "about countries", tuple(facts.COUNTRY_IN), table("{y} is a country in {x}.", "country", "continent")(facts.COUNTRY_IN), weight=0.4,
        questions=("Name a country in {x}.", "Tell me a country in {x}.", "Which country is in {x}?", "Give me a country in {x}.", "Name one country of {x}.", "Do you know a country in {x}?"),
        held=("Can you name a country in {x}?", "Which country lies in {x}?"),
    ),
    Skill(
        "yes or no", yes_no_pairs(), yes_no_answer, weight=3.0, follow_ups=(),
        questions=(
            "Is {a} the capital of {b}?", "Is {a} {b}'s capital?", "Is the capital of {b} {a}?", "Is {a} the capital city of {b}?", "{a} is the capital of {b}, right?",
            "Is it true that {a} is the capital of {b}?", "Would you say that {a} is the capital of {b}?", "I think {a} is the capital of {b}. Is that right?",
            "True or false: {a} is the capital of {b}.", "{a} is the capital of {b}. Right?", "{a} is the capital of {b}. True?", "Do you agree that {a} is the capital of {b}?", 
            "The capital of {b} is {a}, isn't it?", "Is {a} really the capital of {b}?", "{a} is {b}'s capital, yes?", "Can it be that {a} is the capital of {b}?", "The capital of {b} is {a}. Is that true?",
            "Is {b}'s capital city {a}?", "My friend says that {a} is the capital of {b}. Is that so?", "Does {b} have {a} as its capital?", "Is the capital of {b} called {a}?",
        ),
        held=("Am I right that {a} is the capital of {b}?", "{a} is the capital of {b}. Is that correct?", "Is {b}'s capital {a}?"),
    ),
    Skill(
        "days", facts.DAYS, table("{y} comes after {x}.", "next", "day")(NEXT_DAY), weight=0.8,
        questions=("What day comes after {x}?", "Which day comes after {x}?", "What day follows {x}?", "Which day is after {x}?", "What comes after {x}?",
                   "If today is {x}, what day is tomorrow?", "Today is {x}. What is tomorrow?", "What is the day after {x}?", "After {x} comes which day?"),
        held=("Which day follows {x}?", "If it is {x} today, which day will it be tomorrow?", "What day is it after {x}?"),
        phrases=("the day after {x}", "the day that comes after {x}", "the next day after {x}"), plain=("{y} comes after {x}.", "After {x} comes {y}."),
    ),
    Skill(
        "days", facts.DAYS, table("{y} comes before {x}.", "previous", "day")(PREVIOUS_DAY), weight=0.8,
        questions=("What day comes before {x}?", "Which day comes before {x}?", "Which day is before {x}?", "What comes before {x}?",
                   "If today is {x}, what day was yesterday?", "Today is {x}. What was yesterday?", "What is the day before {x}?", "Before {x} comes which day?"),
        held=("Which day precedes {x}?", "If it is {x} today, which day was it yesterday?", "What day is it before {x}?"),
        phrases=("the day before {x}", "the day that comes before {x}", "the previous day of {x}"), plain=("{y} comes before {x}.",),
    ),
    Skill(
        "days", tuple(DAY_AT), table("The {x} day of the week is {y}.", "day", "position")(DAY_AT), weight=0.3,
        questions=("Which is the {x} day of the week?", "Which day is the {x} day of the week?", "What is the {x} day of the week?"),
        held=("Which day is {x} in the week?", "Tell me which day of the week is the {x}."), phrases=("the {x} day of the week", "the {x} day of a week"),
    ),
    Skill(
        "months", facts.MONTHS, table("{y} comes after {x}.", "next", "month")(NEXT_MONTH), weight=0.8,
        questions=("What month comes after {x}?", "Which month comes after {x}?", "What month follows {x}?", "Which month is after {x}?", "What comes after {x}?",
                   "It is {x}. What is the next month?", "Now it is {x}. Which month is next?", "If this month is {x}, what is the next one?", "After {x} comes which month?", "What is the month after {x}?"),
        held=("Which month follows {x}?", "If it is {x} now, which month is next?", "What month is it after {x}?"),
        phrases=("the month after {x}", "the month that comes after {x}", "the next month after {x}"), plain=("{y} comes after {x}.",),
    ),
    Skill(
        "months", facts.MONTHS, table("{y} comes before {x}.", "previous", "month")(PREVIOUS_MONTH), weight=0.8,
        questions=("What month comes before {x}?", "Which month comes before {x}?", "Which month is before {x}?", "What comes before {x}?",
                   "It is {x}. What was the last month?", "Now it is {x}. Which month was before?", "If this month is {x}, what was the one before?", "Before {x} comes which month?", "What is the month before {x}?"),
        held=("Which month precedes {x}?", "If it is {x} now, which month was before?", "What month is it before {x}?"),
        phrases=("the month before {x}", "the month that comes before {x}", "the previous month of {x}"), plain=("{y} comes before {x}.",),
    ),
    Skill(
        "months", facts.MONTHS, table("{x} has {y} days.", "days", "month")(MONTH_DAYS), weight=0.8,
        questions=("How many days are in {x}?", "How many days are there in {x}?", "How many days does {x} have?", "{x} has how many days?", "How long is {x}?",
                   "Tell me how many days {x} has."),
        held=("How many days long is {x}?", "Do you know how many days {x} has?", "What number of days does {x} have?"),
        phrases=("the number of days in {x}", "the length of {x} in days"), plain=("{x} has {y} days.",),
    ),
    Skill(
        "months", tuple(MONTH_AT), table("The {x} month of the year is {y}.", "month", "position")(MONTH_AT), weight=0.5,
        questions=("Which is the {x} month of the year?", "Which month is the {x} month of the year?", "What is the {x} month?", "Which month is the {x}?"),
        held=("Which month is {x} in the year?", "Tell me which month of the year is the {x}."), phrases=("the {x} month of the year", "the {x} month"),
    ),
    Skill(
        "months", facts.MONTHS, table("{x} is month number {y}.", "number", "month")(MONTH_NUMBER), weight=0.5,
        questions=("What number is the month {x}?", "Which number does {x} have in the year?", "What month number is {x}?", "{x} is which month of the year?"),
        held=("Which number month is {x}?",), phrases=("the number of the month {x}", "the month number of {x}"),
    ),
    Skill(
        "seasons", facts.SEASONS, table("{Y} comes after {x}.", "next", "season")(NEXT_SEASON), weight=0.3,
        questions=("Which season comes after {x}?", "What season follows {x}?", "What comes after {x}?", "Which season is after {x}?"),
        held=("Which season follows {x}?", "What season comes next after {x}?"), phrases=("the season after {x}",),
    ),
    Skill(
        "opposites", tuple(OPPOSITE), table("The opposite of {x} is {y}.", "opposite")(OPPOSITE), weight=2.5,
        questions=("What is the opposite of {x}?", "Opposite of {x}?", "opposite of {x}", "What word means the opposite of {x}?", "{x} opposite?",
                   "What is the contrary of {x}?", "Which word is the opposite of {x}?", "What is not {x}?", "Give me a word that means the opposite of {x}.",
                   "If something is not {x}, what is it?", "What is the antonym of {x}?", "The opposite of {x} is?", "{x} is the opposite of what?"),
        held=("Which word has the opposite meaning of {x}?", "Tell me a word that is the opposite of {x}.", "What's {x}'s opposite?"),
        phrases=("the opposite of {x}", "the opposite of the word {x}", "the antonym of {x}", 'the opposite of "{x}"'),
        plain=("The opposite of {x} is {y}.",),
        follow_ups=("And {x}?", "And of {x}?", "What about {x}?", "How about {x}?", "{x}?", "And the opposite of {x}?", "Now {x}."),
    ),
    Skill(
        "plurals", tuple(PLURAL), table("The plural of {x} is {y}.", "plural")(PLURAL), weight=2.5,
        questions=("What is the plural of {x}?", "Plural of {x}?", "plural of {x}", "One {x}, two what?", "One {x}, many what?", "One {x}, five what?", "One {x}, ten what?", "One {x}, but two what?", "There is one {x}. There are two what?", "First one {x}, then a lot of what?",
                   "I see one {x}, you see four what?", "What do you call more than one {x}?",
                   "What is the plural form of {x}?", "How do you say more than one {x}?", "How do you write the plural of {x}?", "{x} plural?",
                   "If I have two of them, what is the word for {x}?", "The plural of {x} is?", "Make {x} plural.", "Put {x} into the plural."),
        held=("One {x}, three what?", "How do I form the plural of {x}?", "Which word is the plural of {x}?"),
        phrases=("the plural of {x}", "the plural of the word {x}", "the plural form of {x}", 'the plural of "{x}"'), plain=("The plural of {x} is {y}.",),
        follow_ups=("And {x}?", "And of {x}?", "What about {x}?", "How about {x}?", "{x}?", "And the plural of {x}?", "Now {x}."),
    ),
    Skill(
        "colours", tuple(facts.COLOURS), table("{X} is {y}.", "colour", "thing")(facts.COLOURS), weight=2.0,
        questions=("What colour is {x}?", "What color is {x}?", "Which colour does {x} have?", "Which color does {x} have?", "What colour does {x} have?",
                   "{x} is what colour?", "{x} has which color?", "Tell me what colour {x} is.", "What is the usual colour of {x}?", "What color would {x} be?",
                   "What colour should I paint {x}?", "{x} colour?"),
        held=("Which colour is {x}?", "Do you know what color {x} is?", "If I draw {x}, which colour do I need?"),
        phrases=("the colour of {x}", "the color of {x}"), plain=("{x} is {y}.",),
    ),
    Skill(
        "colours", tuple(facts.THING_OF_COLOUR), table("{Y} is {x}.", "thing", "colour")(facts.THING_OF_COLOUR), weight=0.4,
        questions=("Name something that is {x}.", "What is {x}?", "Tell me something that is {x}.", "Name a thing that is {x}.", "Which thing is {x}?", "Do you know something {x}?", "Name something {x}.", "Give me an example of something {x}.", "What thing is {x}?", "Show me something that is {x}.", "Show me a {x} thing.", "Which {x} thing do you know?", "I need a {x} thing.", "Think of a {x} thing."),
        held=("Can you name something {x}?", "Tell me a {x} thing."),
    ),
    Skill(
        "animals", tuple(facts.SOUNDS), lambda x: Answer(f"{upper_first(article(x))} says {facts.SOUNDS[x]}.", facts.SOUNDS[x],
                                                        {"animal": x, "sound": facts.SOUNDS[x]}, "sound"), weight=0.7,
        questions=("What does a {x} say?", "What sound does a {x} make?", "Which sound does the {x} make?", "How does a {x} sound?", "What noise does a {x} make?", "What is the noise of a {x}?", "What do I hear when a {x} calls?", "What can you hear from the {x}?", "Which sound comes from a {x}?"),
        held=("What do you hear from a {x}?", "What is the noise that a {x} makes?", "Which noise does a {x} make?"), phrases=("the sound of a {x}", "the sound that a {x} makes"),
        surface=lambda rng, x: x, follow_ups=("And a {x}?", "What about a {x}?", "And the {x}?", "{x}?"),
    ),
    Skill(
        "animals", tuple(facts.BABIES), lambda x: Answer(f"A baby {x} is called {article(facts.BABIES[x])}.", facts.BABIES[x],
                                                        {"animal": x, "baby": facts.BABIES[x]}, "baby"), weight=0.7,
        questions=("What is a baby {x} called?", "What do you call a baby {x}?", "What is the name for a baby {x}?", "What is a young {x} called?", "A baby {x} is called what?"),
        held=("How do you call a young {x}?", "What do people call a baby {x}?"), phrases=("the word for a baby {x}", "the name of a baby {x}"),
        follow_ups=("And a {x}?", "What about a {x}?", "And a baby {x}?", "{x}?"),
    ),
    Skill(
        "animals", tuple(facts.LEGS), lambda x: Answer(f"{upper_first(article(x))} has {facts.LEGS[x] or 'no'} legs.", str(facts.LEGS[x]) if facts.LEGS[x] else "no",
                                                      {"thing": x, "legs": facts.LEGS[x]}, "legs"), weight=0.7,
        questions=("How many legs does a {x} have?", "How many legs has a {x}?", "A {x} has how many legs?", "How many legs are on a {x}?", "Tell me how many legs a {x} has."),
        held=("Do you know how many legs a {x} has?", "How many legs would a {x} have?"), phrases=("the number of legs of a {x}",),
        follow_ups=("And a {x}?", "What about a {x}?", "And the {x}?", "{x}?"),
    ),
    Skill(
        "shapes", tuple(facts.SIDES), lambda x: Answer(f"{upper_first(article(x))} has {facts.SIDES[x]} sides.", str(facts.SIDES[x]),
                                                      {"shape": x, "sides": facts.SIDES[x]}, "sides"), weight=0.4,
        questions=("How many sides does a {x} have?", "How many sides has a {x}?", "A {x} has how many sides?", "Tell me how many sides a {x} has."),
        held=("Do you know how many sides a {x} has?", "How many sides are there on a {x}?"), phrases=("the number of sides of a {x}",),
    ),
    Skill(
        "how many", tuple(CONTENTS), contents_answer, weight=0.7,
        questions=("How many {x}?", "How many {x}?", "Tell me how many {x}.", "Do you know how many {x}?", "I want to know how many {x}."),
        held=("Can you tell me how many {x}?", "I forgot how many {x}."), follow_ups=("And how many {x}?",),
    ),
    Skill(
        "lists", tuple(facts.LISTS), list_answer, weight=1.0,
        questions=("List {x}.", "Name {x}.", "What are {x}?", "Tell me {x}.", "Can you list {x}?", "Can you name {x}?", "Give me {x}.", "Please list {x}.",
                   "I need {x}.", "Write down {x}.", "Do you know {x}?", "{x}?"),
        held=("Could you name {x}?", "Please tell me {x}.", "Say {x} for me."), follow_ups=("And {x}?", "Now {x}."),
    ),
    Skill(
        "letters", tuple(NEXT_LETTER), table("The letter {y} comes after {x}.", "next", "letter")(NEXT_LETTER), weight=0.5,
        questions=("Which letter comes after {x}?", "What letter comes after {x}?", "What letter follows {x}?", "After {x} comes which letter?", "In the alphabet, which letter stands after {x}?", "Which letter do I find after {x}?"),
        held=("Which letter follows {x}?", "Which letter is next after {x}?"), phrases=("the letter after {x}", "the letter that comes after {x}"),
    ),
    Skill(
        "letters", tuple(PREVIOUS_LETTER), table("The letter {y} comes before {x}.", "previous", "letter")(PREVIOUS_LETTER), weight=0.5,
        questions=("Which letter comes before {x}?", "What letter comes before {x}?", "Before {x} comes which letter?", "In the alphabet, which letter stands before {x}?", "Which letter do I find before {x}?"),
        held=("Which letter precedes {x}?", "Which letter is just before {x}?"), phrases=("the letter before {x}", "the letter that comes before {x}"),
    ),
)

SKILLS = FACT_SKILLS + NUMBER_SKILLS
