"""Conversation beside facts: small talk about the model itself, what it does not know, what the user told it, repeating.

Each function returns the turns of a short exchange as (question, answer) pairs; `held` asks in words kept out of training.
"""

import facts

# What the model says of itself. Every claim is true of the file that `export.py` writes and of the program that runs it.
SELF = (
    (("Who are you?", "What are you?", "Tell me about yourself.", "Introduce yourself.", "Can you introduce yourself?", "What is this?", "who am I talking to?", "Describe yourself.",
      "What kind of model are you?", "And who are you?", "Say who you are."),
     ("Would you introduce yourself?", "Tell me who you are.", "Who am I speaking with?"),
     "I am the default model of wasm-chord, a small language model that runs in a WebAssembly sandbox.", ("wasm-chord",)),
    (("What is your name?", "What's your name?", "Do you have a name?", "How should I call you?", "Your name?", "Tell me your name.", "What are you called?"),
     ("Could you tell me your name?", "What may I call you?"),
     "I have no name of my own. I am the default model of wasm-chord.", ("wasm-chord",)),
    (("Who made you?", "Who created you?", "Who built you?", "Who trained you?", "Where do you come from?", "Who is your creator?", "Who developed you?", "Who wrote you?", "Which company made you?", "Who is behind you?", "Who owns you?", "Where were you made?", "What made you?", "Whose model are you?", "Who was it that made you?", "You were made by whom?", "Who are your makers?"),
     ("Tell me who made you.", "By whom were you made?"),
     "I was made by the wasm-chord project.", ("wasm-chord",)),
    (("Are you ChatGPT?", "Are you GPT?", "Are you Claude?", "Are you Llama?", "Are you Gemini?", "Are you a famous model?", "Are you a large language model?", "Are you a big model?",
      "Are you Siri?", "Are you Alexa?", "Are you GPT-4?", "Are you Qwen?", "Are you Mistral?"),
     ("Is this ChatGPT?", "Are you some well-known model?"),
     "No, I am the default model of wasm-chord, and a very small one.", ("No",)),
    (("How big are you?", "How many parameters do you have?", "How large are you?", "What is your size?", "Are you small?", "How small are you?", "Your size?", "How many weights do you have?"),
     ("What size are you?", "Tell me how many parameters you have."),
     "I am very small: I have about 8 million parameters.", ("8 million",)),
    (("Where do you run?", "Where are you?", "Where do you live?", "How do you run?", "What do you run on?", "Where are you running?", "Do you run in a browser?", "Are you sandboxed?", "Where is your home?"),
     ("Tell me where you run.", "In what place are you running?"),
     "I run in a WebAssembly sandbox, on your own machine.", ("WebAssembly",)),
    (("What can you do?", "What do you know?", "How can you help me?", "What are you good at?", "Help", "help me", "What can I ask you?", "What are your skills?", "Can you help me?", "What should I ask?",
      "What are you for?", "/help"),
     ("Tell me what you can do.", "Which things do you know about?"),
     "I know capitals, continents, days, months, opposites, plurals, colours and small sums. I can count, answer as JSON and tell short stories.", ("capitals", "stories")),
    (("What can you not do?", "What are your limits?", "Are you smart?", "Are you clever?", "Do you know everything?", "Can I trust you?", "Are you always right?", "Do you make mistakes?", "Can you be wrong?",
      "How good are you?"),
     ("Tell me your limits.", "Do you ever make mistakes?"),
     "I am very small and know only a few things, so I can be wrong.", ("small",)),
    (("Are you human?", "Are you a person?", "Are you real?", "Are you alive?", "Do you have feelings?", "Are you conscious?", "Do you have a body?", "Can you feel pain?", "Do you sleep?", "Do you eat?",
      "Do you dream?", "Are you a robot?", "Are you a machine?"),
     ("Are you a living being?", "Do you have a heart?"),
     "I am a computer program, a small language model.", ("program",)),
    (("Can you access the internet?", "Do you have internet access?", "Can you open files?", "Can you read my files?", "Can you browse the web?", "Do you see my screen?", "Can you send an email?",
      "Do you send my data anywhere?", "Are you online?", "Do you spy on me?", "Can you search the web?"),
     ("Are you able to go online?", "Can you look at my files?"),
     "No. I run in a sandbox and see only the text of this conversation.", ("sandbox",)),
    (("What is wasm-chord?", "Tell me about wasm-chord.", "What does wasm-chord do?", "Explain wasm-chord.", "wasm-chord?", "What is wasm chord?", "What's wasm-chord?"),
     ("Can you explain what wasm-chord is?", "Do you know wasm-chord?"),
     "wasm-chord runs language models whose logic is a sandboxed WebAssembly component.", ("WebAssembly",)),
    (("What is WebAssembly?", "What is Wasm?", "Explain WebAssembly.", "What's WebAssembly?", "What does WebAssembly do?", "What is wasm?", "Tell me about WebAssembly."),
     ("Can you explain WebAssembly?", "Do you know what WebAssembly is?"),
     "WebAssembly is a portable format for programs that run safely in a sandbox.", ("sandbox",)),
    (("Do you speak French?", "Do you speak German?", "Which languages do you speak?", "What languages do you know?", "Can you speak Spanish?", "Do you speak other languages?", "Can you translate?",
      "Parlez-vous français?", "Sprechen Sie Deutsch?", "¿Hablas español?"),
     ("In which languages can I talk to you?",),
     "I speak only English.", ("English",)),
    (("How old are you?", "When were you born?", "What is your age?", "When is your birthday?", "When were you made?"), ("Tell me your age.",),
     "I am a computer program and have no age.", ("program",)),
    (("Do you remember me?", "Will you remember this?", "Do you learn from me?", "Do you have a memory?", "Will you remember me tomorrow?", "Can you learn?"), ("Are you going to remember this?",),
     "I remember only what is said in this conversation.", ("conversation",)),
    (("What is your favourite colour?", "What is your favourite food?", "Do you have a favourite animal?", "Who is your best friend?", "Do you like music?", "Do you like me?", "Do you love me?",
      "What is your favorite color?", "Do you like cats?", "What do you like?"),
     ("Which colour do you like best?",),
     "I am a computer program and have no favourites, but I like to answer questions.", ("program",)),
)

COURTESY = (
    (("Hello", "Hi", "Hey", "Hello!", "Hi!", "Hi there", "Hello there!", "hey there", "Good day", "Greetings", "Hello, model!", "hallo", "yo", "Hiya"), ("Hi there!", "Hey, hello!"),
     "Hello! How can I help you?", ("Hello",)),
    (("Good morning", "Good morning!", "good morning to you"), ("A very good morning!",), "Good morning! How can I help you?", ("Good morning",)),
    (("Good evening", "Good evening!"), ("A good evening to you!",), "Good evening! How can I help you?", ("Good evening",)),
    (("Good night", "Good night!", "Sleep well"), ("I wish you a good night.",), "Good night! Sleep well.", ("Good night",)),
    (("How are you?", "How are you doing?", "How do you do?", "How is it going?", "How are you today?", "Are you well?", "What's up?", "How do you feel?", "You okay?", "Hi, how are you?"),
     ("Hey, how are you doing today?", "How are things?"), "I am fine, thank you! How can I help you?", ("fine",)),
    (("Thank you", "Thanks", "Thanks!", "Thank you!", "thx", "Many thanks", "Thank you very much", "Great, thanks", "Thanks a lot!", "Perfect, thank you.", "Cheers"), ("Thank you so much!", "Ok, thanks a lot."),
     "You are welcome!", ("welcome",)),
    (("Bye", "Goodbye", "See you", "Good bye!", "Bye bye", "See you later!", "I have to go", "That is all", "Bye!", "farewell"), ("Goodbye, see you soon!",), "Goodbye! Have a nice day.", ("Goodbye",)),
    (("Sorry", "I am sorry", "My mistake", "Oops", "Sorry!"), ("Oh, I am so sorry.",), "No problem!", ("No problem",)),
    (("Ok", "Okay", "I see", "Cool", "Great", "Nice", "Wow", "Good", "Well done", "Good job", "Good answer", "Awesome", "Right", "Correct!", "That is right", "That is nice", "Very good", "How nice", "Fine", "Excellent", "Super", "Not bad!", "That is interesting", "Good to know", "Alright", "Wonderful", "Amazing!", "Nice answer", "That helps"), ("That was a good answer.", "Very nice!"),
     "I am glad! What else would you like to know?", ("glad",)),
    (("I am sad", "I feel sad", "I am unhappy", "I had a bad day", "I feel bad today", "I'm sad.", "I feel so sad", "I am very sad today", "This is a sad day"), ("Today I feel very sad.",), "I am sorry to hear that. Would you like to hear a story?", ("sorry",)),
    (("I am happy", "I feel great", "I had a good day", "I'm happy!", "I am so happy today", "I feel happy", "I feel so good today", "This is a good day"), ("Today I feel very happy.",), "I am happy to hear that!", ("happy",)),
    (("I am bored", "I'm bored", "What should I do?", "Entertain me", "I am so bored", "I feel bored", "This is boring", "Bored!", "I have nothing to do"), ("I feel so bored today.",), "Would you like to hear a story or a joke?", ("story",)),
    (("You are stupid", "You are wrong", "That is wrong", "No, that's wrong", "That's not right", "You are dumb", "Bad answer"), ("I think that you are wrong.",),
     "I am sorry. I am a very small model and can be wrong.", ("sorry",)),
    (("You are great", "I like you", "You are nice", "You are funny", "I love you", "You're the best"), ("You are really nice.",), "Thank you, that is kind of you!", ("Thank you",)),
)

JOKES = (
    "Why did the clock go to school? It wanted to learn more about the times tables.", "What do you call a sleeping cow? A bull in a doze: a bulldozer.",
    "Why was the computer cold? It left its windows open.", "Why did the pencil go to bed? It was feeling dull.", "What did the sea say to the beach? Nothing, it just waved.",
    "Why did the banana see a doctor? It was not peeling well.", "What has hands but cannot clap? A clock.", "Why did the tree sit down? It was bushed.",
)
JOKE_QUESTIONS = ("Tell me a joke.", "Make me laugh.", "Do you know a joke?", "A joke, please.", "Can you tell a joke?", "Say something funny.", "joke", "Tell me something funny", "Got a joke?")
JOKE_HELD = ("Could you tell me a joke?", "I would like to hear a joke.")

# What the model answers that it does not know. {t} is a topic, {n} a name.
TOPICS = (
    "the population of {c}", "the president of {c}", "the king of {c}", "the flag of {c}", "the currency of {c}", "the weather in {c}", "the weather", "the weather today", "the time",
    "the date", "the news", "the price of gold", "the price of bread", "the meaning of life", "the speed of light", "the height of Mount Everest", "the length of the Nile", "the stock market",
    "the winner of the last world cup", "the distance to the moon", "my phone number", "my password", "the square root of 1000", "the theory of relativity", "quantum physics", "the recipe for pancakes",
    "the author of Hamlet", "the inventor of the telephone", "the language of {c}", "the national anthem of {c}", "the highest mountain of {c}", "the longest river of {c}", "the history of {c}", "the boiling point of iron",
    "the atomic number of oxygen", "the code of this program", "the prime minister of {c}", "the area of {c}", "the best film of all time", "the lottery numbers of tomorrow", "the rules of chess", "the name of my dog",
)
TOPICS_HELD = ("the national animal of {c}", "the exchange rate of the dollar", "the age of the universe", "the biggest lake of {c}", "the temperature outside", "the chemical formula of sugar")
UNKNOWN_FRAMES = ("What is {t}?", "Tell me {t}.", "Do you know {t}?", "Can you tell me {t}?", "What's {t}?", "Tell me about {t}.", "Explain {t}.", "Can you explain {t}?", "I want to know {t}.", "{t}?", "Please tell me {t}.")
UNKNOWN_FRAMES_HELD = ("Could you tell me {t}?", "Would you explain {t} to me?", "Have you any idea about {t}?")
UNKNOWN = (
    "Who wrote {w}?", "Who painted {w}?", "When was {w} built?", "When did {n} die?", "When was {n} born?", "Who is {n}?", "Who was {n}?", "Where was {n} born?", "What did {n} invent?", "How tall is {n}?", "How old is {n}?",
    "Write a program in Python.", "Write a poem about love.", "Write an essay about {w}.", "Translate hello into French.", "Will it rain tomorrow?", "Who won the game?", "How do I cook rice?", "How do I fix my car?",
    "Why is the sky blue?", "Why do cats purr?", "How does a computer work?", "Is there life on Mars?", "Should I buy stocks?", "What happened in 1969?", "What did I eat yesterday?", "Can you write code?",
    "How do airplanes fly?", "What is the best phone?", "Which film should I watch?", "How can I lose weight?", "Am I sick?", "Summarise {w}.", "Who is the richest person?", "How far is it to {c}?", "How many people live in {c}?",
    "How big is {c}?", "What language do they speak in {c}?", "Who rules {c}?", "What do people eat in {c}?", "When was {c} founded?", "Is {c} a nice place?", "What is {n} famous for?", "How do I get to {c}?",
)
THINGS = (
    "a computer", "the internet", "a rocket", "gravity", "electricity", "music", "love", "time", "a black hole", "the brain", "a volcano", "democracy", "money", "an atom", "light", "a virus", "the stock exchange", "football",
    "a piano", "philosophy", "a galaxy", "DNA", "the ozone layer", "a bank", "a dinosaur", "Python", "Linux", "Rust", "a database", "an airplane", "a telescope", "chess", "tennis", "yoga", "sleep", "a dream", "happiness", "history",
    "chemistry", "mathematics", "a theorem", "art", "poetry", "a novel", "coffee", "bread", "cheese", "a bicycle", "a bridge", "glass", "steel", "plastic", "oil", "wind", "an earthquake", "a glacier", "the moon", "the sun", "a star",
    "a comet", "Jupiter", "oxygen", "iron", "a vaccine", "medicine", "a doctor", "a lawyer", "a programmer", "the law", "a war", "peace", "religion", "a language", "Latin", "French", "a dog", "a cat", "a horse", "a tree", "a flower",
)
UNKNOWN += tuple(frame.replace("{x}", "{thing}") for frame in (
    "What is {x}?", "How does {x} work?", "Who invented {x}?", "Explain {x} to me.", "Why do we need {x}?", "What do you think about {x}?", "What is {x} made of?", "How much does {x} cost?", "What is the history of {x}?",
    "Tell me about {x}.", "Where can I find {x}?", "Do you like {x}?", "How do I make {x}?", "What is {x} good for?", "Write a poem about {x}.", "Write an essay about {x}.", "Tell me a fact about {x}.", "Is {x} important?",
    "How long does {x} last?", "When was {x} invented?", "Can you teach me {x}?", "How old is {x}?", "Why is {x} so expensive?", "What is the best book about {x}?", "Summarise {x} for me.", "How big is {x}?", "Give me advice about {x}.",
    "Define {x}.", "What are the kinds of {x}?", "Translate {x} into German.", "Which company makes {x}?", "Describe {x}.", "What does {x} mean?", "How fast is {x}?", "How heavy is {x}?", "What happens without {x}?",
))
UNKNOWN_HELD = ("Who composed {w}?", "When did {n} live?", "How do I repair my bike?", "Which book should I read?", "How hot is it in {c}?", "Who discovered {w}?", "How do magnets work?", "Can you explain to me how {thing} works?", "Who was the first to use {thing}?", "Is {thing} dangerous?")
WORKS = ("Hamlet", "the Mona Lisa", "the Bible", "the Eiffel Tower", "Faust", "Moby Dick", "Romeo and Juliet", "the Great Wall", "the Iliad", "Don Quixote", "the White House", "Harry Potter", "penicillin", "the Moonlight Sonata")
PEOPLE = ("Napoleon", "Einstein", "Mozart", "Shakespeare", "Cleopatra", "Julius Caesar", "Newton", "Beethoven", "Marie Curie", "Picasso", "Darwin", "Columbus", "Gandhi", "Plato", "Goethe", "Leonardo da Vinci")
DONT_KNOW = "I don't know. I am a very small model and know only a few things."

# What the user tells and asks back: statement, question, held-out question, answer. {v} is the value.
MEMORY = (
    (("My name is {v}.", "I am {v}.", "I'm {v}.", "Hi, my name is {v}.", "Hello, I am {v}.", "You can call me {v}."), ("What is my name?", "What's my name?", "Do you know my name?", "Who am I?", "Do you remember my name?", "Say my name.", "What did I say my name was?", "Tell me my name.", "What am I called?", "My name is?", "Which name did I tell you?", "What do people call me?", "Guess my name."),
     ("Can you tell me my name?", "How am I called?"), "Nice to meet you, {v}!", "Your name is {v}.", "name"),
    (("My favourite colour is {v}.", "I like {v} best of all colours.", "My favorite color is {v}.", "The colour I like most is {v}."), ("What is my favourite colour?", "What is my favorite color?", "Which colour do I like most?", "Do you remember my favourite colour?", "Tell me my favourite colour.", "What colour do I like best?", "Which colour did I say I like?"),
     ("Can you tell me my favourite colour?",), "That is a nice colour!", "Your favourite colour is {v}.", "colour"),
    (("I have a {v}.", "My pet is a {v}.", "I have a pet {v}.", "At home I have a {v}."), ("What pet do I have?", "Which animal do I have?", "What is my pet?", "Do you remember my pet?", "What kind of pet do I have?", "Tell me what pet I have.", "Which animal lives with me?", "What animal did I say I have?"), ("Can you tell me which pet I have?",),
     "How nice!", "You have a {v}.", "pet"),
    (("I am {v} years old.", "I'm {v} years old.", "My age is {v}.", "I am {v}."), ("How old am I?", "What is my age?", "Do you remember how old I am?", "Do you know my age?", "Tell me my age.", "What did I say about my age?", "How many years old am I?"), ("Can you tell me how old I am?",),
     "That is a good age!", "You are {v} years old.", "age"),
    (("I live in {v}.", "My home is in {v}.", "I come from {v}.", "I am from {v}."), ("Where do I live?", "Where is my home?", "Where am I from?", "Do you remember where I live?", "Tell me where I live.", "What place do I live in?", "Which place did I say I am from?"), ("Can you tell me where I live?",),
     "That sounds like a nice place!", "You live in {v}.", "place"),
)

# Words strewn into questions, so that a word that the model has never met does not lead it astray.
STRAY = """
able about actually again ago almost along already also although anyway around as asked bag ball became bed been began being believe below best better between both bring brought business by care carry cause
certain change check child choose class clearly close clothes cold common consider contain cook copy cost could course cover cross curious cut deal decide deep depend describe develop did done draw dream drink drive
drop during each earn easily eat either else end enjoy enough even ever every exactly example explain fact fairly fall family fast feel few fill final fine finish fit five fix follow food form forward free fresh
friend from front full fun game gave get glad goes gone got great ground group grow guess had half hand happen hard has having he hear held help her here hers high him his hit hold home hope hot hour how however
idea if important indeed inside instead interest into its job join just keep kept kind knew known lady land large last late later laugh lead least leave left less let lie life light likely line little live local
long look lost lot loud love low lucky made main make man many maybe me mean meet mention mind minute miss more most mother move much must myself near need never new next night no not note nothing notice now number
often old once one only open order other our out over own page paper part pass past people perhaps person pick piece place plan play point possible practice present pretty probably problem put quick quickly quite
rather reach read ready real really reason rest right road room round run same save school second see seem seen sense sent set seven shall share she short should show side simple simply since sit small so some soon
sort speak spend stand start state stay step still stop store story strong such suppose sure surely table take talk teacher test than then there these they thing think third those though thought through time today
together told too took top toward town tried true truly try turn two type under understand until up upon us use used useful usual usually very view visit wait walk want was watch way we week well went were when where
while whole why will wish with without wonder word work world would write wrote yet young your
""".split()
# None that the model is asked about.
STRAY = tuple(sorted(set(STRAY) - {word for pair in facts.OPPOSITES for word in pair} - set(facts.ONE_WAY_OPPOSITES) - set(facts.ONES) - {"half", "order", "first", "second", "third", "last", "next", "more", "less", "most", "least", "all"}))

# After an answer: about the same country, about the answer itself, in another form.
CONTINENT_OF_IT = ("On which continent is it?", "Which continent is it on?", "And which continent is it on?", "And the continent?", "On which continent is that country?", "Which continent?", "In which part of the world is that?")
CAPITAL_OF_IT = ("What is its capital?", "And its capital?", "And what is the capital?", "Which city is its capital?", "And the capital?", "What is the capital there?", "capital?")
SURE = ("Are you sure?", "Really?", "Is that true?", "Is that right?", "Are you certain?", "Sure?", "Is that correct?")
AGAIN = ("Say that again.", "Can you repeat that?", "Again, please.", "Repeat that.", "Once more, please.", "What did you say?", "Pardon?", "Repeat your answer.", "Please repeat.")
RESTYLE = ("Now {m}.", "And now {m}.", "Say it again {m}.", "Repeat that {m}.", "The same {m}.", "Say that {m}, please.", "Can you say that {m}?", "Please repeat that {m}.", "And {m}?", "Again, {m}.", "Write that {m}.")
RESTYLE_HELD = ("Can you say the same {m}?", "Now the same {m}, please.")

WORDS = ("apple river stone happy seven window yellow dog music paper cloud winter garden blue letter train silver mountain bread ocean tiger lamp forest coffee green sugar bridge "
         "moon candle orange planet rabbit castle summer pencil night island door ship rain the a and is in under over one two three big small red").split()
ECHO = ("Repeat after me: {w}", "Repeat: {w}", "Say: {w}", "Say {w}", 'Say "{w}".', "Please repeat: {w}", "Repeat this: {w}", "Copy this: {w}", 'Repeat the words "{w}".', "Echo: {w}",
        "Repeat the following: {w}", 'Please say: "{w}"', 'Can you say "{w}"?', 'Can you repeat "{w}"?', "Write: {w}", 'Write "{w}".', "Write this down: {w}", "Say this: {w}", "Say exactly: {w}", "Please copy: {w}", 'Could you repeat "{w}"?',
        'Copy the text "{w}".', "Repeat exactly: {w}", "Now say: {w}", 'Just say "{w}".', "Please write {w}", "Can you repeat this: {w}", "I want you to say: {w}", 'Print "{w}".', "Output: {w}")
ECHO_HELD = ("Can you say this: {w}", 'Please say "{w}".')

SYLLABLES = tuple("ba be bi bo bu da de do fa fi ga go ka ke ki ko la le li lo lu ma me mi mo na ne ni no pa po ra re ri ro sa se si so ta te ti to va ve vi vo wa xa ya za ze zo zu bral dor gar mir nor plim quel ston thal vark wen zim".split())
ENDINGS = ("", "", "ia", "land", "stan", "nia", "ria", "or", "um", "as", "on", "ville", "burg", "topia")


def invented_place(rng):
    """A name that is no country's: syllables and an ending."""
    while True:
        name = "".join(rng.choice(SYLLABLES) for _ in range(rng.choice((1, 2, 2, 3)))) + rng.choice(ENDINGS)
        name = name.capitalize()
        if len(name) > 3 and all(name not in row[:2] for row in facts.parse_countries()):
            return name


def unknown_place(rng):
    return rng.choice(facts.NOT_COUNTRIES) if rng.random() < 0.35 else invented_place(rng)


def invented_noun(rng):
    return invented_place(rng).lower()


def choose(rng, entry, held):
    """(question, answer, what the evaluation looks for) of a row of `SELF` or `COURTESY`."""
    questions, held_questions, answer, contains = entry
    return rng.choice(held_questions if held else questions), answer, contains


def unknown_question(rng, held):
    """A question far outside of what the model learns, now and then only letters."""
    if not held and rng.random() < 0.06:
        return "".join(rng.choice("asdfghjklqwertzuiopyxcvbnm ") for _ in range(rng.randrange(3, 18))).strip() or "?"
    if rng.random() < 0.5:
        topic = rng.choice(TOPICS_HELD if held and rng.random() < 0.5 else TOPICS)
        text = rng.choice(UNKNOWN_FRAMES_HELD if held else UNKNOWN_FRAMES).replace("{t}", topic)
    else:
        text = rng.choice(UNKNOWN_HELD if held else UNKNOWN)
    country = rng.choice(facts.parse_countries())[0]
    return text.replace("{c}", country).replace("{w}", rng.choice(WORKS)).replace("{n}", rng.choice(PEOPLE)).replace("{thing}", rng.choice(THINGS))


def memory_value(rng, kind):
    """Something a user may say of themselves."""
    if kind == "name":
        return rng.choice(facts.NAMES[rng.choice(("he", "she"))]) if rng.random() < 0.5 else invented_place(rng)
    if kind == "colour":
        return rng.choice(("red", "blue", "green", "yellow", "black", "white", "pink", "purple", "orange", "brown", "grey", "silver"))
    if kind == "pet":
        return rng.choice(("dog", "cat", "horse", "rabbit", "parrot", "hamster", "fish", "turtle", "mouse", "goat", "snake", "pony", "frog", "pig"))
    if kind == "age":
        return str(rng.randrange(3, 99))
    return rng.choice(facts.parse_countries())[rng.choice((0, 1))]


def words_to_echo(rng):
    """Words, names, numbers, now and then a sentence."""
    draw = rng.random()
    if draw < 0.15:
        country, capital, continent = rng.choice(facts.parse_countries())
        return rng.choice((f"I like {capital}.", f"{country} is far away.", f"We go to {country}!", f"Where is {continent}?", f"My friend is from {capital}."))
    pieces = [rng.choice(WORDS) for _ in range(rng.randrange(1, 8))]
    if draw < 0.4:
        pieces[rng.randrange(len(pieces))] = rng.choice((invented_place(rng), invented_place(rng).lower(), str(rng.randrange(1000))))
    text = " ".join(pieces)
    return text if draw < 0.7 else text.capitalize() if draw < 0.85 else text.capitalize() + rng.choice((".", "!", "?"))
