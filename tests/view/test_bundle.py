"""The page's modules are joined by rules that they must keep."""

import re

import pytest

from qvl.view import bundle

MODULES = sorted(path.relative_to(bundle.PAGE) for path in bundle.PAGE.rglob("*.js"))


@pytest.mark.parametrize("name", [str(name) for name in MODULES])
def test_a_module_has_no_import_or_export_that_the_bundle_does_not_know(name):
    source = (bundle.PAGE / name).read_text(encoding="utf-8")
    for line in source.splitlines():
        if line.startswith("import"):
            assert re.fullmatch(r'import \{ [^}]+ \} from "\./[\w/.-]+";', line), line
        elif line.startswith("export"):
            pattern = r"export (async function|function|const|let|class) \w+.*|export ?\{[^}]*\};"
            assert re.fullmatch(pattern, line), line
    assert "export default" not in source and "import(" not in source


def test_the_script_holds_every_module_once_after_those_that_it_imports():
    script = bundle.script()
    places = {str(name): script.find(f'modules["{name}"] = ') for name in MODULES}
    assert all(place >= 0 for place in places.values())
    assert not re.search(r"^(import|export) ", script, re.M)
    for name in MODULES:
        for other in re.findall(r'from "\./([^"]+)"', (bundle.PAGE / name).read_text()):
            assert places[other] < places[str(name)]


def test_no_module_writes_html_or_runs_a_text():
    """Texts of records reach the page as text only."""
    for name in MODULES:
        if name.parts[0] != "vendor":
            source = (bundle.PAGE / name).read_text(encoding="utf-8")
            pattern = r"innerHTML|outerHTML|insertAdjacentHTML|dangerously|document\.write|eval\(|Function\(|\bhref\b|srcdoc"
            assert not re.search(pattern, source), name


def test_what_a_record_holds_cannot_end_the_element_that_holds_it():
    page = bundle.one_file("a < b & </title>", '{"text":"</script><script>bad()</script><!--"}')
    data = page.partition('type="application/json">')[2].partition("</script>")[0]
    assert "<" not in data
    assert "bad()" in data
    assert "<title>a &lt; b &amp; &lt;/title></title>" in page
