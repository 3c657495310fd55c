"""The page as one script, one style sheet and one HTML file, made of the files in `page`.

The modules of the script are joined here, so that neither the wheel nor a user needs Node.js, and the page
can be one file that is opened from a disk, where a browser loads no modules. A module becomes a function
that returns what it exports. Two forms are understood, one per line, and a test holds the modules to them:

    import { a, b as c } from "./other.js";
    export function f(   export const x   export class C   export { a as b };
"""

import base64
import functools
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).parent / "page"
MAIN = "app.js"

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([^"]+)";$', re.M)
_EXPORTED = re.compile(r"^export ((?:async )?function|const|let|class) (\w+)", re.M)
_LIST = re.compile(r"export\s*\{([^}]*)\};?\s*$")

HTML = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
{head}
<body><div id="app"></div>
{body}
"""


@functools.cache
def script() -> str:
    """All modules as one script."""
    done: list[str] = []
    seen: set[str] = set()

    def add(name: str) -> None:
        if name in seen:
            return
        seen.add(name)
        source = (PAGE / name).read_text(encoding="utf-8")
        folder = name.rpartition("/")[0]
        for _, other in _IMPORT.findall(source):
            add(f"{folder}/{other}" if folder else other)
        done.append(_as_function(name, source))

    add(MAIN)
    return '"use strict";\nconst modules = {};\n' + "\n".join(done)


@functools.cache
def style() -> str:
    return (PAGE / "app.css").read_text(encoding="utf-8")


def served() -> str:
    """The page that a server sends; script and style are files beside it."""
    head = '<link rel="stylesheet" href="app.css">\n<link rel="icon" href="data:,">'
    return HTML.format(title="qvl view", head=head, body='<script src="app.js"></script>')


def one_file(title: str, data: str) -> str:
    """The page with everything in it. data: JSON, which the page reads and does not run."""
    code, sheet = _unclosed(script()), _unclosed(style())
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(sheet)}'; "
        f"script-src '{_hash(code)}'; base-uri 'none'; form-action 'none'"
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{sheet}</style>'
    safe = data.replace("<", "\\u003c")
    body = f'<script id="data" type="application/json">{safe}</script>\n<script>{code}</script>'
    plain = title.replace("&", "&amp;").replace("<", "&lt;")
    return HTML.format(title=plain, head=head, body=body)


def _as_function(name: str, source: str) -> str:
    exports = {public: public for _, public in _EXPORTED.findall(source)}
    listed = _LIST.search(source)
    if listed:
        for each in listed[1].split(","):
            inner, _, outer = each.strip().partition(" as ")
            exports[outer or inner] = inner
        source = source[: listed.start()]
    source = _EXPORTED.sub(r"\1 \2", source)
    folder = name.rpartition("/")[0]

    def taken(match: re.Match[str]) -> str:
        names = match[1].replace(" as ", ": ").strip()
        other = f"{folder}/{match[2]}" if folder else match[2]
        return f'const {{ {names} }} = modules["{other}"];'

    source = _IMPORT.sub(taken, source)
    given = ", ".join(f"{outer}: {inner}" for outer, inner in exports.items())
    return f'modules["{name}"] = (() => {{\n{source}\nreturn {{ {given} }};\n}})();'


def _unclosed(text: str) -> str:
    """A text that cannot end the element that holds it."""
    assert "</script" not in text.lower() and "</style" not in text.lower()
    return text


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
