"""Sentences that a grammar makes: captions, headlines, questions and statements. They are the project's own.

The headlines are invented: they name countries, but no person and no firm, and tell of no real event.
"""
import random
from clean import write

R = random.Random(20240613)
pick = R.choice


def an(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


PERSON = ["man", "woman", "boy", "girl", "child", "person", "lady", "guy", "young man", "young woman", "old man", "elderly woman", "little girl",
          "little boy", "teenager", "toddler"]
PEOPLE = ["two men", "two women", "two boys", "two girls", "three children", "several people", "a group of people", "a couple", "some kids",
          "three friends", "a crowd of people", "two young children", "four teenagers", "a man and a woman", "a mother and her son", "a father and his daughter"]
WORKER = ["chef", "doctor", "nurse", "teacher", "police officer", "firefighter", "farmer", "soldier", "cyclist", "skier", "surfer", "climber",
          "dancer", "musician", "street vendor", "waiter", "painter", "carpenter", "fisherman", "student", "tourist", "bride", "baseball player",
          "basketball player", "soccer player", "tennis player", "skateboarder", "construction worker"]
LOOK = ["in a red shirt", "in a blue jacket", "in a white dress", "wearing a hat", "with long hair", "with a beard", "in a black coat", "in jeans",
        "wearing glasses", "in a green sweater", "with a backpack", "in a suit", "wearing a helmet", "in a yellow raincoat", "in an apron", "in shorts"]
# Each action: the -ing form, and the things that it fits. An empty thing means that the verb stands alone.
DO = [
    ("playing", ["a guitar", "a piano", "a violin", "the drums", "a flute", "a trumpet", "a cello", "a harmonica", "a keyboard", "an accordion",
                 "chess", "cards", "a video game", "soccer", "basketball", "tennis", "football", "volleyball", "golf", "baseball", "with a ball",
                 "with a toy", "with a puppy", "in the snow", "in the sand"]),
    ("slicing", ["an onion", "a tomato", "a potato", "a carrot", "a cucumber", "bread", "some meat", "a lemon", "an apple", "a mushroom", "garlic", "cheese"]),
    ("chopping", ["vegetables", "onions", "wood", "herbs", "garlic", "peppers", "celery", "nuts"]),
    ("peeling", ["a potato", "an orange", "a banana", "a carrot", "shrimp", "an egg", "an apple", "a mango"]),
    ("cutting", ["paper with scissors", "a cake", "a piece of cloth", "the grass", "a pizza", "a rope", "some flowers", "her hair", "his hair"]),
    ("cooking", ["dinner", "rice", "an egg", "some pasta", "meat on a grill", "fish in a pan", "soup", "pancakes", "vegetables in a wok"]),
    ("frying", ["an egg", "bacon", "fish", "some onions", "chicken", "potatoes"]),
    ("mixing", ["flour and water", "ingredients in a bowl", "a salad", "a drink", "paint", "eggs and sugar", "dough"]),
    ("pouring", ["water into a glass", "milk into a bowl", "oil into a pan", "coffee into a cup", "tea", "sauce over the pasta", "batter into a pan"]),
    ("stirring", ["soup in a pot", "a cup of coffee", "some sauce", "a pot of beans"]),
    ("eating", ["a sandwich", "an apple", "a banana", "pizza", "ice cream", "noodles", "breakfast", "a piece of cake", "popcorn", "a hamburger", "fruit"]),
    ("drinking", ["water", "a glass of milk", "coffee", "tea", "beer", "juice through a straw", "from a bottle"]),
    ("riding", ["a horse", "a bicycle", "a motorcycle", "a skateboard", "a scooter", "a bus", "a wave", "an elephant", "a camel", "a roller coaster", "a train"]),
    ("driving", ["a car", "a truck", "a tractor", "a bus", "a golf cart", "a red convertible"]),
    ("washing", ["the dishes", "a car", "a dog", "her hands", "his face", "clothes", "windows", "vegetables in a sink"]),
    ("cleaning", ["the floor", "a window", "the kitchen", "a bathtub", "a fish", "the table", "shoes"]),
    ("painting", ["a wall", "a picture", "a fence", "her nails", "a portrait", "a landscape", "a chair"]),
    ("drawing", ["a picture", "on the sidewalk with chalk", "a circle", "a cat on paper", "a map"]),
    ("reading", ["a book", "a newspaper", "a magazine", "a letter", "a map", "a story to a child", "the menu", "a message on a phone"]),
    ("writing", ["a letter", "on a whiteboard", "in a notebook", "a message", "a song", "on a piece of paper"]),
    ("talking", ["on the phone", "to a friend", "to a crowd", "to a reporter", "with two women", "into a microphone", "about the weather"]),
    ("singing", ["a song", "on a stage", "into a microphone", "in a choir", "with a band"]),
    ("dancing", ["", "on a stage", "with a partner", "in the rain", "at a wedding", "to music"]),
    ("walking", ["a dog", "down the street", "on the beach", "through the woods", "up the stairs", "across a bridge", "in the snow", "along a river", "past a shop"]),
    ("running", ["", "a race", "on a track", "through a field", "along the beach", "up a hill", "after a bus", "away from a dog"]),
    ("jumping", ["over a fence", "into a pool", "on a trampoline", "off a cliff", "over a puddle", "up and down", "into a lake", "rope"]),
    ("climbing", ["a tree", "a rock wall", "a ladder", "a mountain", "the stairs", "over a wall", "a rope"]),
    ("swimming", ["", "in a pool", "in the ocean", "in a lake", "under water", "with dolphins"]),
    ("sitting", ["on a bench", "on a couch", "at a table", "on the grass", "in a chair", "by the window", "on the floor", "under a tree", "in a boat", "at a desk"]),
    ("standing", ["on a bridge", "in front of a building", "next to a car", "in line", "on one leg", "by a lake", "near a fire", "on a ladder", "at a bus stop"]),
    ("lying", ["on the beach", "on a bed", "on the grass", "in a hammock", "on a couch"]),
    ("sleeping", ["", "on a couch", "in a tent", "on a train", "in a crib", "on a park bench"]),
    ("holding", ["a baby", "a sign", "an umbrella", "a camera", "a cup", "a flag", "a fish", "a kitten", "a bunch of flowers", "a microphone", "a balloon", "a gun"]),
    ("carrying", ["a box", "a bag of groceries", "a child on his shoulders", "a surfboard", "a backpack", "a suitcase", "firewood", "a tray of drinks"]),
    ("throwing", ["a ball", "a frisbee", "a rock into the water", "a snowball", "confetti", "a stick for a dog"]),
    ("catching", ["a ball", "a fish", "a frisbee", "a butterfly with a net"]),
    ("kicking", ["a ball", "a soccer ball into a goal", "a punching bag"]),
    ("lifting", ["weights", "a heavy box", "a barbell", "a child into the air"]),
    ("pushing", ["a stroller", "a shopping cart", "a car", "a swing", "a wheelbarrow", "a wheelchair"]),
    ("opening", ["a door", "a present", "a bottle of wine", "a window", "a can", "a letter", "a box"]),
    ("fixing", ["a bicycle", "a car engine", "a sink", "a roof", "a computer", "a fence"]),
    ("building", ["a sandcastle", "a house", "a wall", "a snowman", "a fire", "a tower of blocks", "a bookshelf"]),
    ("feeding", ["a baby", "the ducks", "a horse", "pigeons", "a goat", "a kitten with a bottle"]),
    ("petting", ["a cat", "a dog", "a horse", "a rabbit", "a lion cub"]),
    ("brushing", ["her hair", "his teeth", "a dog", "a horse"]),
    ("taking", ["a picture", "a nap", "a photograph of a bridge", "notes", "a bath", "a bow"]),
    ("watching", ["television", "a movie", "a parade", "the sunset", "a baseball game", "birds", "a street performer", "fireworks"]),
    ("buying", ["vegetables at a market", "a ticket", "flowers", "bread", "new shoes"]),
    ("selling", ["fruit at a market", "balloons", "newspapers", "ice cream", "hot dogs on the street"]),
    ("typing", ["on a keyboard", "on a laptop", "a message", "a report"]),
    ("using", ["a laptop", "a sewing machine", "a drill", "a hammer", "a chainsaw", "a phone", "a microscope", "a computer"]),
    ("putting on", ["makeup", "a coat", "shoes", "a helmet", "lipstick", "gloves"]),
    ("folding", ["a piece of paper", "clothes", "a shirt", "a napkin", "a blanket"]),
    ("planting", ["a tree", "flowers", "seeds in a garden", "tomatoes"]),
    ("exercising", ["", "in a gym", "on a mat", "with a rope"]),
    ("fishing", ["", "from a boat", "in a river", "off a pier"]),
    ("hiking", ["", "in the mountains", "along a trail", "with a dog"]),
    ("skiing", ["", "down a hill", "through the trees"]),
    ("surfing", ["", "on a big wave"]),
    ("smiling", ["", "at the camera", "at a baby"]),
    ("laughing", ["", "at a joke", "with friends"]),
    ("crying", ["", "over a broken toy"]),
    ("waiting", ["for a bus", "for a train", "in line", "at a crosswalk", "at the airport"]),
]
PLACE = ["in a park", "in the kitchen", "on a beach", "outside", "in a field", "on the street", "in a room", "at home", "in front of a crowd", "at night",
         "in the city", "near a lake", "in a backyard", "in a garden", "in the rain", "on a sunny day", "at a party", "in a parking lot", "on a stage",
         "in a restaurant", "in a classroom", "in the snow", "by the sea", "in a market", "on a porch", "in a gym"]
ANIMAL = {
    "dog": ["barking at a cat", "running through the grass", "chasing a ball", "swimming in a lake", "catching a frisbee", "sleeping on a rug", "digging a hole",
            "jumping over a hurdle", "licking a baby", "eating from a bowl", "carrying a stick in its mouth", "playing in the snow", "shaking off water",
            "looking out of a window", "riding in a car", "pulling a sled", "standing on a beach", "chewing on a bone"],
    "cat": ["sleeping on a couch", "playing with a string", "drinking milk", "licking its paw", "sitting on a window sill", "climbing a tree", "chasing a mouse",
            "lying on a keyboard", "hiding in a box", "looking at a bird", "eating from a can", "rubbing against a leg", "playing a piano", "watching television"],
    "kitten": ["sleeping in a basket", "playing with a ball of yarn", "drinking milk from a bowl", "climbing a curtain", "chasing its tail"],
    "puppy": ["rolling on the floor", "playing with a shoe", "sleeping in a basket", "running toward the camera", "chewing on a toy"],
    "horse": ["running in a field", "eating grass", "jumping over a fence", "pulling a cart", "drinking from a river", "standing in a barn", "grazing near a road"],
    "cow": ["eating grass", "standing in a field", "lying under a tree", "drinking water", "walking down the road", "being milked"],
    "bird": ["flying over the water", "sitting on a branch", "eating seeds", "building a nest", "singing in a tree", "landing on a fence", "bathing in a fountain"],
    "monkey": ["swinging from a branch", "eating a banana", "climbing a tree", "riding a bicycle", "holding its baby", "sitting on a wall", "scratching its head"],
    "elephant": ["walking through the water", "spraying itself with water", "eating leaves", "painting a picture", "standing near a tree", "crossing a road"],
    "panda": ["eating bamboo", "climbing a tree", "sliding down a slide", "sleeping on a rock", "rolling on the ground"],
    "lion": ["lying in the shade", "chasing a zebra", "roaring", "walking through the grass", "yawning", "sleeping under a tree"],
    "tiger": ["walking around in a cage", "swimming in a pool", "playing with a ball", "resting on a rock", "drinking from a pond"],
    "sheep": ["grazing on a hill", "standing behind a fence", "following a farmer", "being sheared"],
    "goat": ["standing on a rock", "eating hay", "climbing a wall", "drinking from a bucket"],
    "duck": ["swimming in a pond", "crossing the street with its chicks", "flapping its wings", "walking on the grass"],
    "fish": ["swimming in a tank", "jumping out of the water", "swimming near a reef"],
    "squirrel": ["eating a nut", "running up a tree", "hanging from a feeder", "sitting on a fence"],
    "rabbit": ["eating a carrot", "hopping across the lawn", "hiding in the grass", "sitting in a cage"],
    "bear": ["catching a fish", "walking through the forest", "climbing a tree", "standing in a river", "rubbing its back on a tree"],
    "turtle": ["crawling on the sand", "swimming in the ocean", "resting on a log", "eating lettuce"],
    "seal": ["lying on a rock", "balancing a ball", "swimming under the ice"],
    "parrot": ["talking to a man", "sitting on a shoulder", "eating a cracker", "dancing to music"],
}
SCENE = ["train", "bus", "red car", "white truck", "motorcycle", "bicycle", "boat", "airplane", "sailboat", "fire truck", "tram", "yellow taxi", "helicopter", "ship"]
SCENE_DO = {"train": ["pulling into a station", "crossing a bridge", "traveling through the countryside", "stopped at a platform", "going through a tunnel"],
            "bus": ["driving down a city street", "parked at a bus stop", "turning a corner", "stopped at a traffic light"],
            "red car": ["parked on the side of the road", "driving on a highway", "covered with snow", "parked in front of a house"],
            "white truck": ["driving on a dirt road", "parked near a building", "carrying logs", "stuck in the mud"],
            "motorcycle": ["parked on the sidewalk", "leaning against a wall", "racing around a track"],
            "bicycle": ["leaning against a fence", "chained to a pole", "lying on the grass", "parked beside a canal"],
            "boat": ["floating on a lake", "tied to a dock", "sailing near the coast", "full of tourists"],
            "airplane": ["flying in the sky", "landing on a runway", "parked at an airport", "taking off at sunset"],
            "sailboat": ["sailing on calm water", "anchored in a harbor"],
            "fire truck": ["parked outside a station", "rushing to a fire"],
            "tram": ["going down a busy street", "waiting at a stop"],
            "yellow taxi": ["driving through heavy traffic", "waiting outside a hotel"],
            "helicopter": ["flying over a city", "landing on a roof", "hovering above the sea"],
            "ship": ["leaving the harbor", "crossing the ocean", "being unloaded at a port"]}
THING = ["vase of flowers", "bowl of fruit", "cup of coffee", "plate of food", "laptop", "pile of books", "lamp", "clock", "bottle of wine", "pizza", "birthday cake",
         "pair of scissors", "teddy bear", "stack of newspapers", "basket of bread", "glass of water", "remote control", "pot of soup"]
WHERE = ["on a wooden table", "on a kitchen counter", "on a shelf", "next to a window", "on a desk", "on the floor", "beside a bed", "on a white plate", "near a sink", "on a chair"]
COLOR = ["red", "blue", "white", "black", "brown", "green", "yellow", "gray", "small", "large", "young", "old", "wet", "fluffy", "spotted"]


def subject():
    r = R.random()
    if r < 0.55:
        s, many = an(pick(PERSON)), False
    elif r < 0.7:
        s, many = an(pick(WORKER)), False
    else:
        s, many = pick(PEOPLE), True
    if not many and R.random() < 0.2:
        s += " " + pick(LOOK)
    return s, many


def fit(action, s):
    """Makes the possessives fit the subject."""
    if any(w in s for w in ("woman", "girl", "lady", "bride", "nurse")):
        return action.replace("his ", "her ")
    if any(w in s for w in ("man", "boy", "guy")):
        return action.replace("her ", "his ")
    return action.replace("her ", "the ").replace("his ", "the ")


def caption():
    r = R.random()
    if r < 0.62:
        s, many = subject()
        verb, things = pick(DO)
        action = (verb + " " + pick(things)).strip()
        action = action if many is False else action
        action = fit(action, s) if not many else action.replace("his ", "their ").replace("her ", "their ")
        be = "are" if many else "is"
        q = R.random()
        if q < 0.55:
            t = f"{s} {be} {action}"
        elif q < 0.8:
            t = f"{s} {action}"
        elif q < 0.9:
            t = f"{s} {be} not {action}"
        else:
            s2, many2 = subject()
            t = f"{s} {be} {action} while {s2} {'are' if many2 else 'is'} watching"
        if R.random() < 0.25 and " in " not in action and " on " not in action and " at " not in action and "while" not in t:
            t += " " + pick(PLACE)
    elif r < 0.84:
        a = pick(sorted(ANIMAL))
        act = pick(ANIMAL[a])
        name = a if R.random() < 0.5 else pick(COLOR) + " " + a
        q = R.random()
        if q < 0.5:
            t = f"{an(name)} is {act}"
        elif q < 0.75:
            t = f"{an(name)} {act}"
        elif q < 0.9:
            t = f"the {name} is {act}"
        else:
            plural = {"fish": "fish", "sheep": "sheep", "puppy": "puppies"}.get(a, a + "s")
            t = f"{pick(['two', 'three', 'several', 'some'])} {plural} are {act.replace(' its ', ' their ').replace('itself', 'themselves')}"
    elif r < 0.93:
        v = pick(SCENE)
        t = f"{an(v)} {'is ' if R.random() < 0.4 else ''}{pick(SCENE_DO[v])}"
    else:
        a, b = R.sample(THING, 2)
        t = pick([f"{an(a)} {pick(WHERE)}", f"{an(a)} and {an(b)} {pick(WHERE)}", f"there is {an(a)} {pick(WHERE)}", f"{an(a)} is sitting {pick(WHERE)}"])
    t = t[0].upper() + t[1:]
    return t + ("." if R.random() < 0.85 else "")


def several(make, count, limit=8):
    """Calls make until count different sentences are there."""
    seen = {}
    for _ in range(count * limit):
        seen.setdefault(make().strip())
        if len(seen) == count:
            break
    return list(seen)


write("made-captions", several(caption, 30000))

LAND = [("China", "Chinese", "Beijing"), ("India", "Indian", "New Delhi"), ("Russia", "Russian", "Moscow"), ("Iran", "Iranian", "Tehran"), ("Israel", "Israeli", "Jerusalem"),
        ("Egypt", "Egyptian", "Cairo"), ("Syria", "Syrian", "Damascus"), ("Pakistan", "Pakistani", "Islamabad"), ("Japan", "Japanese", "Tokyo"), ("France", "French", "Paris"),
        ("Germany", "German", "Berlin"), ("Italy", "Italian", "Rome"), ("Spain", "Spanish", "Madrid"), ("Turkey", "Turkish", "Ankara"), ("Ukraine", "Ukrainian", "Kiev"),
        ("Iraq", "Iraqi", "Baghdad"), ("Afghanistan", "Afghan", "Kabul"), ("Brazil", "Brazilian", "Brasilia"), ("Mexico", "Mexican", "Mexico City"), ("Canada", "Canadian", "Ottawa"),
        ("Australia", "Australian", "Sydney"), ("South Africa", "South African", "Johannesburg"), ("Nigeria", "Nigerian", "Lagos"), ("Kenya", "Kenyan", "Nairobi"),
        ("North Korea", "North Korean", "Pyongyang"), ("South Korea", "South Korean", "Seoul"), ("Greece", "Greek", "Athens"), ("Thailand", "Thai", "Bangkok"),
        ("Libya", "Libyan", "Tripoli"), ("Lebanon", "Lebanese", "Beirut"), ("Yemen", "Yemeni", "Sanaa"), ("Bangladesh", "Bangladeshi", "Dhaka"), ("Indonesia", "Indonesian", "Jakarta"),
        ("Colombia", "Colombian", "Bogota"), ("Venezuela", "Venezuelan", "Caracas"), ("Poland", "Polish", "Warsaw"), ("Somalia", "Somali", "Mogadishu"), ("Sudan", "Sudanese", "Khartoum"),
        ("the Philippines", "Philippine", "Manila"), ("Britain", "British", "London"), ("the United States", "American", "Washington"), ("Tunisia", "Tunisian", "Tunis")]
HEAD = ["president", "prime minister", "foreign minister", "defense minister", "finance minister", "opposition leader", "parliament", "supreme court", "government", "army", "police", "central bank"]
NUMBER = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "at least 10", "12", "15", "at least 20", "25", "30", "dozens", "more than 40", "50", "scores", "100", "hundreds"]
DISASTER = ["bus crash", "train crash", "earthquake", "flood", "landslide", "factory fire", "hotel fire", "plane crash", "ferry accident", "car bomb", "suicide bombing", "mine explosion",
            "gas explosion", "building collapse", "storm", "shooting", "stampede", "helicopter crash", "mudslide", "air strike"]
TOPIC = ["trade", "nuclear weapons", "climate change", "border security", "a peace deal", "the budget", "tax cuts", "oil exports", "human rights", "immigration", "gas prices", "a cease-fire",
         "the debt crisis", "aid for refugees", "a new constitution", "health care", "prisoner exchange", "cyber security"]
FIRM = ["the bank", "the airline", "the carmaker", "the drug maker", "the software company", "the oil company", "the retailer", "the phone maker", "the insurer", "the steel maker", "the chip maker",
        "the food company", "the toy maker", "the hotel chain", "the brewer"]
MONTH = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
DAY = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
INDEX = ["Stocks", "Oil prices", "Gold prices", "Shares", "Bond prices", "House prices", "Exports", "Retail sales", "Consumer prices", "The dollar", "The euro", "Food prices", "Car sales"]
SPORT = ["soccer", "tennis", "basketball", "cricket", "rugby", "hockey", "boxing", "cycling", "swimming", "golf"]


def cap(t):
    return t[0].upper() + t[1:]


def headline():
    (c1, a1, t1), (c2, a2, t2) = R.sample(LAND, 2)
    n, d, h, p = pick(NUMBER), pick(DISASTER), pick(HEAD), pick(TOPIC)
    day, month, firm = pick(DAY), pick(MONTH), pick(FIRM)
    pct = f"{R.randint(1, 29)}{pick(['', '.5', '.2', '.8'])}"
    money = f"${R.randint(2, 90)} {pick(['million', 'billion'])}"
    return cap(pick([
        lambda: f"{n} killed in {d} in {c1}",
        lambda: f"{d} in {c1} kills {n}",
        lambda: f"{d} kills {n}, injures {pick(NUMBER)} in {c1}",
        lambda: f"{n} people were killed and {pick(NUMBER)} were injured in a {d} near {t1} on {day}.".replace(" a earth", " an earth").replace(" a air", " an air"),
        lambda: f"{a1} {h} {pick(['visits', 'arrives in', 'to visit', 'cancels visit to', 'ends visit to'])} {c2}" if h in HEAD[:6] else f"{a1} {h} {pick(['rejects', 'approves', 'discusses', 'delays'])} plan on {p}",
        lambda: f"{c1}, {c2} {pick(['agree to hold talks on', 'sign deal on', 'fail to agree on', 'resume talks on', 'discuss', 'end talks on'])} {p}",
        lambda: f"{c1} {pick(['warns', 'urges', 'accuses', 'asks', 'tells'])} {c2} {pick(['over', 'about'])} {p}" if R.random() < 0.5 else f"{c1} {pick(['accuses', 'blames'])} {c2} {pick(['of breaking cease-fire', 'of spying', 'for border attack', 'for cyber attack'])}",
        lambda: f"{a1} {h} {pick(['resigns', 'wins election', 'faces trial', 'survives vote', 'denies charges', 'promises reform', 'calls for calm', 'in hospital'])}" if h in HEAD[:6] else f"{a1} {h} {pick(['arrests', 'blocks', 'frees'])} {pick(['protesters', 'journalists', 'activists', 'opposition leaders'])}".replace("police arrests", "police arrest"),
        lambda: f"{pick(INDEX)} {pick(['rise', 'fall', 'edge higher', 'drop', 'climb', 'slip'])} {pct} percent in {month}".replace("The dollar rise", "The dollar rises").replace("The dollar fall", "The dollar falls").replace("The euro slip", "The euro slips"),
        lambda: f"{pick(['Stocks', 'Shares', 'Markets'])} {pick(['rise', 'fall', 'rally', 'slide', 'close higher', 'close lower'])} {pick(['on jobs report', 'on ' + a1 + ' data', 'after rate cut', 'as oil drops', 'ahead of earnings', 'on debt fears'])}",
        lambda: f"{firm} said on {day} that its {pick(['profit', 'revenue', 'loss', 'sales'])} {pick(['rose', 'fell'])} {pct} percent to {money} in the {pick(['first', 'second', 'third', 'fourth'])} quarter.",
        lambda: f"Shares of {firm} {pick(['rose', 'fell', 'gained', 'lost'])} {pct} percent to close at ${R.randint(4, 190)}.{R.randint(10, 99)} on the New York Stock Exchange.",
        lambda: f"{firm} {pick(['plans to cut', 'will cut', 'said it would add'])} {R.randint(2, 95) * 100} jobs {pick(['in ' + c1, 'by the end of the year', 'as sales fall', 'next year'])}{pick(['', '.'])}",
        lambda: f"{firm} {pick(['agreed to buy', 'plans to sell', 'is in talks to buy'])} {pick(['a rival', 'its ' + a1 + ' unit', 'a stake in ' + pick(FIRM)])} for {money}{pick(['', '.'])}",
        lambda: f"The {a1} {h if h != 'parliament' else 'parliament'} {pick(['said', 'announced', 'confirmed', 'denied'])} on {day} that {pick(['it had reached a deal with ' + c2, 'talks with ' + c2 + ' had failed', 'troops would leave ' + t2, 'the vote would be held in ' + month, 'two suspects were arrested', 'the border with ' + c2 + ' would be closed'])}.",
        lambda: f"{a1} {pick(['troops', 'rebels', 'soldiers', 'militants', 'police'])} {pick(['kill', 'capture', 'attack', 'free'])} {n} {pick(['militants', 'hostages', 'soldiers', 'civilians', 'suspects'])} {pick(['near ' + t1, 'in the north', 'at the border', 'in ' + t1])}",
        lambda: f"Thousands {pick(['protest', 'rally', 'march', 'demonstrate'])} in {t1} {pick(['against', 'over'])} {p}",
        lambda: f"{c1} {pick(['beat', 'lose to', 'draw with', 'defeat'])} {c2} {R.randint(1, 5)}-{R.randint(0, 3)} in {pick(SPORT[:1] + ['World Cup', 'friendly', 'final', 'semi-final', 'qualifier'])}",
        lambda: f"{pick(['Magnitude ' + str(R.randint(5, 7)) + '.' + str(R.randint(0, 9)) + ' earthquake', 'Strong earthquake', 'Powerful storm', 'Typhoon', 'Heavy snow'])} hits {pick(['northern', 'southern', 'eastern', 'western', 'central'])} {c1.replace('the ', '')}",
        lambda: f"{pick(['A court', 'A judge', 'A jury'])} in {t1} sentenced {pick(['a former minister', 'a journalist', 'two men', 'a businessman', 'an army officer'])} to {R.randint(2, 30)} years in prison for {pick(['corruption', 'murder', 'fraud', 'spying', 'drug trafficking', 'terrorism'])}.",
        lambda: f"{pick(['The UN', 'The EU', 'NATO', 'The Red Cross', 'The IMF', 'The World Bank'])} {pick(['calls for aid to', 'sends observers to', 'approves loan for', 'extends sanctions on', 'warns of crisis in', 'condemns attack in'])} {c1}",
        lambda: f"{pick(['Doctors', 'Scientists', 'Researchers', 'Officials', 'Experts'])} {pick(['say', 'said on ' + day, 'believe'])} {pick(['the new drug can slow the disease', 'the virus has spread to ' + c1, 'the vaccine is safe for children', 'sea levels are rising faster', 'the planet is warming', 'obesity is linked to cancer'])}.",
        lambda: f"{pick(['Former', 'Ex-'])} {a1} {pick(['leader', 'president', 'minister', 'general', 'spy chief'])} {pick(['dies at ' + str(R.randint(70, 98)), 'goes on trial', 'arrested in ' + c2, 'freed from jail', 'returns from exile', 'leaves hospital'])}".replace("Ex- ", "Ex-"),
    ])())


write("made-headlines", several(headline, 30000))

GOAL = ["learn to play the guitar", "lose weight", "clean a wooden floor", "remove ink from a shirt", "get a visa for {c}", "travel to {c} on a small budget", "cook rice", "keep bread fresh",
        "train a puppy", "stop a cat from scratching the sofa", "sharpen a kitchen knife", "grow tomatoes on a balcony", "learn a new language", "fix a leaking tap", "save money for a house",
        "prepare for a job interview", "write a cover letter", "become a better writer", "improve my English", "sleep better at night", "quit smoking", "start a small business",
        "buy a used car", "back up my photos", "speed up an old laptop", "reset a forgotten password", "connect a printer to a phone", "remove a virus from my computer", "cut an onion without tears",
        "make strong coffee", "bake bread at home", "freeze fresh herbs", "cook a steak", "thicken a sauce", "replace eggs in a cake", "store potatoes", "paint a room", "hang a heavy picture",
        "get rid of ants in the kitchen", "unclog a drain", "choose a bicycle", "change a flat tire", "learn to swim as an adult", "run a marathon", "build a bookshelf", "teach a child to read",
        "ask my boss for a raise", "deal with a noisy neighbor", "end an email politely", "tell a friend the truth", "cite a web page in an essay", "choose a thesis topic", "learn to program",
        "take photos at night", "clean a camera lens", "tune a piano", "read sheet music", "remember names", "wake up early", "stop worrying about work", "make new friends in a new city"]
FIELD = ["water", "sugar", "sleep", "salt", "music", "chess", "gravity", "light", "money", "coffee", "milk", "exercise", "rain", "plastic", "sand", "meat", "history", "language", "the sun", "the moon"]
ROLE = ["my boss", "my roommate", "my neighbor", "my landlord", "my sister", "my teacher", "my adviser", "a friend", "my dog", "my cat", "my coworker", "my son", "my daughter", "a customer"]
ACT = ["keeps asking me for money", "does not answer my emails", "wants to move in with me", "is always late", "eats my food", "never says thank you", "barks at night", "wants me to work on weekends",
       "refuses to pay", "borrowed my car and damaged it", "will not sleep alone", "talks during movies", "lost my keys", "asked me to lie", "took credit for my work", "is afraid of strangers"]
GADGET = ["laptop", "phone", "printer", "camera", "washing machine", "car", "bicycle", "oven", "television", "router", "keyboard", "refrigerator", "microphone", "watch", "heater", "tablet"]
FAULT = ["does not turn on", "makes a strange noise", "is too slow", "overheats", "stopped working after an update", "shows an error", "will not charge", "turns off by itself", "smells of smoke", "leaks water"]
JUDGE = ["a good idea", "a bad idea", "worth the money", "legal", "safe", "normal", "polite", "rude", "possible", "necessary", "a waste of time", "too late", "difficult"]
ADVICE = ["It depends on what you want to do.", "You should try it and see if it works for you.", "I would not worry about it.", "Yes, you can do that.", "No, you should not do that.",
          "You do not have to, but it helps.", "There is no single right answer to this question.", "I think that you are right.", "It is up to you.", "I had the same problem last year."]


def to_you(t):
    return t.replace("my ", "your ").replace(" me ", " you ")


def question():
    g = pick(GOAL).replace("{c}", pick(LAND)[0])
    who, act, gad, fault, j = pick(ROLE), pick(ACT), pick(GADGET), pick(FAULT), pick(JUDGE)
    f1, f2 = R.sample(FIELD, 2)
    w1, w2 = R.sample(GADGET, 2)
    years = R.randint(2, 60)
    return cap(pick([
        lambda: f"What is the best way to {g}?",
        lambda: f"How {pick(['can', 'do', 'should'])} I {g}?",
        lambda: f"How long does it take to {g}?",
        lambda: f"Is it {j} to {g}?",
        lambda: f"Does anyone know how to {g}?",
        lambda: f"I want to {g}, but I do not know where to start.",
        lambda: f"The {pick(['easiest', 'best', 'cheapest', 'fastest'])} way to {to_you(g)} is to {pick(['ask someone who has done it before', 'start slowly', 'read a good book about it', 'practice every day', 'follow a simple plan', 'watch a video first', 'do it step by step', 'pay somebody to help you'])}.",
        lambda: f"You {pick(['can', 'should not try to', 'do not need much time to', 'need some patience to', 'will need help to'])} {to_you(g)}.",
        lambda: f"I {pick(['tried to', 'have always wanted to', 'finally managed to', 'need to', 'never learned how to'])} {g} {pick(['last year', 'on my own', 'with a friend', 'this summer', 'before winter', 'without any help'])}.",
        lambda: f"{who} {act}.",
        lambda: f"What should I do if {who} {act}?",
        lambda: f"{who} {act}, and I do not know what to {pick(['do', 'say'])}.",
        lambda: f"How do I tell {who} that I {pick(['need more time', 'cannot help', 'am moving out', 'made a mistake', 'found a new job', 'am not happy'])}?",
        lambda: f"My {gad} {fault}.",
        lambda: f"Why is it that my {gad} {fault}?",
        lambda: f"What does it mean when a {gad} {fault}?".replace(" a oven", " an oven"),
        lambda: f"My {gad} is {years} {pick(['months', 'years'])} old and {fault}.",
        lambda: f"Should I repair my {gad} or buy a new one?",
        lambda: f"Which {gad} should I buy if I only have ${R.randint(1, 40) * 25}?",
        lambda: f"If your {gad} {fault}, {pick(['unplug it and wait for ten minutes', 'take it to a shop', 'check the cable first', 'read the manual', 'call the maker', 'do not use it any more', 'install the old version'])}.",
        lambda: f"A {w1} costs {pick(['more', 'less'])} than a {w2}.".replace("A oven", "An oven").replace("a oven", "an oven"),
        lambda: f"Why is {f1} {pick(['so important', 'bad for you', 'good for children', 'so expensive', 'so hard to study'])}?",
        lambda: f"{f1} is {pick(['more', 'less'])} important than {f2}.",
        lambda: f"There is a {pick(['close', 'weak', 'simple', 'strange'])} link between {f1} and {f2}.",
        lambda: f"Too much {pick(['water', 'sugar', 'sleep', 'salt', 'coffee', 'milk', 'exercise', 'meat'])} can {pick(['make you ill', 'raise your blood pressure', 'cause headaches', 'be dangerous for children', 'keep you awake', 'harm your heart'])}.",
        lambda: f"{pick(ADVICE)[:-1]}, {pick(['but I am not sure', 'at least in my experience', 'if you ask me', 'as far as I know', 'and that is fine', 'but ask a lawyer first', 'but ask a doctor first'])}.",
        lambda: f"I {pick(['bought', 'sold', 'lost', 'repaired', 'found', 'returned'])} {pick(['my', 'an old', 'a new', 'a cheap'])} {gad} {pick(['yesterday', 'last week', 'two months ago', 'in ' + pick(MONTH), 'on ' + pick(DAY)])}.",
        lambda: f"{pick(['We', 'They', 'My parents', 'Our friends', 'The children'])} {pick(['moved to', 'spent the winter in', 'flew to', 'came back from', 'want to see', 'met in'])} {pick(LAND)[pick([0, 2])]} {pick(['last year', 'in ' + pick(MONTH), 'by train', 'for two weeks', 'after the war', 'when they were young'])}.".replace("We want to see", "We saw").replace("flew to", "went to").replace("want to see", "saw"),
    ])())


write("made-questions", several(question, 25000))
