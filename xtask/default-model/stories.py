"""Children's stories from a grammar: one hero, one friend, one plot from beginning to end.

A plot is a list of steps; a step is a list of sentences to choose from. The slots of one story are drawn once,
so that names, animals, pronouns and things agree from the first sentence to the last.
"""

import facts
from facts import article
from talk import invented_place

ANIMALS = ("fox", "rabbit", "bear", "mouse", "owl", "dog", "cat", "duck", "frog", "hedgehog", "squirrel", "turtle", "elephant", "lion", "penguin",
           "goat", "pony", "lamb", "beaver", "kitten", "puppy", "robin", "badger", "otter", "dragon", "hamster", "bee", "snail", "deer", "panda")
PEOPLE = {"he": ("boy", "prince"), "she": ("girl", "princess")}
TRAITS = ("little", "small", "young", "kind", "curious", "brave", "shy", "happy", "clever", "gentle", "cheerful", "quiet")
PLACES = ("in a green forest", "by a wide river", "on a small farm", "near the blue sea", "at the edge of a village", "in a sunny meadow", "beside a quiet lake", "at the foot of a mountain", "in an old garden", "on a tiny island")
HOBBIES = ("to sing", "to paint", "to run and jump", "to look at the stars", "to collect shells", "to read books", "to dance in the rain", "to climb trees", "to pick flowers", "to play hide and seek")
THINGS = ("red ball", "blue kite", "golden key", "silver bell", "green hat", "little drum", "wooden boat", "yellow scarf", "toy train", "shiny stone", "paper star", "music box")
HIDING = ("under a bush", "behind a big rock", "in a hollow tree", "beside the well", "in the tall grass", "under an old bridge", "next to a pond", "behind the barn")
FOODS = ("apples", "berries", "nuts", "cookies", "honey cakes", "carrots", "pears", "pancakes", "plums", "bread rolls")
WEATHER = ("One sunny morning", "One day", "One windy morning", "One warm afternoon", "Early one morning", "One fine day", "One cloudy day", "One spring morning")

OPENINGS = (
    "Once upon a time, there was a {trait} {hero_kind} named {hero}.",
    "Once upon a time, a {trait} {hero_kind} named {hero} lived {place}.",
    "Once there was a {trait} {hero_kind} called {hero}.",
    "Long ago, there lived a {trait} {hero_kind} named {hero}.",
    "There was once a {trait} {hero_kind} whose name was {hero}.",
)
HOMES = ("{hero} lived {place} and loved {hobby}.", "{He} lived {place}, and {he} loved {hobby}.", "Every day {he} liked {hobby}.", "More than anything, {hero} loved {hobby}.")
MEETINGS = ("{friend}, {friend_a}, came along.", "Then {hero} met {friend}, {friend_a}.", "Just then {friend_a} named {friend} came by.")
ENDS = ("From that day on, {hero} and {friend} were best friends.", "{hero} and {friend} stayed friends for ever.", "That night, {hero} fell asleep with a smile.",
        "And {hero} and {friend} lived happily ever after.", "{hero} never forgot that day.")

# name of the plot -> (words a user may ask with, steps, moral)
PLOTS = {
    "lost": (("a lost {thing}", "something that got lost", "finding a {thing}"), (
        ("{hero} had a {thing}, and {he} took it everywhere.", "The best thing that {hero} had was a {thing}.", "{hero} had a {thing} that {he} loved very much."),
        ("{weather}, the {thing} was gone.", "{weather}, {hero} could not find the {thing}.", "{weather}, {hero} woke up and the {thing} was not there."),
        ("{He} looked in the house and in the garden, but it was nowhere.", "{He} looked high and low, but could not see it.", "{He} began to cry, because {he} missed it so much."),
        MEETINGS,
        ('"Why are you so sad?" asked {friend}.', '"What is the matter?" asked {friend}.', '"Do not cry," said {friend}.'),
        ('"I have lost my {thing}," said {hero}.', '"My {thing} is gone," said {hero}.'),
        ('"I will help you to look for it," said {friend}.', '"Then let us look for it together," said {friend}.', '"Two can see more than one," said {friend}.'),
        ("They walked and walked, and at last they saw it {hiding}.", "They looked everywhere, and there it was, {hiding}!", "After a long time, {friend} found it {hiding}."),
        ('"Thank you!" cried {hero}, and {he} hugged {friend}.', "{hero} was so glad that {he} danced for joy.", '"My {thing}!" shouted {hero}, and {he} laughed.'),
    ), ("It is good to have a friend who helps.", "With a friend, every search is shorter.")),
    "shy": (("making a friend", "a new friend", "being lonely"), (
        ("But {hero} was lonely, because {he} had nobody to play with.", "But {hero} had no friends yet, and that made {him} sad.", "But {hero} was too shy to talk to anybody."),
        ("{weather}, {he} saw somebody new {hiding}.", "{weather}, {he} heard a soft voice {hiding}."),
        ("It was {friend_a} named {friend}, who was all alone as well.", "It was {friend}, {friend_a}, and {friend_he} looked lonely too."),
        ("{hero} wanted to say hello, but {his} heart beat fast.", "{hero} was afraid to speak, but {he} took a deep breath."),
        ('"Hello," said {hero} in a small voice. "Would you like to play?"', '"Hello, my name is {hero}," {he} said. "Do you want to play with me?"'),
        ('"Oh yes!" said {friend}. "I was hoping that you would ask."', '"I would love to," said {friend} and smiled.'),
        ("They played all day, and {hero} showed {friend} {his} {thing}.", "They played with the {thing} until the sun went down.", "They shared some {food} and laughed until it was dark."),
        ('"Will you come again tomorrow?" asked {friend}. "Every day!" said {hero}.', '"This was the best day of all," said {hero}.'),
    ), ("One kind word can be the start of a friendship.", "It takes a little courage to find a friend.")),
    "dark": (("being afraid of the dark", "the dark", "a brave night"), (
        ("There was only one thing that {hero} did not like: the dark.", "But when night came, {hero} was afraid of the dark.", "But {hero} was afraid of the night."),
        ("One night, {he} heard a strange noise outside.", "One night, something went tap, tap, tap at the window.", "One night, {he} heard a sound {hiding}."),
        ('"Who is there?" asked {hero}, and {his} voice shook.', "{hero} pulled the blanket over {his} head.", "{hero} was so scared that {he} could hardly breathe."),
        ("But then {he} heard somebody cry, and {he} took a lamp and went out.", "But somebody out there needed help, so {he} took a lamp and opened the door."),
        ("There sat {friend}, {friend_a}, who had lost the way home.", "It was {friend_a} named {friend}, cold and lost."),
        ('"I am so glad that you came," said {friend}. "I was afraid."', '"Your light saved me," said {friend}.'),
        ('"I was afraid too," said {hero}, "but together it is not so dark."', '"Come in and get warm," said {hero}.'),
        ("They ate {food} and looked at the stars, and the night was beautiful.", "{hero} took {friend} home, and the moon shone on the path."),
    ), ("To be brave means to be afraid and to help all the same.", "The dark is smaller when you carry a light for somebody.")),
    "share": (("sharing", "sharing {food}", "a hungry friend"), (
        ("{weather}, {hero} found a basket full of {food}.", "{weather}, {hero} picked a basket of {food}.", "{weather}, {hero}'s grandmother gave {him} a bag of {food}."),
        ('"These are all for me," {he} thought.', '"I will eat them all," {he} said.', "{He} wanted to keep every one of them."),
        MEETINGS,
        ('"I am so hungry," said {friend}. "May I have one?"', '"I have had nothing to eat today," said {friend}.'),
        ("{hero} looked at the {food} and thought for a while.", "At first {hero} wanted to say no.", "{hero} held the {food} tight."),
        ("But then {he} saw how sad {friend} was.", "But {friend} looked so thin and tired.", "But {he} remembered how it feels to be hungry."),
        ('"Take as many as you like," said {hero}.', '"Let us share them," said {hero}. "Half for you and half for me."'),
        ("They sat down {hiding} and ate together, and the {food} tasted better than ever.", "They ate and talked and laughed, and the {food} had never been so good."),
    ), ("What you share tastes twice as good.", "Sharing makes a small meal into a feast.")),
    "storm": (("a storm", "a big storm", "the rain"), (
        ("{weather}, dark clouds came over the hills.", "{weather}, the sky turned black.", "{weather}, a strong wind began to blow."),
        ("It rained and rained, and the thunder was loud.", "Rain fell from the sky, and lightning flashed."),
        ("{hero} ran home as fast as {he} could.", "{hero} hurried back to {his} warm house.", "{hero} was happy to have a dry home."),
        ('On the way {he} heard a voice {hiding}. "Help me!"', 'Then {he} heard a cry {hiding}. "Please help!"'),
        ("It was {friend}, {friend_a}, wet and cold.", "It was {friend_a} named {friend}, who shook with cold."),
        ('"My house was blown away," said {friend}.', '"The water took my home," said {friend}.'),
        ('"Come with me," said {hero}. "There is room for two."', '"You can stay with me," said {hero}.'),
        ("They sat by the fire, ate {food} and told each other stories until the storm was over.", "Inside it was warm, and they ate {food} and sang songs all night."),
        ("The next day, they built a new house for {friend} together.", "When the sun came out again, {hero} helped {friend} to build a new home."),
    ), ("After every storm the sun comes back.", "A warm heart is the best house in a storm.")),
    "race": (("a race", "winning a race", "running fast"), (
        ("{weather}, there was a race for all the animals.", "{weather}, everybody came to the great race."),
        ("{hero} wanted to win more than anything.", "{hero} had practised for weeks.", "{hero} dreamed of the first prize, a {thing}."),
        ('"I am faster than you," said {friend}, {friend_a}.', '{friend}, {friend_a}, laughed and said, "I will win this race."'),
        ("One, two, three, and off they ran!", "The bell rang, and everybody ran."),
        ("{hero} ran as fast as {he} could, and soon {he} was in front with {friend}.", "Soon {hero} and {friend} were far ahead of the others."),
        ("But then {friend} fell and hurt {friend_his} foot.", "But close to the end, {friend} tripped over a root."),
        ("{hero} could have won, but {he} stopped and turned around.", "{hero} saw the finish, but {he} went back."),
        ('"Lean on me," said {hero}, and they crossed the line together.', '"We will finish together," said {hero}, and {he} helped {friend} to the end.'),
        ("Everybody cheered, and they shared the {thing}.", "They came last, but everybody cheered for them the loudest."),
    ), ("A friend is worth more than a prize.", "Winning is good, but helping is better.")),
    "seed": (("a seed", "a garden", "a flower", "being patient"), (
        ("{weather}, {hero} found a tiny seed {hiding}.", "{weather}, the wind brought {hero} a small brown seed."),
        ("{He} put it into the earth and gave it water.", "{He} planted it in the garden and waited."),
        ("The first day, nothing happened.", "{He} looked at it every hour, but nothing grew."),
        ('"It will never grow," said {hero} sadly.', "{hero} wanted to give up."),
        MEETINGS,
        ('"Be patient," said {friend}. "Good things need time."', '"Seeds are slow," said {friend}. "Give it water and wait."'),
        ("So {hero} gave it water every day and sang to it.", "So {hero} waited, day after day, and never forgot the water."),
        ("At last a green leaf came out, and then a flower as yellow as the sun.", "One morning there was a little green leaf, and soon there was a beautiful flower."),
        ('"You were right," said {hero} to {friend}, and they danced around the flower.', '{hero} called {friend}, and they ate {food} beside the flower.'),
    ), ("Good things need time.", "He who waits and works will see the flower.")),
    "wing": (("helping a bird", "a bird with a broken wing", "being kind"), (
        ("{weather}, {hero} heard a weak voice {hiding}.", "{weather}, {hero} found somebody lying {hiding}."),
        ("It was a small bird named {bird}, who could not fly.", "A little bird called {bird} had hurt a wing."),
        ('"Please help me," said {bird}. "My wing is broken."', '"I fell from my nest," said {bird}.'),
        ("{hero} carried the bird home and made a soft bed.", "{hero} took {bird} home and put a bandage on the wing."),
        ("{friend}, {friend_a}, brought some {food}.", "{friend}, {friend_a}, came every day and helped."),
        ("Day by day, {bird} grew stronger.", "After a week, {bird} could move the wing again."),
        ("At last {bird} flew up into the blue sky.", "One morning {bird} spread both wings and flew."),
        ('"Thank you, {hero}! Thank you, {friend}!" sang {bird} from above.', "{bird} flew three circles over the house to say thank you."),
    ), ("Kindness always finds its way back.", "Nobody is too small to help.")),
    "map": (("a treasure", "a treasure map", "an adventure"), (
        ("{weather}, {hero} found an old map {hiding}.", "{weather}, a map fell out of an old book."),
        ('"A treasure!" cried {hero}, and {he} showed the map to {friend}, {friend_a}.', "{He} ran to {friend}, {friend_a}, and they looked at the map together."),
        ("They crossed the river and climbed the hill.", "They walked through the forest and over the bridge.", "The way was long, but they sang all the while."),
        ("A big gate stopped them, and it was locked.", "A deep hole was in their way.", "Then a thick fog came, and they could see nothing."),
        ('"Do not give up," said {friend}, and together they found a way.', '"Hold my hand," said {hero}, and together they went on.'),
        ("At the end of the path there was an old box.", "At last they came to the place with the red cross and began to dig."),
        ("In it lay a {thing} and a letter.", "In the box was only a {thing} and a letter."),
        ('The letter said: "The real treasure is the friend who came with you."', 'The letter said: "You have found the treasure: it walks beside you."'),
        ("They looked at each other and laughed all the way home.", "{hero} and {friend} smiled, because it was true."),
    ), ("A friend is the greatest treasure.", "The best part of every adventure is who comes along.")),
    "swim": (("learning to swim", "learning something new", "trying again"), (
        ("All the others could swim, but {hero} could not.", "But {hero} could not swim, and the water looked deep and cold."),
        ("{weather}, {he} went to the lake and put one foot into the water.", "{weather}, {he} stood at the water for a long time."),
        ('"I will never learn it," said {hero}.', '"It is too hard for me," {he} said.'),
        MEETINGS,
        ('"Everybody starts small," said {friend}. "I will show you."', '"I could not do it at first," said {friend}. "Try with me."'),
        ("{hero} tried once and swallowed a lot of water.", "The first time, {hero} sank like a stone.", "{hero} tried and splashed and coughed."),
        ('"Again!" said {friend}.', '"That was a good start," said {friend}.'),
        ("{He} tried again and again, and on the third day {he} could swim.", "{He} did not give up, and at last the water carried {him}."),
        ('"I can do it!" shouted {hero}, and {he} swam to the other side.', "Soon {hero} and {friend} swam side by side across the whole lake."),
    ), ("If you try again and again, you will learn it.", "Every master was once a beginner.")),
}

REQUESTS = (
    "Tell me a story.", "Tell me a short story.", "Write a story.", "Please tell me a story.", "Can you tell me a story?", "Write a short story.", "Write a children's story.", "I want to hear a story.", "A story, please.",
    "Tell a story for children.", "Do you know a story?", "story", "Tell me a bedtime story.", "Once upon a time",
)
REQUESTS_HELD = ("Could you tell me a story?", "I would like to hear a short story.", "Make up a story for me.")
ABOUT = (
    "Tell me a story about {t}.", "Write a story about {t}.", "Tell me a short story about {t}.", "Please tell me a story about {t}.", "Can you tell me a story about {t}?", "I want a story about {t}.", "Write a short story about {t}.",
    "A story about {t}, please.", "story about {t}", "Tell us a story about {t}.", "Write a children's story about {t}.", "Do you know a story about {t}?",
)
ABOUT_HELD = ("Could you tell me a story about {t}?", "I would like to hear a story about {t}.", "Make up a story about {t}.", "Invent a short story about {t}.")


def pronouns(prefix, he):
    his, him = ("his", "him") if he == "he" else ("her", "her")
    return {f"{prefix}he": he, f"{prefix}his": his, f"{prefix}him": him}


def story(rng, hero=None, hero_he=None, hero_kind=None, plot=None):
    """One story as (text, slots); what is not given is drawn."""
    hero_he = hero_he or rng.choice(("he", "she"))
    hero = hero or rng.choice(facts.NAMES[hero_he])
    if hero_kind is None:
        hero_kind = rng.choice(ANIMALS) if rng.random() < 0.8 else rng.choice(PEOPLE[hero_he])
    friend_he = rng.choice(("he", "she"))
    friend = rng.choice([n for n in facts.NAMES[friend_he] if n != hero])
    friend_kind = rng.choice([a for a in ANIMALS if a != hero_kind])
    bird = rng.choice([n for n in facts.NAMES[rng.choice(("he", "she"))] if n not in (hero, friend)])
    plot = plot or rng.choice(tuple(PLOTS))
    slots = {
        "hero": hero, "hero_kind": hero_kind, "friend": friend, "friend_a": article(friend_kind), "bird": bird, "plot": plot,
        "trait": rng.choice(TRAITS), "place": rng.choice(PLACES), "hobby": rng.choice(HOBBIES), "thing": rng.choice(THINGS), "hiding": rng.choice(HIDING),
        "food": rng.choice(FOODS), "weather": rng.choice(WEATHER), **pronouns("", hero_he), **pronouns("friend_", friend_he),
    }
    slots["He"] = slots["he"].capitalize()
    opening = rng.choice(OPENINGS)
    homes = [h for h in HOMES if ("{place}" in h) != ("{place}" in opening)]
    _, steps, morals = PLOTS[plot]
    lines = [opening, rng.choice(homes)] + [rng.choice(step) for step in steps] + [rng.choice(ENDS)]
    if rng.random() < 0.5:
        lines.append(rng.choice(morals))
    sentences = [line.format(**slots) for line in lines]
    sentences[0] = sentences[0].replace("a old", "an old")
    return " ".join(sentences), slots


def request(rng, held):
    """(question, story, words that the story must hold): with a hero, a kind, a plot, or no wish at all."""
    wish = rng.random()
    if wish < 0.25:
        text, slots = story(rng)
        return rng.choice(REQUESTS_HELD if held else REQUESTS), text, ("named", "called", "name was")
    frame = rng.choice(ABOUT_HELD if held else ABOUT)
    he = rng.choice(("he", "she"))
    name = rng.choice(facts.NAMES[he]) if held or rng.random() < 0.8 else invented_place(rng)
    kind = rng.choice(ANIMALS) if rng.random() < 0.85 else rng.choice(PEOPLE[he])
    if wish < 0.5:
        text, _ = story(rng, hero_kind=kind, hero_he=he)
        return frame.replace("{t}", article(kind)), text, (kind,)
    if wish < 0.75:
        text, _ = story(rng, hero=name, hero_he=he, hero_kind=kind)
        return frame.replace("{t}", f"{article(kind)} {rng.choice(('named', 'called'))} {name}"), text, (kind, name)
    if wish < 0.82:
        text, _ = story(rng, hero=name, hero_he=he)
        return frame.replace("{t}", name), text, (name,)
    text, slots = story(rng)
    topic = rng.choice(PLOTS[slots["plot"]][0]).format(**slots)
    words = (slots["thing"],) if slots["thing"] in topic else (slots["food"],) if slots["food"] in topic else ()
    if words and words[0] not in text:
        return rng.choice(REQUESTS), text, ()
    return frame.replace("{t}", topic), text, words
