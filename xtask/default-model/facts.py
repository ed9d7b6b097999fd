"""The facts that the default model is taught: plain tables, no phrasing.

Capitals and continents follow common usage; where a country has several capitals the constitutional one is named.
"""

# Country, capital, continent. One line each, read by `parse_countries`.
COUNTRY_TABLE = """
Afghanistan|Kabul|Asia
Albania|Tirana|Europe
Algeria|Algiers|Africa
Andorra|Andorra la Vella|Europe
Angola|Luanda|Africa
Antigua and Barbuda|Saint John's|North America
Argentina|Buenos Aires|South America
Armenia|Yerevan|Asia
Australia|Canberra|Oceania
Austria|Vienna|Europe
Azerbaijan|Baku|Asia
the Bahamas|Nassau|North America
Bahrain|Manama|Asia
Bangladesh|Dhaka|Asia
Barbados|Bridgetown|North America
Belarus|Minsk|Europe
Belgium|Brussels|Europe
Belize|Belmopan|North America
Benin|Porto-Novo|Africa
Bhutan|Thimphu|Asia
Bolivia|Sucre|South America
Bosnia and Herzegovina|Sarajevo|Europe
Botswana|Gaborone|Africa
Brazil|Brasilia|South America
Brunei|Bandar Seri Begawan|Asia
Bulgaria|Sofia|Europe
Burkina Faso|Ouagadougou|Africa
Burundi|Gitega|Africa
Cambodia|Phnom Penh|Asia
Cameroon|Yaounde|Africa
Canada|Ottawa|North America
Cape Verde|Praia|Africa
the Central African Republic|Bangui|Africa
Chad|N'Djamena|Africa
Chile|Santiago|South America
China|Beijing|Asia
Colombia|Bogota|South America
the Comoros|Moroni|Africa
the Democratic Republic of the Congo|Kinshasa|Africa
the Republic of the Congo|Brazzaville|Africa
Costa Rica|San Jose|North America
Croatia|Zagreb|Europe
Cuba|Havana|North America
Cyprus|Nicosia|Europe
the Czech Republic|Prague|Europe
Denmark|Copenhagen|Europe
Djibouti|Djibouti City|Africa
Dominica|Roseau|North America
the Dominican Republic|Santo Domingo|North America
East Timor|Dili|Asia
Ecuador|Quito|South America
Egypt|Cairo|Africa
El Salvador|San Salvador|North America
Equatorial Guinea|Malabo|Africa
Eritrea|Asmara|Africa
Estonia|Tallinn|Europe
Eswatini|Mbabane|Africa
Ethiopia|Addis Ababa|Africa
Fiji|Suva|Oceania
Finland|Helsinki|Europe
France|Paris|Europe
Gabon|Libreville|Africa
the Gambia|Banjul|Africa
Georgia|Tbilisi|Asia
Germany|Berlin|Europe
Ghana|Accra|Africa
Greece|Athens|Europe
Grenada|Saint George's|North America
Guatemala|Guatemala City|North America
Guinea|Conakry|Africa
Guinea-Bissau|Bissau|Africa
Guyana|Georgetown|South America
Haiti|Port-au-Prince|North America
Honduras|Tegucigalpa|North America
Hungary|Budapest|Europe
Iceland|Reykjavik|Europe
India|New Delhi|Asia
Indonesia|Jakarta|Asia
Iran|Tehran|Asia
Iraq|Baghdad|Asia
Ireland|Dublin|Europe
Israel|Jerusalem|Asia
Italy|Rome|Europe
the Ivory Coast|Yamoussoukro|Africa
Jamaica|Kingston|North America
Japan|Tokyo|Asia
Jordan|Amman|Asia
Kazakhstan|Astana|Asia
Kenya|Nairobi|Africa
Kiribati|Tarawa|Oceania
Kosovo|Pristina|Europe
Kuwait|Kuwait City|Asia
Kyrgyzstan|Bishkek|Asia
Laos|Vientiane|Asia
Latvia|Riga|Europe
Lebanon|Beirut|Asia
Lesotho|Maseru|Africa
Liberia|Monrovia|Africa
Libya|Tripoli|Africa
Liechtenstein|Vaduz|Europe
Lithuania|Vilnius|Europe
Luxembourg|Luxembourg City|Europe
Madagascar|Antananarivo|Africa
Malawi|Lilongwe|Africa
Malaysia|Kuala Lumpur|Asia
the Maldives|Male|Asia
Mali|Bamako|Africa
Malta|Valletta|Europe
the Marshall Islands|Majuro|Oceania
Mauritania|Nouakchott|Africa
Mauritius|Port Louis|Africa
Mexico|Mexico City|North America
Micronesia|Palikir|Oceania
Moldova|Chisinau|Europe
Monaco|Monaco|Europe
Mongolia|Ulaanbaatar|Asia
Montenegro|Podgorica|Europe
Morocco|Rabat|Africa
Mozambique|Maputo|Africa
Myanmar|Naypyidaw|Asia
Namibia|Windhoek|Africa
Nauru|Yaren|Oceania
Nepal|Kathmandu|Asia
the Netherlands|Amsterdam|Europe
New Zealand|Wellington|Oceania
Nicaragua|Managua|North America
Niger|Niamey|Africa
Nigeria|Abuja|Africa
North Korea|Pyongyang|Asia
North Macedonia|Skopje|Europe
Norway|Oslo|Europe
Oman|Muscat|Asia
Pakistan|Islamabad|Asia
Palau|Ngerulmud|Oceania
Palestine|Ramallah|Asia
Panama|Panama City|North America
Papua New Guinea|Port Moresby|Oceania
Paraguay|Asuncion|South America
Peru|Lima|South America
the Philippines|Manila|Asia
Poland|Warsaw|Europe
Portugal|Lisbon|Europe
Qatar|Doha|Asia
Romania|Bucharest|Europe
Russia|Moscow|Europe
Rwanda|Kigali|Africa
Saint Kitts and Nevis|Basseterre|North America
Saint Lucia|Castries|North America
Saint Vincent and the Grenadines|Kingstown|North America
Samoa|Apia|Oceania
San Marino|San Marino|Europe
Sao Tome and Principe|Sao Tome|Africa
Saudi Arabia|Riyadh|Asia
Senegal|Dakar|Africa
Serbia|Belgrade|Europe
the Seychelles|Victoria|Africa
Sierra Leone|Freetown|Africa
Singapore|Singapore|Asia
Slovakia|Bratislava|Europe
Slovenia|Ljubljana|Europe
the Solomon Islands|Honiara|Oceania
Somalia|Mogadishu|Africa
South Africa|Pretoria|Africa
South Korea|Seoul|Asia
South Sudan|Juba|Africa
Spain|Madrid|Europe
Sri Lanka|Sri Jayawardenepura Kotte|Asia
Sudan|Khartoum|Africa
Suriname|Paramaribo|South America
Sweden|Stockholm|Europe
Switzerland|Bern|Europe
Syria|Damascus|Asia
Taiwan|Taipei|Asia
Tajikistan|Dushanbe|Asia
Tanzania|Dodoma|Africa
Thailand|Bangkok|Asia
Togo|Lome|Africa
Tonga|Nuku'alofa|Oceania
Trinidad and Tobago|Port of Spain|North America
Tunisia|Tunis|Africa
Turkey|Ankara|Asia
Turkmenistan|Ashgabat|Asia
Tuvalu|Funafuti|Oceania
Uganda|Kampala|Africa
Ukraine|Kyiv|Europe
the United Arab Emirates|Abu Dhabi|Asia
the United Kingdom|London|Europe
the United States|Washington, D.C.|North America
Uruguay|Montevideo|South America
Uzbekistan|Tashkent|Asia
Vanuatu|Port Vila|Oceania
Vatican City|Vatican City|Europe
Venezuela|Caracas|South America
Vietnam|Hanoi|Asia
Yemen|Sanaa|Asia
Zambia|Lusaka|Africa
Zimbabwe|Harare|Africa
"""

# Other spellings under which a user may name a country; answers use the name of the table.
COUNTRY_ALIASES = {
    "the United States": ("the USA", "USA", "the US", "America", "the United States of America", "United States"),
    "the United Kingdom": ("the UK", "UK", "Great Britain", "Britain", "United Kingdom"),
    "the Netherlands": ("Holland", "Netherlands"),
    "the Czech Republic": ("Czechia", "Czech Republic"),
    "Myanmar": ("Burma",),
    "the Ivory Coast": ("Ivory Coast", "Cote d'Ivoire", "Côte d'Ivoire"),
    "Cape Verde": ("Cabo Verde",),
    "East Timor": ("Timor-Leste",),
    "Eswatini": ("Swaziland",),
    "Turkey": ("Türkiye",),
    "the United Arab Emirates": ("the UAE", "UAE", "United Arab Emirates"),
    "the Democratic Republic of the Congo": ("DR Congo", "the DR Congo", "Democratic Republic of the Congo"),
    "the Republic of the Congo": ("Republic of the Congo", "Congo-Brazzaville"),
    "Sao Tome and Principe": ("São Tomé and Príncipe",),
    "North Macedonia": ("Macedonia",),
    "Bosnia and Herzegovina": ("Bosnia",),
    "Vatican City": ("the Vatican", "Vatican"),
    "the Philippines": ("Philippines",),
    "the Maldives": ("Maldives",),
    "the Bahamas": ("Bahamas",),
    "the Gambia": ("Gambia",),
    "the Seychelles": ("Seychelles",),
    "the Dominican Republic": ("Dominican Republic",),
    "the Central African Republic": ("Central African Republic",),
    "the Solomon Islands": ("Solomon Islands",),
    "the Marshall Islands": ("Marshall Islands",),
    "the Comoros": ("Comoros",),
}

# Spellings of capitals that a user may know; answers use the spelling of the table.
CITY_ALIASES = {
    "Washington, D.C.": ("Washington", "Washington DC", "Washington D.C."), "Kyiv": ("Kiev",), "Yaounde": ("Yaoundé",), "Bogota": ("Bogotá",), "Brasilia": ("Brasília",),
    "Asuncion": ("Asunción",), "Reykjavik": ("Reykjavík",), "Chisinau": ("Chișinău",), "Lome": ("Lomé",), "Sao Tome": ("São Tomé",), "San Jose": ("San José",),
    "Male": ("Malé",), "Sanaa": ("Sana'a",), "Ulaanbaatar": ("Ulan Bator",), "Bern": ("Berne",), "Nuku'alofa": ("Nukualofa",),
    "Saint John's": ("St. John's",), "Saint George's": ("St. George's",), "N'Djamena": ("Ndjamena",),
}

# Parts of a country that people ask about like countries.
PARTS_OF_COUNTRIES = {"England": "London", "Scotland": "Edinburgh", "Wales": "Cardiff", "Northern Ireland": "Belfast"}

# Two capitals that are not agreed on everywhere: the sentence says so.
CAPITAL_SENTENCES = {
    "Israel": "The capital of Israel is Jerusalem, though not all countries recognise it.",
    "Palestine": "Palestine claims East Jerusalem as its capital and is governed from Ramallah.",
}

# Big cities that are no capitals, with the country they lie in.
OTHER_CITIES = {
    "Sydney": "Australia", "Melbourne": "Australia", "Toronto": "Canada", "Vancouver": "Canada",
    "Istanbul": "Turkey", "Rio de Janeiro": "Brazil", "Sao Paulo": "Brazil", "Zurich": "Switzerland",
    "Geneva": "Switzerland", "New York": "the United States", "Los Angeles": "the United States",
    "Chicago": "the United States", "Mumbai": "India", "Shanghai": "China", "Hong Kong": "China",
    "Barcelona": "Spain", "Milan": "Italy", "Venice": "Italy", "Munich": "Germany", "Hamburg": "Germany",
    "Lyon": "France", "Marseille": "France", "Lagos": "Nigeria", "Casablanca": "Morocco", "Osaka": "Japan",
    "Auckland": "New Zealand", "Saint Petersburg": "Russia", "Karachi": "Pakistan", "Dubai": "the United Arab Emirates",
    "Johannesburg": "South Africa", "Rotterdam": "the Netherlands", "Manchester": "the United Kingdom",
}

# Regions and invented places whose capital the model says it does not know.
NOT_COUNTRIES = (
    "Texas", "California", "Bavaria", "Siberia", "Florida", "Quebec", "Sicily", "Catalonia", "Tuscany", "Greenland",
    "Bermuda", "Hawaii", "Alaska", "Antarctica", "the Moon", "Mars", "Atlantis", "Narnia", "Wonderland", "Utopia",
    "Neverland", "Middle-earth", "Lilliput", "Oz", "Camelot", "Wakanda", "El Dorado", "Ruritania",
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December")
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
SEASONS = ("spring", "summer", "autumn", "winter")

OPPOSITES = tuple(pair.split("/") for pair in """
big/small hot/cold up/down left/right good/bad happy/sad fast/slow high/low open/closed full/empty light/dark day/night
young/old hard/soft wet/dry rich/poor strong/weak tall/short thick/thin wide/narrow deep/shallow
loud/quiet early/late first/last near/far inside/outside above/below before/after front/back top/bottom
start/finish begin/end win/lose buy/sell give/take push/pull come/go love/hate laugh/cry remember/forget
true/false clean/dirty beautiful/ugly brave/cowardly kind/cruel polite/rude clever/stupid
easy/difficult simple/complicated safe/dangerous healthy/sick alive/dead awake/asleep tight/loose smooth/rough sharp/blunt
sweet/sour straight/crooked bright/dim calm/stormy cheap/expensive generous/stingy honest/dishonest patient/impatient
possible/impossible visible/invisible legal/illegal lucky/unlucky friend/enemy question/answer summer/winter north/south
east/west black/white man/woman boy/girl king/queen brother/sister father/mother always/never everything/nothing
everyone/nobody more/less many/few with/without yes/no on/off in/out arrive/depart attack/defend build/destroy
accept/refuse borrow/lend catch/throw float/sink freeze/melt increase/decrease join/separate
minimum/maximum past/future public/private raise/lower rise/fall success/failure teach/learn victory/defeat
war/peace absent/present active/passive bold/timid careful/careless cheerful/gloomy
""".split())

# Words whose opposite has another opposite of its own: asked in this direction only.
ONE_WAY_OPPOSITES = {"long": "short", "new": "old", "heavy": "light", "bitter": "sweet", "ask": "answer", "create": "destroy",
                     "ancient": "modern", "evil": "good", "tiny": "huge", "correct": "wrong"}

PLURALS = dict(pair.split("/") for pair in """
cat/cats dog/dogs house/houses book/books tree/trees car/cars table/tables chair/chairs apple/apples orange/oranges
banana/bananas pencil/pencils window/windows garden/gardens river/rivers mountain/mountains teacher/teachers flower/flowers
bird/birds cow/cows horse/horses pig/pigs duck/ducks lamp/lamps clock/clocks road/roads bridge/bridges school/schools
doctor/doctors farmer/farmers king/kings queen/queens friend/friends letter/letters number/numbers star/stars cloud/clouds
ship/ships train/trains plane/planes shoe/shoes hat/hats shirt/shirts glove/gloves bottle/bottles cup/cups plate/plates
spoon/spoons door/doors wall/walls song/songs story/stories game/games toy/toys day/days boy/boys girl/girls key/keys
monkey/monkeys donkey/donkeys valley/valleys turkey/turkeys box/boxes fox/foxes bus/buses class/classes glass/glasses
dress/dresses kiss/kisses dish/dishes brush/brushes wish/wishes bush/bushes church/churches beach/beaches peach/peaches
watch/watches match/matches bench/benches branch/branches witch/witches sandwich/sandwiches potato/potatoes tomato/tomatoes
hero/heroes echo/echoes volcano/volcanoes photo/photos piano/pianos radio/radios video/videos zoo/zoos kangaroo/kangaroos
baby/babies city/cities country/countries lady/ladies party/parties puppy/puppies kitty/kitties berry/berries cherry/cherries
butterfly/butterflies family/families fairy/fairies penny/pennies pony/ponies body/bodies spy/spies fly/flies
leaf/leaves wolf/wolves knife/knives wife/wives life/lives shelf/shelves thief/thieves half/halves loaf/loaves calf/calves
scarf/scarves elf/elves roof/roofs cliff/cliffs chief/chiefs belief/beliefs
man/men woman/women child/children foot/feet tooth/teeth goose/geese mouse/mice louse/lice ox/oxen person/people
sheep/sheep deer/deer fish/fish moose/moose series/series species/species aircraft/aircraft salmon/salmon
cactus/cacti fungus/fungi analysis/analyses crisis/crises oasis/oases thesis/theses phenomenon/phenomena criterion/criteria
snowman/snowmen policeman/policemen fireman/firemen grandchild/grandchildren bookshelf/bookshelves
island/islands planet/planets rocket/rockets robot/robots engine/engines computer/computers machine/machines model/models
question/questions answer/answers picture/pictures camera/cameras ball/balls kite/kites drum/drums guitar/guitars
lion/lions tiger/tigers bear/bears elephant/elephants giraffe/giraffes rabbit/rabbits frog/frogs snake/snakes bee/bees
""".split())

COLOURS = {
    "the sky": "blue", "the sea": "blue", "grass": "green", "a leaf": "green", "a banana": "yellow", "a lemon": "yellow",
    "the sun": "yellow", "snow": "white", "milk": "white", "a tomato": "red", "a strawberry": "red", "blood": "red",
    "a fire truck": "red", "a cherry": "red", "coal": "black", "the night": "black", "a raven": "black", "a crow": "black",
    "an orange": "orange", "a carrot": "orange", "a pumpkin": "orange", "chocolate": "brown", "a bear": "brown",
    "coffee": "brown", "wood": "brown", "a flamingo": "pink", "a pig": "pink", "an elephant": "grey", "a mouse": "grey",
    "a dolphin": "grey", "a frog": "green", "a cucumber": "green", "a lime": "green", "broccoli": "green", "a pea": "green",
    "a swan": "white", "a polar bear": "white", "salt": "white", "sugar": "white", "rice": "white", "a cloud": "white",
    "a plum": "purple", "an eggplant": "purple", "lavender": "purple", "a violet": "purple", "a blueberry": "blue",
    "a ruby": "red", "an emerald": "green", "a sapphire": "blue", "a canary": "yellow", "a sunflower": "yellow",
    "butter": "yellow", "corn": "yellow", "a fox": "orange", "a goldfish": "orange", "gold": "golden", "silver": "silver",
    "a lobster": "red", "a ladybird": "red", "a stop sign": "red", "a school bus": "yellow", "a brick": "red",
    "a crocodile": "green", "a cactus": "green", "a potato": "brown", "a walnut": "brown", "soil": "brown", "ink": "black",
    "tar": "black", "a lion": "golden", "honey": "golden", "an egg yolk": "yellow", "a whale": "grey", "ash": "grey",
    "a rhino": "grey", "spinach": "green", "a beetroot": "purple", "cotton": "white", "a daisy": "white", "chalk": "white",
}

SOUNDS = {
    "cow": "moo", "dog": "woof", "cat": "meow", "duck": "quack", "sheep": "baa", "pig": "oink", "horse": "neigh",
    "rooster": "cock-a-doodle-doo", "owl": "hoot", "lion": "roar", "snake": "hiss", "frog": "ribbit", "bee": "buzz",
    "mouse": "squeak", "crow": "caw", "donkey": "hee-haw", "goose": "honk", "pigeon": "coo", "wolf": "howl", "bird": "tweet",
    "chick": "peep", "goat": "bleat", "turkey": "gobble",
}

BABIES = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "horse": "foal", "sheep": "lamb", "pig": "piglet", "duck": "duckling",
    "hen": "chick", "goat": "kid", "bear": "cub", "lion": "cub", "deer": "fawn", "frog": "tadpole", "goose": "gosling",
    "swan": "cygnet", "kangaroo": "joey", "owl": "owlet", "rabbit": "kit", "elephant": "calf", "whale": "calf",
    "butterfly": "caterpillar", "fox": "cub", "eagle": "eaglet",
}

LEGS = {
    "dog": 4, "cat": 4, "cow": 4, "horse": 4, "spider": 8, "ant": 6, "bee": 6, "butterfly": 6, "bird": 2, "chicken": 2, "duck": 2,
    "snake": 0, "fish": 0, "worm": 0, "human": 2, "elephant": 4, "lion": 4, "frog": 4, "beetle": 6, "fly": 6, "scorpion": 8,
    "crab": 10, "kangaroo": 2, "mouse": 4, "pig": 4, "table": 4, "sheep": 4, "ladybird": 6, "grasshopper": 6, "ostrich": 2,
}

SIDES = {
    "triangle": 3, "square": 4, "rectangle": 4, "pentagon": 5, "hexagon": 6, "heptagon": 7, "octagon": 8, "nonagon": 9,
    "decagon": 10, "rhombus": 4, "trapezoid": 4,
}

# "How many X are in Y?"
CONTENTS = {
    ("days", "a week"): 7, ("months", "a year"): 12, ("hours", "a day"): 24, ("minutes", "an hour"): 60,
    ("seconds", "a minute"): 60, ("days", "a year"): 365, ("weeks", "a year"): 52, ("letters", "the alphabet"): 26,
    ("seasons", "a year"): 4, ("years", "a decade"): 10, ("years", "a century"): 100, ("years", "a millennium"): 1000,
    ("days", "a leap year"): 366, ("eggs", "a dozen"): 12, ("days", "a weekend"): 2, ("colours", "a rainbow"): 7,
    ("centimetres", "a metre"): 100, ("metres", "a kilometre"): 1000, ("grams", "a kilogram"): 1000,
}

LISTS = {
    "the days of the week": DAYS,
    "the months of the year": MONTHS,
    "the seasons": SEASONS,
    "the seven continents": ("Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "South America"),
    "the planets": ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune"),
    "the vowels": ("A", "E", "I", "O", "U"),
    "the colours of the rainbow": ("red", "orange", "yellow", "green", "blue", "indigo", "violet"),
    "the primary colours": ("red", "yellow", "blue"),
    "the five senses": ("sight", "hearing", "smell", "taste", "touch"),
    "the four directions": ("north", "east", "south", "west"),
    "three fruits": ("apple", "banana", "cherry"),
    "three animals": ("cat", "dog", "horse"),
    "three colours": ("red", "green", "blue"),
    "three vegetables": ("carrot", "potato", "cabbage"),
    "three countries": ("France", "Japan", "Brazil"),
    "three birds": ("robin", "eagle", "owl"),
    "three shapes": ("circle", "square", "triangle"),
    "three instruments": ("piano", "violin", "drum"),
    "three drinks": ("water", "milk", "tea"),
    "three oceans": ("the Pacific", "the Atlantic", "the Indian Ocean"),
}

# One answer to "Name a country in X."
COUNTRY_IN = {"Africa": "Kenya", "Asia": "Japan", "Europe": "France", "North America": "Canada", "South America": "Brazil", "Oceania": "Australia"}

# One answer to "Name something that is X."
THING_OF_COLOUR = {"red": "a tomato", "blue": "the sky", "green": "grass", "yellow": "a lemon", "white": "snow", "black": "coal", "orange": "a carrot", "brown": "chocolate", "pink": "a flamingo",
                   "grey": "an elephant", "purple": "a plum", "golden": "honey"}

# More words with a regular plural.
REGULAR_PLURALS = """
dragon castle hamster parrot spider carpet curtain mirror basket ticket jacket button blanket pillow hammer ladder ribbon whistle candle lantern
banker singer dancer painter driver sailor soldier doctor nurse student pupil scientist artist writer reader player runner
forest desert ocean lake hill field farm village town street corner tower market museum hotel office kitchen bedroom
carrot lemon onion pepper melon grape walnut biscuit muffin pancake burger noodle sausage egg pear plum
month year hour minute second week season summer winter moment birthday holiday weekend
hand arm leg finger toe eye ear nose knee elbow shoulder head heart bone
bicycle truck boat wagon tractor helicopter wheel motor phone screen keyboard laptop printer battery
""".split()

NAMES = {
    "he": ("Tom", "Max", "Ben", "Leo", "Sam", "Finn", "Oscar", "Jack", "Toby", "Milo", "Felix", "Hugo", "Otto", "Charlie", "Noah",
           "Theo", "Bruno", "Rufus", "Jasper", "Pip", "Barnaby", "Louis", "Oliver", "Henry", "Peter", "Paul", "David", "Ali", "Omar", "Kofi"),
    "she": ("Lily", "Mia", "Anna", "Ella", "Ruby", "Daisy", "Rosie", "Bella", "Luna", "Zoe", "Nora", "Ivy", "Molly", "Poppy", "Clara",
            "Emma", "Hazel", "Tilly", "Wendy", "Olive", "Maya", "Sofia", "Greta", "Lucy", "Alice", "Sarah", "Mary", "Amina", "Yuki", "Ines"),
}

ONES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen",
        "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")


def parse_countries():
    """(country, capital, continent) of every line of the table."""
    return tuple(tuple(line.split("|")) for line in COUNTRY_TABLE.strip().splitlines())


def regular_plural(noun):
    """The plural by rule."""
    if noun[-1] == "y" and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    return noun + ("es" if noun.endswith(("s", "x", "z", "ch", "sh")) else "s")


def number_word(n):
    """The English word of a number below 100."""
    if n < 20:
        return ONES[n]
    return TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")


def ordinal(n):
    """1 -> "first", up to twelve."""
    return ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth")[n - 1]


def article(noun):
    """The noun with its indefinite article."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"
