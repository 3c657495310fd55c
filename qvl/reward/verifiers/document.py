"""Document parsing: the similarity of text by edit distance, and of tables by TEDS.

    similarity = (1 - w) text + w tables,   reward = similarity, or 0 if it is below 0.5

- text = 1 - Levenshtein / the longer length, of the text outside the tables in reading order, ignoring
  markup, case, runs of spaces and Unicode form (NFKC);
- tables = the sum of the TEDS of the best one-to-one pairs, over the larger number of tables;
- TEDS = 1 - edit distance of the trees / the larger number of nodes (Zhong et al. 2020, Image-based
  table recognition, arXiv 1911.10683). The nodes are the table, its rows and its cells. Changing a cell
  costs the Levenshtein distance of the texts over the longer length, or 1 if the spans differ. The distance
  is Selkow's (1977): a row is inserted or deleted with all of its cells. It is never less than the general
  tree edit distance;
- w = the share of the characters of both sides that are in tables.

So extra text costs as much as missing text. The threshold is that of ANLS: any two texts of a language have
something in common, which earns nothing. The answer is HTML, QwenVL-HTML, Markdown or a mixture, and a
response may use another of these: layout, positions and pictures are not judged. The document is the text
after the thinking, or the content of <answer>, or of a code fence that encloses the whole text.
"""

from functools import lru_cache
from typing import Any

from qvl.errors import need
from qvl.reward import Unverifiable, reference
from qvl.reward.reading.document_markup import Document, Table, read
from qvl.reward.reading.matching import share
from qvl.reward.verifiers.ocr import form
from qvl.text.thinking import answer_text

THRESHOLD = 0.5  # ANLS's
MARKUP = 10  # how many times longer than the reference a response may be, for its tags; our choice
SPARE = 10_000  # characters in addition to that; our choice
MAX_CELLS = 2000  # in all tables of a reference; our choice


def score(record: dict, response: dict) -> float:
    """The similarity from 0 to 1, or 0 if it is below THRESHOLD or the response is far too long."""
    answer = reference(record)
    if not isinstance(answer, str) or not _characters(_gold(answer)):
        raise Unverifiable(f"answer: expected a document, got {answer!r}"[:200])
    gold = _gold(answer)
    if sum(_cells(table) for table in gold.tables) > MAX_CELLS:
        raise Unverifiable(f"the answer's tables have more than {MAX_CELLS:,} cells")
    text = extract(response)
    if len(text) > MARKUP * len(answer) + SPARE:
        return 0.0
    value = similarity(gold, read(text))
    return value if value >= THRESHOLD else 0.0


def extract(response: dict) -> str:
    """The document in a response."""
    text = answer_text(response)
    end = text.rfind("</answer>")
    begin = text.rfind("<answer>", 0, max(end, 0))
    if begin >= 0:
        text = text[begin + len("<answer>") : end]
    text = text.strip()
    first, _, rest = text.partition("\n")
    if first.startswith("```") and rest.endswith("```"):
        return rest[: -len("```")].strip()
    return text


def similarity(gold: Document, found: Document) -> float:
    """The similarity of two documents, from 0 to 1, before the threshold."""
    in_tables = sum(_table_characters(one) for one in (gold, found))
    total = _characters(gold) + _characters(found)
    weight = in_tables / total if total else 0.0
    value = 0.0
    if weight < 1:
        value += (1 - weight) * _alike(form(" ".join(gold.text)), form(" ".join(found.text)))
    if weight > 0:
        pairs = [[teds(one, other) for other in found.tables] for one in gold.tables]
        value += weight * share(pairs)
    return min(value, 1.0)


def teds(gold: Table, found: Table) -> float:
    """The TEDS of two tables, from 0 to 1; 0 if one has more than twice the nodes of the other."""
    nodes = [1 + len(table) + _cells(table) for table in (gold, found)]
    if gold == found:
        return 1.0
    if max(nodes) > 2 * min(nodes):
        return 0.0
    rows = _row_distances(gold, found)
    sizes = [1 + len(row) for row in found]
    above = [0.0]
    for size in sizes:
        above.append(above[-1] + size)
    for row, distances in zip(gold, rows, strict=True):
        current = [above[0] + 1 + len(row)]
        for j, size in enumerate(sizes):
            missing, extra = above[j + 1] + 1 + len(row), current[j] + size
            current.append(min(missing, extra, above[j] + distances[j]))
        above = current
    return max(1 - above[-1] / max(nodes), 0.0)


def _row_distances(gold: Table, found: Table) -> list[list[float]]:
    """The edit distance of the cells of each row of `gold` and each row of `found`, computed at once.

    Rows are padded to the longest one; the distance of a pair is read at the end of both.
    """
    numpy = need("numpy")
    costs = _cell_costs(gold, found)  # (R, C, r, c): rows and cells of gold, of found
    _, width, _, other = costs.shape
    last = numpy.empty((width + 1, other + 1, len(gold), len(found)), dtype=numpy.float32)
    last[:, 0] = numpy.arange(width + 1)[:, None, None]
    last[0] = numpy.arange(other + 1)[:, None, None]
    for i in range(width):
        for j in range(other):
            beside = numpy.minimum(last[i, j + 1], last[i + 1, j]) + 1
            last[i + 1, j + 1] = numpy.minimum(beside, last[i, j] + costs[:, i, :, j])
    ends = numpy.array([len(row) for row in gold]), numpy.array([len(row) for row in found])
    rows = numpy.arange(len(gold)), numpy.arange(len(found))
    index = ends[0][:, None], ends[1][None], rows[0][:, None], rows[1][None]
    return last[index].tolist()


def _cell_costs(gold: Table, found: Table) -> Any:
    """What it costs to change a cell into another: an array (R, C, r, c)."""
    numpy = need("numpy")
    process = need("rapidfuzz.process")
    levenshtein = need("rapidfuzz.distance").Levenshtein
    grids = []
    for table in (gold, found):
        width = max(len(row) for row in table)
        texts = [form(cell.text) for row in table for cell in row]
        spans = [(cell.columns, cell.rows) for row in table for cell in row]
        places = [i * width + j for i, row in enumerate(table) for j in range(len(row))]
        grids.append((texts, spans, places, (len(table), width)))
    (a_texts, a_spans, a_places, a_shape), (b_texts, b_spans, b_places, b_shape) = grids
    near = process.cdist(
        a_texts, b_texts, scorer=levenshtein.normalized_distance, dtype=numpy.float32
    )
    same = (numpy.array(a_spans)[:, None] == numpy.array(b_spans)[None]).all(axis=-1)
    costs = numpy.ones((a_shape[0] * a_shape[1], b_shape[0] * b_shape[1]), dtype=numpy.float32)
    costs[numpy.ix_(a_places, b_places)] = numpy.where(same, near, 1.0)
    return costs.reshape(*a_shape, *b_shape)


def _alike(gold: str, found: str) -> float:
    if not gold and not found:
        return 1.0
    levenshtein = need("rapidfuzz.distance").Levenshtein
    return levenshtein.normalized_similarity(gold, found)


@lru_cache(64)
def _gold(answer: str) -> Document:
    return read(answer)


def _cells(table: Table) -> int:
    return sum(map(len, table))


def _table_characters(document: Document) -> int:
    return sum(len(cell.text) for table in document.tables for row in table for cell in row)


def _characters(document: Document) -> int:
    return sum(map(len, document.text)) + _table_characters(document)
