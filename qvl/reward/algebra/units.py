r"""Units after a value: 5\text{ cm}, $42, 12 apples, 30 km/h, 50%, 90^\circ."""

from qvl.reward.algebra.lexer import Token

# fmt: off
_KNOWN = {  # a plain unit -> its other spellings
    "mm": ("millimeter", "millimetre"), "cm": ("centimeter", "centimetre"), "dm": ("decimeter",), "m": ("meter", "metre"),
    "km": ("kilometer", "kilometre"), "nm": ("nanometer",), "in": ("inch", "inches"), "ft": ("foot", "feet"), "yd": ("yard",),
    "mi": ("mile",), "mg": ("milligram",), "g": ("gram",), "kg": ("kilogram",), "lb": ("pound", "lbs"), "oz": ("ounce",),
    "ml": ("mL", "milliliter", "millilitre"), "L": ("l", "liter", "litre"), "s": ("sec", "second"), "min": ("minute",), "ms": ("millisecond",),
    "h": ("hr", "hour"), "day": (), "week": (), "month": (), "year": ("yr",), "N": ("newton",), "J": ("joule",), "kJ": (),
    "W": ("watt",), "kW": (), "V": ("volt",), "A": ("ampere", "amp"), "Hz": ("hertz",), "kHz": (), "MHz": (), "Pa": ("pascal",),
    "kPa": (), "mol": ("mole",), "K": ("kelvin",), "C": ("coulomb",), "F": (), "T": ("tesla",), "eV": (), "MeV": (),
    "rad": ("radian",), "degree": ("deg",), "percent": ("pct", "percentage", "%"), "dollar": ("usd", "USD", "buck"),
    "cent": (), "euro": ("eur", "EUR"), "pound": ("GBP", "gbp"), "yuan": ("RMB", "元", "CNY"), "mph": (), "unit": (),
    "square unit": ("sq unit", "units squared"), "cubic unit": ("cu unit",), "厘米": (), "米": (), "千米": (), "度": (),
    "℃": ("°C", "degree Celsius"), "°F": ("degree Fahrenheit",), "yen": (), "rupee": ("Rs",), "ruble": (), "won": (), "dB": (),
}
# fmt: on
_CANONICAL = {other: unit for unit, others in _KNOWN.items() for other in (unit, *others)}
_RUNS = {unit for unit in _CANONICAL if len(unit) > 1}  # of letters that need no \text around them
_MONEY = {"dollar", "euro", "yuan", "rupee"}  # in words, before a value
_COUNTRIES = {"US", "A", "C", "HK", "NT", "S"}  # US$


def canonical(unit: str) -> str | None:
    """The standard name of a known unit; None for a word that only names things."""
    plain = unit.strip(" .")
    for each in (plain, plain.removesuffix("s"), plain.lower(), plain.lower().removesuffix("s")):
        if each in _CANONICAL:
            return _CANONICAL[each]
    parts = [part for part in plain.replace("per", "/").replace("*", "/").split("/") if part]
    if len(parts) > 1 or "^" in plain:
        known = [canonical(part.partition("^")[0]) for part in parts]
        powers = [part.partition("^")[2] for part in parts]
        if all(known):
            return "/".join(
                f"{unit}^{power or 1}" for unit, power in zip(known, powers, strict=True)
            )
    words = plain.lower().split()
    if len(words) == 2 and words[0] in ("square", "sq", "sq.", "cubic", "cu", "cu."):
        inner = canonical(words[1])
        return inner and f"{inner}^{2 if words[0].startswith('sq') else 3}"
    return None


def agree(one: str, other: str) -> bool:
    """Whether two units may be the same: known ones are, and other words are ignored."""
    first, second = canonical(one), canonical(other)
    return first is None or second is None or first == second


def split(item: list[Token]) -> tuple[list[Token], str]:
    """The tokens of a value, and its unit; "" without one.

    A letter at the end is no unit: 5c is a product. A unit stands in \\text{}, or is a word, or is known
    and follows a number.
    """
    if len(item) > 2 and item[0].text in _COUNTRIES and item[1].kind == "currency":
        return item[2:], f"{item[0].text} {item[1].text}"
    if len(item) > 1 and item[0].kind in ("text", "run") and canonical(item[0].text) in _MONEY:
        return item[1:], item[0].text
    if len(item) > 1 and item[0].kind == "currency":
        return item[1:], item[0].text
    if len(item) > 2 and item[1].kind == "currency" and item[0].text in "+-":
        return [item[0], *item[2:]], item[1].text
    end, unit = len(item), ""
    while end > 0:
        length, name = _atom(item, end)
        if not length:
            break
        end -= length
        unit = name + unit
        if end > 0 and item[end - 1].kind == "symbol" and item[end - 1].text in "/*":
            if not _atom(item, end - 1)[0]:
                break
            end -= 1
            unit = item[end].text + unit
        elif unit:
            unit = " " + unit
    unit = unit.strip()
    if not unit or end == 0 or not _is_value(item[end - 1]):
        return item, ""
    return item[:end], unit


def _atom(item: list[Token], end: int) -> tuple[int, str]:
    """The length and the name of one word of a unit that ends at `end`, such as cm or m^2."""
    power, last = "", end
    if end >= 3 and item[end - 1].kind == "number" and item[end - 2].text == "^":
        power, last = f"^{item[end - 1].text}", end - 2
    elif end >= 5 and [token.text for token in (item[end - 1], item[end - 3])] == ["}", "{"] and item[end - 4].text == "^":  # fmt: skip
        power, last = f"^{item[end - 2].text}", end - 4
    token = item[last - 1] if last else None
    if token is None or (power and not power[1:].lstrip("-").isdecimal()):
        return 0, ""
    before = item[last - 2] if last > 1 else None
    is_unit = (
        token.kind == "text"
        or (token.kind == "currency" and not power)
        or (token.kind == "run" and token.text in _RUNS and before is not None and (before.kind == "number" or before.text in "/*" or before.text == "}"))
        or (token.kind == "letter" and token.text in _CANONICAL and before is not None and _is_value(before))
        or (token.kind == "run" and token.text in ("C", "F") and before is not None and before.text == "°")
    )  # fmt: skip
    return (end - last + 1, token.text + power) if is_unit else (0, "")


def _is_value(token: Token) -> bool:
    """Whether a token may end a value that has a unit."""
    return token.kind in ("number", "name", "letter", "run") or token.text in (
        ")", "}", "]", "%", "°", "|", "!")  # fmt: skip
