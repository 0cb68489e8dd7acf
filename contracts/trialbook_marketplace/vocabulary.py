"""The words of the dataset generator. Within a theme no word stands in two of the three item lists."""

from __future__ import annotations

from itertools import product
from types import MappingProxyType

from msgspec import Struct


class Theme(Struct, frozen=True):
    """Words of one theme; items are ``<adjective> <main> <form>``, ``places`` ends a description."""

    adjectives: tuple[str, ...]
    mains: tuple[str, ...]
    forms: tuple[str, ...]
    amenities: tuple[str, ...]
    places: tuple[str, ...]

    def items(self) -> list[str]:
        """Every composed item name, in list order."""
        return [" ".join(words) for words in product(self.adjectives, self.mains, self.forms)]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_DINING = (
    "Onsite Parking",
    "Live Music",
    "Takes Reservations",
    "Private Dining",
    "Wheelchair Accessible",
    "Children's Menu",
    "Outdoor Seating",
    "Large Groups",
    "Happy Hour",
    "Free Wifi",
)

THEMES = MappingProxyType(
    {
        "mexican": Theme(
            adjectives=_words(
                "Smoky Crispy Zesty Roasted Charred Spicy Golden Tangy Rustic Braised Grilled Creamy Pickled "
                "Toasted Glazed Loaded"
            ),
            mains=_words(
                "Chicken Bean Avocado Pork Shrimp Mushroom Pepper Cactus Squash Beef Cheese Potato Plantain "
                "Tomatillo Spinach Turkey"
            ),
            forms=_words(
                "Taco Burrito Quesadilla Enchilada Tamale Tostada Empanada Fajita Torta Flauta Gordita Chalupa"
            ),
            amenities=_DINING,
            places=("cantina", "taqueria", "family kitchen", "street-food counter"),
        ),
        "bakery": Theme(
            adjectives=_words(
                "Warm Braided Frosted Sugared Buttered Spiced Layered Dusted Twisted Rolled Sliced Candied "
                "Whipped Salted Folded Drizzled"
            ),
            mains=_words(
                "Walnut Cherry Almond Apple Blueberry Cinnamon Pumpkin Lemon Pistachio Chocolate Rhubarb Fig "
                "Hazelnut Caramel Coconut Ginger"
            ),
            forms=_words("Tart Loaf Scone Muffin Brioche Danish Turnover Galette Strudel Bagel Cookie Eclair"),
            amenities=_DINING,
            places=("bakery", "pastry counter", "coffee house", "corner bakehouse"),
        ),
        "contractors": Theme(
            adjectives=_words(
                "Emergency Seasonal Complete Express Certified Routine Weekend Insulated Custom Annual Partial "
                "Modern Historic Discreet"
            ),
            mains=_words(
                "Kitchen Bathroom Roof Window Chimney Basement Deck Fence Gutter Driveway Boiler Staircase "
                "Ceiling Balcony"
            ),
            forms=_words(
                "Repair Inspection Installation Cleaning Painting Replacement Upgrade Survey Sealing Restoration"
            ),
            amenities=(
                "Written Estimate",
                "Liability Insurance",
                "Evening Appointments",
                "Debris Removal",
                "Two Year Warranty",
                "Online Booking",
                "Background Checks",
                "Senior Discount",
                "Same Day Visit",
                "Payment Plan",
            ),
            places=("workshop", "family business", "crew of tradespeople", "home service"),
        ),
    }
)

FIRST_NAMES = _words(
    "Ines Milan Aisha Tomas Leila Bruno Chiara Dmitri Esme Farid Greta Hugo Imani Jonas Kira Luca Maren Nadia "
    "Oscar Priya Quentin Rosa Samir Talia Umberto Vera Wanda Xavier Yara Zeno Anton Beatriz Cyrus Dalia Emil "
    "Freya Gaspar Hana Ivo Jasmin Kofi Linnea Mateo Noor Olga Pablo Rania Stefan Tamara Ulla Viktor Wren Ximena "
    "Yusuf Zelda Arlo Bianca Caspian Delphine Elio"
)
LAST_NAMES = _words(
    "Okafor Lindqvist Moreau Takeda Alvarez Novak Haddad Brennan Castellano Duarte Eklund Fischer Galanis "
    "Hoffmann Ivanova Jimenez Kowalski Laurent Mbeki Nakamura Orlov Petrov Quispe Rosen Santoro Tanaka Ueda "
    "Vasquez Weiss Xu Yilmaz Zimmer Abara Bergstrom Conti Dvorak Espinoza Farouk Grimaldi Hansen Idris Jansen "
    "Kaplan Lombardi Mancini Nilsen Oyelaran Pereira Qureshi Rinaldi Sorensen Teixeira Ulrich Varga Wolff "
    "Xiong Yamada Zhang Ahlberg Bianchi"
)
BUSINESS_FIRST = _words(
    "Copper Velvet Marble Juniper Cobalt Willow Amber Saffron Granite Indigo Lantern Meadow Nimbus Onyx Poppy "
    "Quartz Raven Silver Thistle Umber Violet Walrus Yonder Zephyr Anchor Birch Cedar Driftwood Ember Falcon "
    "Garnet Harbor Ivory Jade Kestrel Laurel Magnolia Nectar Opal Pebble"
)
BUSINESS_SECOND = _words(
    "Kettle Table Courtyard Spoon Hearth Pantry Terrace Fork Corner Garden Cellar Porch Platter Bridge Parlor "
    "Oven Market Lodge Plaza Ladle Barrel Stove Orchard Alcove Bench Canopy Deckhouse Exchange Fountain Gallery "
    "Hall Inn Junction Keep Landing Mill Nook Outpost Pavilion Quarter"
)

REQUESTS = (
    "I would like to order {items}. The place must offer {amenities}. Every item and every amenity is required.",
    "Please find a place that serves {items} and has {amenities}. Both the items and the amenities are required.",
    "I am looking for {items}, from a place with {amenities}. All items and all amenities are required.",
    "Today I want {items}. It is required that one place serves all of it and that the place offers {amenities}.",
)
DESCRIPTIONS = (
    "A {place} where the {item} is made to order every day.",
    "Neighbors come to this {place} for the {item} and stay for the company.",
    "This {place} keeps a short list of favorites, among them the {item}.",
    "An unhurried {place} run by two siblings; ask about the {item}.",
)
