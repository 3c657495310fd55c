"""OCRBench: right if the answer contains a reference, without regard to case and line feeds.

Formulas are compared without any spaces (arXiv 2305.07895 and its code). For evaluation only: as a reward,
an answer that says everything it sees would always be right.
"""

from qvl.reward import Unverifiable, reference
from qvl.text.thinking import answer_text

COMPARES_WORDS = True
FORMULAS = "Handwritten Mathematical Expression Recognition"
KINDS = ("category", "question_type", "type")  # columns that name it


def score(record: dict, response: dict) -> float:
    """1 if the answer contains any of the references, else 0."""
    wanted = reference(record)
    texts = [str(each) for each in (wanted if isinstance(wanted, list) else [wanted])]
    if not any(each.strip() for each in texts):
        raise Unverifiable("the record has no reference answer")
    is_formula = FORMULAS in [record.get(name) for name in KINDS]
    answer = _form(answer_text(response), is_formula)
    return float(any(_form(each, is_formula) in answer for each in texts if each.strip()))


def extract(response: dict) -> str:
    return answer_text(response)


def _form(text: str, is_formula: bool) -> str:
    if is_formula:
        return "".join(text.split())
    return text.casefold().strip().replace("\n", " ")
