"""Skills with numbers: sums, differences, products, quotients, counting, comparing."""

from facts import number_word
from skill import Answer, Skill


def number_answer(kind, result):
    """An answer function for a question about one number."""
    def answer(n):
        value = result(n)
        return Answer(kind.format(x=n, y=value), str(value), {"number": n, "answer": value}, "answer")
    return answer


# Sums, differences and products: subjects are (a, sign, b); a tenth of the pairs is never trained on.
def scattered(a, b):
    """True for a tenth of all pairs, whatever their digits are."""
    return (a * 7919 + b * 40503) // 64 % 10 == 3


def held_pair(a, b):
    """Whether the pair is kept out of training, the same for all three operations."""
    return a > 9 and b > 9 and scattered(a, b)


SIGNS = {
    "+": ("{a} + {b}", "{a} + {b}", "{a} plus {b}", "{a}+{b}"),
    "-": ("{a} - {b}", "{a} - {b}", "{a} minus {b}", "{a}-{b}"),
    "*": ("{a} * {b}", "{a} times {b}", "{a} x {b}", "{a}*{b}"),
    "/": ("{a} / {b}", "{a} divided by {b}", "{a}/{b}", "{a} : {b}"),
}
ARITHMETIC = {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a // b}
SIGN_SHOWN = {"+": "+", "-": "-", "*": "x", "/": "/"}


def sum_surface(rng, subject):
    a, sign, b = subject
    words = a < 21 and b < 21 and sign != "/" and rng.random() < 0.12
    form = rng.choice(SIGNS[sign])
    if words:
        form = {"+": "{a} plus {b}", "-": "{a} minus {b}", "*": "{a} times {b}"}[sign]
        a, b = number_word(a), number_word(b)
    return form.format(a=a, b=b)


def sum_answer(subject):
    a, sign, b = subject
    value = ARITHMETIC[sign](a, b)
    shown = f"{a} {SIGN_SHOWN[sign]} {b}"
    return Answer(f"{shown} = {value}.", str(value), {"expression": shown, "result": value}, "result")


SUM_QUESTIONS = (
    "What is {x}?", "What's {x}?", "{x}", "{x} =", "{x} = ?", "{x}?", "Calculate {x}.", "Compute {x}.", "How much is {x}?",
    "Solve {x}.", "Can you calculate {x}?", "Can you work out {x}?", "Tell me {x}.", "Please calculate {x}.", "What does {x} equal?",
    "What do you get for {x}?", "What is the result of {x}?", "Do the maths: {x}.", "I need the result of {x}.", "How much does {x} make?",
    "Please solve {x}", "Do you know what {x} is?", "Work out {x}.",
)
SUM_HELD = ("Could you compute {x} for me?", "What is the value of {x}?", "Tell me how much {x} is.", "What would {x} be?")
SINGLE = tuple((a, "+", b) for a in range(10) for b in range(10))
DOUBLE = tuple((a, "+", b) for a in range(100) for b in range(100) if not held_pair(a, b))
DOUBLE_HELD = tuple((a, "+", b) for a in range(100) for b in range(100) if held_pair(a, b))
MINUS = tuple((a, "-", b) for a in range(100) for b in range(a + 1) if not held_pair(a, b))
MINUS_HELD = tuple((a, "-", b) for a in range(100) for b in range(a + 1) if held_pair(a, b))
BELOW_ZERO = tuple((a, "-", b) for b in range(100) for a in range(b) if not held_pair(a, b))
DIVIDE = tuple((a * b, "/", b) for a in range(13) for b in range(1, 13))
TIMES = tuple((a, "*", b) for a in range(13) for b in range(13))


class Thousands:
    """All sums or differences of two numbers below 1000 but those that are held out, without a list of them."""

    def __init__(self, sign, held=False):
        self.sign, self.held = sign, held

    def __len__(self):
        return 1_000_000

    def __getitem__(self, index):
        a, b = divmod(index, 1000)
        if self.sign == "-":
            a, b = max(a, b), min(a, b)
        # On to the next pair of the right kind.
        while scattered(a, b) != self.held:
            b += 1
            if b > (a if self.sign == "-" else 999):
                a, b = (a + 1) % 1000, 0
        return a, self.sign, b


TOO_HARD = "That is too hard for me. I know only small sums."


class Large:
    """Calculations that the model does not attempt."""

    def __len__(self):
        return 4 * 10 ** 12

    def __getitem__(self, index):
        index, kind = divmod(index, 4)
        sign = "+-*/"[kind]
        a, b = divmod(index, 10 ** 6)
        if sign in "+-":
            return 1000 + a % 10 ** (4 + b % 3), sign, 1000 + b % 9000
        return (13 + a % 987, sign, 13 + b % 987) if sign == "*" else (150 + a % 9850, sign, 13 + b % 87)


def large_answer(subject):
    a, sign, b = subject
    return Answer(TOO_HARD, "I don't know", {"expression": f"{a} {SIGN_SHOWN[sign]} {b}", "result": None}, "result")


# Counting: subjects are (first, last, step).
def count_range(subject):
    first, last, step = subject
    return range(first, last + (1 if step > 0 else -1), step)


def count_answer(subject):
    numbers = ", ".join(map(str, count_range(subject)))
    return Answer(numbers + ".", numbers, {"numbers": list(count_range(subject))}, "numbers")


COUNT_UP = tuple((a, b, 1) for a in range(0, 91) for b in range(a + 2, min(a + 21, 101)))
COUNT_DOWN = tuple((b, a, -1) for a, b, _ in COUNT_UP)
COUNT_TWOS = tuple((a, a + 2 * n, 2) for a in range(0, 60) for n in range(3, 13))


def count_surface(rng, subject):
    first, last, _ = subject
    word = number_word if max(first, last) <= 20 and rng.random() < 0.4 else str
    return f"from {word(first)} to {word(last)}" if first != 1 or rng.random() < 0.7 else f"to {word(last)}"


# Comparing two numbers: subjects are pairs.
PAIRS = tuple((a, b) for a in range(100) for b in range(100) if a != b)


def pair_surface(rng, subject):
    return rng.choice(("{} or {}", "{} or {}", "{} and {}")).format(*subject)


def larger_answer(pair):
    a, b = max(pair), min(pair)
    return Answer(f"{a} is larger than {b}.", str(a), {"larger": a, "smaller": b}, "larger")


def smaller_answer(pair):
    a, b = max(pair), min(pair)
    return Answer(f"{b} is smaller than {a}.", str(b), {"smaller": b, "larger": a}, "smaller")


def parity_answer(n):
    word = "odd" if n % 2 else "even"
    return Answer(f"{n} is an {word} number.", word, {"number": n, "answer": word}, "answer")

NUMBER_SKILLS = (
    Skill("one-digit sums", SINGLE, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=0.8),
    Skill("two-digit sums", DOUBLE, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=4.0),
    Skill("differences", MINUS, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=3.0),
    Skill("differences below zero", BELOW_ZERO, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=1.0),
    Skill("three-digit sums", Thousands("+"), sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=4.0),
    Skill("three-digit differences", Thousands("-"), sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=4.0),
    Skill("times tables", TIMES, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=1.0),
    Skill("division", DIVIDE, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=1.0),
    Skill("too large to calculate", Large(), large_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface, weight=0.6),
    Skill(
        "counting", COUNT_UP + tuple((a, b, 1) for a in range(3) for b in range(3, 21)) * 4, count_answer, weight=1.5, surface=count_surface,
        questions=("Count {x}.", "Please count {x}.", "Can you count {x}?", "Count up {x}.", "Count for me {x}.", "I want you to count {x}.", "Write the numbers {x}.",
                   "Say the numbers {x}.", "List the numbers {x}.", "Numbers {x}, please.", "Can you say the numbers {x}?", "Show me the numbers {x}."),
        held=("Could you count {x}?", "Give me the numbers {x}.", "Start counting {x}."), follow_ups=("Now {x}.", "And {x}?"),
    ),
    Skill(
        "counting", COUNT_DOWN, count_answer, weight=1.0, surface=lambda rng, s: f"from {s[0]} to {s[1]}",
        questions=("Count backward {x}.", "Count down {x}.", "Count backwards {x}.", "Please count down {x}.", "Can you count backward {x}?", "Count in reverse {x}."),
        held=("Could you count backwards {x}?", "Please count backward {x}.", "Start counting down {x}."), follow_ups=("Now {x}.",),
    ),
    Skill(
        "counting", COUNT_TWOS, count_answer, weight=1.0, surface=lambda rng, s: f"from {s[0]} to {s[1]}",
        questions=("Count by twos {x}.", "Count in twos {x}.", "Please count by twos {x}.", "Can you count by twos {x}?", "Count {x} by twos.", "Count {x} in steps of two."),
        held=("Could you count by twos {x}?", "Count up by twos {x}.", "Start counting in twos {x}."), follow_ups=("Now {x}.",),
    ),
    Skill(
        "numbers", tuple(range(0, 100)), number_answer("{y} comes after {x}.", lambda n: n + 1), weight=0.6,
        questions=("What number comes after {x}?", "Which number comes after {x}?", "What comes after {x}?", "What number follows {x}?"),
        held=("Which number follows {x}?", "Which number is next after {x}?"), phrases=("the number after {x}", "the next number after {x}"),
    ),
    Skill(
        "numbers", tuple(range(1, 101)), number_answer("{y} comes before {x}.", lambda n: n - 1), weight=0.6,
        questions=("What number comes before {x}?", "Which number comes before {x}?", "What comes before {x}?"),
        held=("Which number precedes {x}?", "Which number is just before {x}?"), phrases=("the number before {x}",),
    ),
    Skill(
        "numbers", tuple(range(0, 100)), number_answer("The double of {x} is {y}.", lambda n: 2 * n), weight=0.6,
        questions=("Double {x}.", "What is twice {x}?", "How much is double {x}?"), held=("What do I get if I double {x}?",), phrases=("the double of {x}", "double {x}"),
    ),
    Skill(
        "numbers", tuple(range(0, 101, 2)), number_answer("Half of {x} is {y}.", lambda n: n // 2), weight=0.5,
        questions=("How much is half of {x}?", "What is {x} divided by two?", "Halve {x}."), held=("What do I get if I halve {x}?",), phrases=("half of {x}", "the half of {x}"),
    ),
    Skill(
        "numbers", tuple(range(0, 100)), parity_answer, weight=0.6,
        questions=("Is {x} even or odd?", "Is {x} odd or even?", "Is the number {x} even or odd?", "Even or odd: {x}?"), held=("Would you call {x} even or odd?", "{x}: odd or even?"),
    ),
    Skill(
        "comparing", PAIRS, larger_answer, weight=0.8, surface=pair_surface, follow_ups=(),
        questions=("Which is larger, {x}?", "Which number is larger, {x}?", "What is bigger, {x}?", "Which is bigger, {x}?", "Which is more, {x}?", "What is more, {x}?", "Which of these is larger: {x}?"),
        held=("Which number is bigger: {x}?", "Which one is larger, {x}?"),
    ),
    Skill(
        "comparing", PAIRS, smaller_answer, weight=0.8, surface=pair_surface, follow_ups=(),
        questions=("Which is smaller, {x}?", "Which number is smaller, {x}?", "What is smaller, {x}?", "Which is less, {x}?", "What is less, {x}?", "Which of these is smaller: {x}?"),
        held=("Which number is less: {x}?", "Which one is smaller, {x}?"),
    ),
)

# Asked by the evaluation only: pairs of numbers that training never shows.
HELD_SKILLS = (
    Skill("two-digit sums, unseen pairs", DOUBLE_HELD, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface),
    Skill("differences, unseen pairs", MINUS_HELD, sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface),
    Skill("three-digit sums, unseen pairs", Thousands("+", True), sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface),
    Skill("three-digit differences, unseen pairs", Thousands("-", True), sum_answer, SUM_QUESTIONS, SUM_HELD, surface=sum_surface),
)
