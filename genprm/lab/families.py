"""The story families of the micro-world: words only, no logic.

A family names its things and says each relation in its own words. Slots: ``{E}`` the one told about, ``{F}`` another
one told about before, ``{all}`` everyone of the story, ``{n} {k} {m}`` numbers, ``{item} {box} {other}`` things. The
relations and what they compute are in ``genprm.lab.story``; a family lists those it can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Family:
    """The words of one story family."""

    name: str
    entities: tuple[str, ...]
    items: tuple[str, ...]
    boxes: tuple[str, ...]
    others: tuple[str, ...]
    verb: str
    """Past-tense verb that joins an entity and a count of items."""
    relations: Mapping[str, tuple[str, ...]]
    """Relation name to the sentences that tell it."""
    distractors: tuple[str, ...]
    held_out: bool = False
    question: Mapping[str, str] = field(default_factory=dict)


PEOPLE = (
    "Ann", "Ben", "Cara", "Dan", "Eva", "Finn", "Gina", "Hugo", "Iris", "Jack", "Kim", "Leo", "Mona", "Nick", "Olga",
    "Paul", "Rosa", "Sam", "Tina", "Uma", "Vera", "Will", "Yara", "Zoe",
)  # fmt: skip
TIMES = {2: "twice", 3: "3 times", 4: "4 times", 5: "5 times", 6: "6 times"}
PARTS = {2: "half", 3: "a third", 4: "a quarter", 5: "a fifth"}


def _common(verb: str, **own: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The comparisons every family can tell, with its verb, and its own relations on top."""
    return {
        "more": (f"{{E}} {verb} {{k}} more {{item}} than {{F}}.", f"{{E}} {verb} {{k}} {{item}} more than {{F}}."),
        "fewer": (f"{{E}} {verb} {{k}} fewer {{item}} than {{F}}.", f"{{E}} {verb} {{k}} {{item}} fewer than {{F}}."),
        "times": (f"{{E}} {verb} {{times}} as many {{item}} as {{F}}.",),
        "part": (f"{{E}} {verb} {{part}} as many {{item}} as {{F}}.",),
        "given": (f"{{E}} {verb} {{k}} {{item}}.",),
    } | own


FAMILIES: tuple[Family, ...] = (
    Family(
        "harvest",
        PEOPLE,
        ("apples", "pears", "plums", "melons"),
        ("crates", "baskets"),
        ("jars of jam", "pies"),
        "picked",
        _common(
            "picked",
            groups=("{E} filled {n} {box} with {k} {item} each.", "{E} picked {n} {box} of {k} {item}."),
            loose=("{E} filled {n} {box} with {k} {item} each and picked {m} more by hand.",),
            dozen=("{E} picked {n} dozen {item}.",),
            pool=("{all} bring their {item} to one cart.", "What {all} picked goes to the market."),
            used=("{k} of the {item} on the cart are rotten and thrown away.",),
            used2=("{k} of the {item} are rotten and {m} are eaten on the way.",),
            share=("The remaining {item} are spread equally over {n} stalls.",),
            price=("Each of these {item} sells for ${k}.",),
            cost=("The place at the market costs ${k}.",),
            percent=("{k}% of these {item} are sold before noon.",),
            ratio=("For every {n} {item} they make {k} {other}.",),
        ),
        ("The orchard has {k} rows of trees.", "The drive to the market takes {k} minutes.", "{E} is {k} years old."),
    ),
    Family(
        "collection",
        PEOPLE,
        ("stamps", "marbles", "shells", "coins"),
        ("albums", "bags"),
        ("stickers", "cards"),
        "has",
        _common(
            "has",
            groups=("{E} has {n} {box} holding {k} {item} each.",),
            loose=("{E} has {n} {box} of {k} {item} and {m} loose {item}.",),
            dozen=("{E} owns {n} dozen {item}.",),
            pool=("{all} put their {item} together.",),
            used=("They give {k} of these {item} to a friend.",),
            used2=("They lose {k} of these {item} and give {m} away.",),
            share=("They split what they have equally into {n} boxes.",),
            price=("Every one of these {item} is worth ${k}.",),
            cost=("They pay a fee of ${k} out of that money.",),
            percent=("{k}% of these {item} come from abroad.",),
            ratio=("A shop trades {k} {other} for every {n} {item}.",),
        ),
        ("{E}'s room is {k} square meters large.", "The museum opens at {k} o'clock.", "{E} has {k} cousins."),
    ),
    Family(
        "reading",
        PEOPLE,
        ("pages",),
        ("chapters", "booklets"),
        ("notes", "drawings"),
        "read",
        _common(
            "read",
            groups=("{E} read {n} {box} of {k} {item} each.", "{E} read {k} {item} a day for {n} days."),
            loose=("{E} read {k} {item} a day for {n} days and {m} {item} on the last evening.",),
            week=("{E} read {k} {item} every day for {n} weeks.",),
            pool=("The teacher adds up the {item} of {all}.",),
            used=("{k} of all these {item} do not count because they are pictures.",),
            used2=("{k} of all these {item} are pictures and {m} are empty.",),
            share=("The rest was the same for each of the {n} school weeks.",),
            minutes=("Each of these {item} takes {k} minutes to read.",),
            percent=("{k}% of these {item} are from novels.",),
            ratio=("For every {n} {item} the class writes {k} {other}.",),
        ),
        ("The library has {k} shelves.", "{E} goes to bed at {k} o'clock.", "A book costs ${k}."),
    ),
    Family(
        "bakery",
        PEOPLE,
        ("rolls", "cookies", "muffins", "buns"),
        ("trays", "sheets"),
        ("cakes", "cups of coffee"),
        "baked",
        _common(
            "baked",
            groups=("{E} baked {n} {box} with {k} {item} on each.",),
            loose=("{E} baked {n} {box} of {k} {item} and {m} extra {item}.",),
            dozen=("{E} baked {n} dozen {item}.",),
            pool=("The {item} of {all} go into the shop window.",),
            used=("{k} of the {item} in the window are burnt and taken out.",),
            used2=("{k} of the {item} are burnt and the bakers eat {m}.",),
            share=("The rest are packed equally into {n} bags.",),
            price=("Each of these {item} costs ${k}.",),
            cost=("The flour costs ${k}.",),
            minutes=("Wrapping one of these takes {k} minutes.",),
            percent=("{k}% of these {item} are sweet.",),
            ratio=("The shop sells {k} {other} for every {n} {item}.",),
        ),
        ("The oven is heated to {k} degrees.", "The bakery opens at {k} in the morning.", "{E} wears size {k} shoes."),
    ),
    Family(
        "travel",
        PEOPLE,
        ("miles", "kilometers"),
        ("trips", "rides"),
        ("liters of fuel", "stops"),
        "drove",
        _common(
            "drove",
            groups=("{E} drove {n} hours at {k} {item} per hour.", "{E} made {n} {box} of {k} {item}."),
            loose=("{E} drove {n} hours at {k} {item} per hour and then {m} {item} through town.",),
            week=("{E} drove {k} {item} every day for {n} weeks.",),
            pool=("The company adds up the {item} of {all}.",),
            used=("{k} of those {item} are private.",),
            used2=("{k} of those {item} are private and {m} are not counted.",),
            share=("The counted {item} are divided equally among {n} cars.",),
            price=("The company pays ${k} for each of these {item}.",),
            cost=("From this money ${k} go to repairs.",),
            percent=("{k}% of these {item} are on highways.",),
            ratio=("The cars need {k} {other} for every {n} {item}.",),
        ),
        ("The speed limit is {k}.", "{E}'s car has {k} seats.", "The garage is {k} years old."),
    ),
    Family(
        "workshop",
        PEOPLE,
        ("chairs", "lamps", "toys", "frames"),
        ("shifts", "batches"),
        ("screws", "labels"),
        "made",
        _common(
            "made",
            groups=("{E} worked {n} {box} and made {k} {item} in each.",),
            loose=("{E} made {n} {box} of {k} {item} and {m} single {item}.",),
            dozen=("{E} made {n} dozen {item}.",),
            pool=("The {item} of {all} are brought to the store room.",),
            used=("{k} of the stored {item} are faulty.",),
            used2=("{k} of the stored {item} are faulty and {m} are kept as samples.",),
            share=("The good ones are loaded equally onto {n} trucks.",),
            price=("Each of these {item} brings ${k}.",),
            cost=("The wood costs ${k}.",),
            minutes=("Painting each of these takes {k} minutes.",),
            percent=("{k}% of these {item} are ordered from abroad.",),
            ratio=("They need {k} {other} for every {n} {item}.",),
        ),
        ("The workshop has {k} windows.", "{E} started there {k} years ago.", "Lunch lasts {k} minutes."),
    ),
    Family(
        "savings",
        PEOPLE,
        ("dollars",),
        ("weeks", "months"),
        ("points", "tokens"),
        "saved",
        _common(
            "saved",
            groups=(
                "{E} saved {k} {item} in each of {n} {box}.",
                "{E} worked {n} hours for {k} {item} an hour and saved it all.",
            ),
            loose=("{E} saved {k} {item} in each of {n} {box} and got {m} {item} from grandma.",),
            week=("{E} saved {k} {item} a day for {n} weeks.",),
            pool=("{all} put their {item} into one box.",),
            used=("They spend {k} {item} from the box.",),
            used2=("They spend {k} {item} on food and {m} {item} on tickets.",),
            share=("What is in the box then is split equally among {n} children.",),
            cents=("They change this amount into cents.",),
            percent=("{k}% of this money is for the trip.",),
            ratio=("The bank gives {k} {other} for every {n} {item}.",),
        ),
        ("The bank is {k} blocks away.", "{E} has {k} brothers.", "The box weighs {k} grams."),
    ),
    Family(
        "tiles",
        PEOPLE,
        ("tiles", "bricks", "boards"),
        ("walls", "floors"),
        ("bags of glue", "nails"),
        "laid",
        _common(
            "laid",
            groups=("{E} laid {n} rows of {k} {item}.",),
            loose=("{E} laid {n} rows of {k} {item} and {m} {item} along the edge.",),
            dozen=("{E} laid {n} dozen {item}.",),
            pool=("The owner counts the {item} of {all}.",),
            used=("{k} of the counted {item} break.",),
            used2=("{k} of the counted {item} break and {m} are taken out again.",),
            share=("The rest are the same number in each of {n} rooms.",),
            price=("Each of these {item} costs ${k}.",),
            cost=("The shop takes ${k} off the bill.",),
            minutes=("Cleaning each of these takes {k} minutes.",),
            percent=("{k}% of these {item} are blue.",),
            ratio=("They use {k} {other} for every {n} {item}.",),
        ),
        ("The house number is {k}.", "The house has {k} doors.", "{E} drinks {k} cups of tea."),
    ),
    Family(
        "garden",
        PEOPLE,
        ("flowers", "bulbs", "bushes"),
        ("beds", "pots"),
        ("liters of water", "stakes"),
        "planted",
        _common(
            "planted",
            groups=("{E} planted {n} {box} with {k} {item} in each.",),
            loose=("{E} planted {n} {box} of {k} {item} and {m} {item} along the path.",),
            dozen=("{E} planted {n} dozen {item}.",),
            pool=("The gardener counts the {item} of {all}.",),
            used=("{k} of them dry up.",),
            used2=("{k} of them dry up and rabbits eat {m}.",),
            share=("The rest stand in {n} equal groups.",),
            price=("Each of these {item} is worth ${k}.",),
            cost=("The soil costs ${k}.",),
            percent=("{k}% of these {item} are red.",),
            ratio=("They need {k} {other} for every {n} {item}.",),
        ),
        ("The fence is {k} meters long.", "{E} has {k} watering cans.", "It rained on {k} days."),
        held_out=True,
    ),
    Family(
        "fishing",
        (
            "The Anna",
            "The Bella",
            "The Clara",
            "The Dora",
            "The Emma",
            "The Flora",
            "The Greta",
            "The Hanna",
            "The Ida",
            "The Julia",
        ),
        ("fish", "crabs", "eels"),
        ("nets", "barrels"),
        ("kilograms of ice", "tins"),
        "caught",
        _common(
            "caught",
            groups=("{E} pulled in {n} {box} with {k} {item} in each.",),
            loose=("{E} pulled in {n} {box} of {k} {item} and hooked {m} more.",),
            dozen=("{E} caught {n} dozen {item}.",),
            pool=("In the harbor the catch of {all} is put together.",),
            used=("{k} of the {item} are too small and go back to the sea.",),
            used2=("{k} of the {item} are too small and {m} are for the crew.",),
            share=("The rest go to {n} restaurants in equal parts.",),
            price=("A restaurant pays ${k} for each of these {item}.",),
            cost=("The harbor fee is ${k}.",),
            minutes=("Cleaning each of these takes {k} minutes.",),
            percent=("{k}% of these {item} are smoked.",),
            ratio=("They need {k} {other} for every {n} {item}.",),
        ),
        ("The pier is {k} meters long.", "The captain is {k} years old.", "The boat has {k} lamps."),
        held_out=True,
    ),
)
