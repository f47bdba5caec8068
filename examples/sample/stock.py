"""What the seed library has, and who has borrowed what: kept in memory, and forgotten when the site stops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum


@dataclass(frozen=True, slots=True)
class Seed:
    """A kind of seed. `plant` is the id of its picture, `sow` and `crop` are said in months."""

    slug: str
    name: str
    latin: str
    sow: str
    crop: str
    given_by: str
    about: str

    @property
    def plant(self) -> str:
        """Where its picture is."""
        return f"/public/plants/{self.slug}.svg"


SEEDS = {
    seed.slug: seed
    for seed in (
        Seed(
            "poppy",
            "Ladybird Poppy",
            "Papaver commutatum",
            "Mar to May",
            "Jun to Aug",
            "the school garden",
            "Scatter it where you like it and never dig there again. It comes back, with friends.",
        ),
        Seed(
            "runner-bean",
            "Painted Lady Bean",
            "Phaseolus coccineus",
            "May to Jun",
            "Aug to Oct",
            "Mr Okafor, plot 14",
            "Grown on this lane since before the lane had a name. Red and white, and eaten by everybody.",
        ),
        Seed(
            "sunflower",
            "Tall Tolly Sunflower",
            "Helianthus annuus",
            "Apr to May",
            "Aug to Sep",
            "the Tolly twins",
            "The record stands at 3.42 m, measured from the gutter. Stake it before you brag about it.",
        ),
        Seed(
            "carrot",
            "Crooked Mile Carrot",
            "Daucus carota",
            "Mar to Jul",
            "Jul to Nov",
            "plot 3, on stony ground",
            "It forks, it bends, it has knees. It tastes better than anything straight.",
        ),
        Seed(
            "pea",
            "Half Past Six Pea",
            "Pisum sativum",
            "Feb to May",
            "Jun to Aug",
            "the night nurse at number 9",
            "Picked at half past six in the morning, gone by seven. Nobody has ever seen one cooked.",
        ),
        Seed(
            "pumpkin",
            "Wheelbarrow Pumpkin",
            "Cucurbita maxima",
            "Apr to May",
            "Sep to Oct",
            "the fire brigade",
            "Named for how it leaves the garden. Give it the compost heap and stand back.",
        ),
        Seed(
            "tomato",
            "Window Sill Tomato",
            "Solanum lycopersicum",
            "Feb to Apr",
            "Jul to Oct",
            "flat 4b",
            "Bred over nine years on one window sill by somebody who had no garden and did not mind.",
        ),
        Seed(
            "moonflower",
            "Station Road Moonflower",
            "Ipomoea alba",
            "Apr to May",
            "Jul to Oct, after dark",
            "found in a coat",
            "Opens at dusk, in about a minute, while you watch. One packet is left in the world.",
        ),
    )
}


class Lent(Enum):
    """What became of a wish to borrow."""

    YES = "yes"
    HAS_IT = "has it already"
    NONE_LEFT = "none left"
    LAST_ONE = "the last packet is lent by hand"
    UNKNOWN = "no such seed"


@dataclass(slots=True)
class Library:
    """The packets on the counter, and the shelves of the members, by their names."""

    packets: dict[str, int] = field(
        default_factory=lambda: {slug: 1 if slug == "moonflower" else 6 + len(slug) for slug in SEEDS}
    )
    shelves: dict[str, list[str]] = field(default_factory=lambda: {"bob": ["pea"], "alice": ["poppy", "carrot"]})

    calls: Counter[str] = field(default_factory=Counter)
    """How often each person's call of `/try/` was executed."""

    def shelf(self, person: str) -> list[Seed]:
        """What somebody has at home."""
        return [SEEDS[slug] for slug in self.shelves.get(person, [])]

    def borrow(self, person: str, slug: str) -> Lent:
        """Take one packet home, unless it is the last one of a kind that exists once."""
        if slug not in SEEDS:
            return Lent.UNKNOWN
        if slug in self.shelves.get(person, []):
            return Lent.HAS_IT
        if slug == "moonflower":
            return Lent.LAST_ONE
        if self.packets[slug] == 0:
            return Lent.NONE_LEFT
        self.packets[slug] -= 1
        self.shelves.setdefault(person, []).append(slug)
        return Lent.YES

    def give_back(self, person: str, slug: str) -> bool:
        """Bring a packet back; whether there was one."""
        shelf = self.shelves.get(person, [])
        if slug not in shelf:
            return False
        shelf.remove(slug)
        self.packets[slug] += 1
        return True

    def restock(self, slug: str, packets: int) -> bool:
        """Count the packets of a kind anew; whether there is such a kind."""
        if slug not in SEEDS or not 0 <= packets <= 999:
            return False
        self.packets[slug] = packets
        return True
