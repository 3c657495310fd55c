"""The names and signs of mathematics: commands of LaTeX, functions, letters, and the signs of Unicode."""

import re
import unicodedata

# fmt: off
FUNCTIONS = {
    "sin", "cos", "tan", "sec", "csc", "cot", "sinh", "cosh", "tanh", "coth", "sech", "csch",
    "arcsin", "arccos", "arctan", "arccot", "arcsec", "arccsc", "arsinh", "arcosh", "artanh",
    "arcsinh", "arccosh", "arctanh", "ln", "log", "lg", "exp", "sqrt", "cbrt", "abs", "max", "min",
    "gcd", "lcm", "floor", "ceil", "sgn", "sign", "det", "Re", "Im", "factorial", "binom",
}
OTHER_NAMES = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "cosec": "csc", "tg": "tan", "ctg": "cot",
                "arctg": "arctan", "arcctg": "arccot", "sgn": "sign", "ceiling": "ceil", "sh": "sinh", "ch": "cosh", "th": "tanh"}
GREEK = {
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
    "pi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi",
    "Pi", "Sigma", "Upsilon", "Phi", "Psi", "Omega", "hbar", "ell", "aleph", "partial", "nabla",
}
VARIANTS = {"varepsilon": "epsilon", "vartheta": "theta", "varphi": "phi", "varrho": "rho", "varpi": "pi",
             "varsigma": "sigma", "infinity": "infty", "inf": "infty", "oo": "infty", "Infinity": "infty"}
DROPPED = {
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr", "biggl", "biggr", "Biggl", "Biggr",
    "displaystyle", "textstyle", "scriptstyle", "limits", "nolimits", "quad", "qquad", "enspace", "thinspace", "hfill",
    "middle", "bigm", "Bigm", "rm", "bf", "it", "boldsymbol", "bm", "mathbf", "mathit", "mathsf", "mathcal", "mathscr",
    "mathfrak", "mathnormal", "ensuremath", "unit", "ts", "par", "noindent", "smash", "strut", "hline", "nonumber",
    "notag", "tiny", "small", "large", "Large", "normalsize", "centering",
}
SYMBOLS = {
    "cdot": "*", "times": "*", "ast": "*", "div": "/", "pm": "±", "mp": "∓", "le": "≤", "leq": "≤", "leqslant": "≤",
    "ge": "≥", "geq": "≥", "geqslant": "≥", "lt": "<", "gt": ">", "ne": "≠", "neq": "≠", "approx": "≈", "simeq": "≈",
    "approxeq": "≈", "doteq": "≈", "in": "∈", "cup": "∪", "cap": "∩", "setminus": "∖", "backslash": "∖", "emptyset": "∅",
    "varnothing": "∅", "ldots": "…", "dots": "…", "cdots": "…", "dotsc": "…", "dotsb": "…", "vdots": "…", "ddots": "…",
    "lvert": "|", "rvert": "|", "vert": "|", "mid": "|", "Vert": "‖", "lVert": "‖", "rVert": "‖", "|": "‖", "lfloor": "⌊",
    "rfloor": "⌋", "lceil": "⌈", "rceil": "⌉", "langle": "⟨", "rangle": "⟩", "{": "⦃", "}": "⦄", "lbrace": "⦃",
    "rbrace": "⦄", "lbrack": "[", "rbrack": "]", "lparen": "(", "rparen": ")", "%": "%", "circ": "°", "degree": "°",
    "prime": "'", "to": "→", "rightarrow": "→", "implies": "→", "Rightarrow": "→", "colon": ":", "bmod": "mod", "mod": "mod",
    "land": ",", "lor": ",", "wedge": ",", "vee": ",", "equiv": "≡", "sim": "~", "cong": "≅", "ni": "∋",
    "notin": "∉", "subset": "⊂", "subseteq": "⊆", "supset": "⊃", "supseteq": "⊇", "perp": "⊥", "parallel": "∥",
    "angle": "∠", "triangle": "△", "iff": "⇔", "Leftrightarrow": "⇔", "slash": "/", "colonequals": "=", "triangleq": "=",
    "therefore": "→", "because": "→",
}
TEXTUAL = {"text", "textrm", "textbf", "textit", "textnormal", "textsf", "texttt", "mbox", "hbox", "mathrm", "operatorname",
            "textup", "emph", "mathop", "mathtt", "fbox", "underline", "textsc"}
CURRENCY = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen", "￥": "yen", "₹": "rupee", "₽": "ruble", "₩": "won"}
CURRENCY_COMMANDS = {"pounds": "pound", "euro": "euro", "yen": "yen", "textdollar": "dollar", "dollar": "dollar",
                      "EUR": "euro", "textsterling": "pound", "texteuro": "euro", "mathdollar": "dollar"}
# fmt: on
SEPARATORS = {"and", "or", "或", "和", "及", "与"}
VARIABLES = set("abckmnprtuvwxyzRVABCN")  # that may stand beside the name of a function: cosx, 2pir
NAMED = sorted({*FUNCTIONS, *OTHER_NAMES, *GREEK, *VARIANTS}, key=len, reverse=True)
_LITERAL = {
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "*",
    "·": "*",
    "⋅": "*",
    "∙": "*",
    "∗": "*",
    "÷": "/",
}
_LITERAL |= {
    "⩽": "≤",
    "⩾": "≥",
    "≦": "≤",
    "≧": "≥",
    "≃": "≈",
    "⁄": "/",
    "∕": "/",
    "º": "°",
    "˚": "°",
}
_LITERAL |= {"√": r"\sqrt ", "∛": r"\sqrt[3] ", "∞": r"\infty ", "′": "'", "’": "'", "℃": "°C"}
_LITERAL |= {"，": ",", "、": ",", "；": ";", "（": "(", "）": ")", "＝": "=", "ℝ": r"\mathbb{R}"}
_LITERAL |= {"ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}", "ℂ": r"\mathbb{C}"}
_GREEK_LETTERS = dict(zip("αβγδεζηθικλμνξπρστυφχψωΓΔΘΛΞΠΣΦΨΩϕϵ", [  # as LaTeX names them
    *["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi", "pi", "rho", "sigma", "tau"],
    *["upsilon", "phi", "chi", "psi", "omega", "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "phi", "epsilon"],
], strict=True))  # fmt: skip
_LITERAL |= {letter: f"\\{name} " for letter, name in _GREEK_LETTERS.items()}
_VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5"}
_VULGAR |= {
    "⅗": "3/5",
    "⅘": "4/5",
    "⅙": "1/6",
    "⅚": "5/6",
    "⅛": "1/8",
    "⅜": "3/8",
    "⅝": "5/8",
    "⅞": "7/8",
}
_LITERAL |= {sign: "\\frac{" + value.replace("/", "}{") + "}" for sign, value in _VULGAR.items()}
TABLE = str.maketrans(_LITERAL)
_RAISED, _LOWERED = "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "₀₁₂₃₄₅₆₇₈₉₊₋ₙ"
_PLAIN = "0123456789+-n"
_SCRIPTS = [
    (re.compile(f"[{_RAISED}]+"), "^", str.maketrans(_RAISED, _PLAIN)),
    (re.compile(f"[{_LOWERED}]+"), "_", str.maketrans(_LOWERED, _PLAIN)),
]


def with_scripts(text: str) -> str:
    """A text with x^{2} for the raised letters of Unicode, and x_{2} for the lowered."""
    for pattern, mark, table in _SCRIPTS:
        text = pattern.sub(
            lambda one, mark=mark, table=table: f"{mark}{{{one[0].translate(table)}}}", text
        )
    return text


def in_latex(text: str) -> str:
    """A text with the commands of LaTeX for the signs of Unicode, and other characters in compatible form."""
    return unicodedata.normalize("NFKC", with_scripts(text).translate(TABLE))
