"""The second step of an evaluation: the final answer of each response, in its field `extracted`.

Rules read it as the record's verifier does, or a model does, from the response without the reference. The third
step, `scoring`, judges `extracted` where a response has it.
"""

from dataclasses import dataclass

from qvl.evaluate.metrics import answer_text
from qvl.judge import Judge, Judgment
from qvl.judge.material import Section, conversation
from qvl.pending import Gather
from qvl.reward.verdict import extracted
from qvl.stage import Drop
from qvl.text import answers


def by_rules(record: dict, verifier: str | None = None) -> dict:
    """The record whose responses have `extracted`, by the verifier of its task or by the given one."""
    return {
        **record,
        "responses": [
            {**each, "extracted": extracted(record, each, verifier)}
            for each in record.get("responses") or []
        ],
    }


@dataclass(frozen=True)
class ByModel:
    """Lets a model extract the answers of a record; `submit` is work for qvl.stage.submit_each."""

    judge: Judge

    def submit(self, record: dict) -> Gather:
        """The pending record. A response whose extraction failed keeps the reason as `extraction_error`."""
        given = record.get("responses") or []
        sections = conversation(record)
        asked = [
            self.judge.submit(f"{record['id']}/{at}", [*sections, _section(response)])
            for at, response in enumerate(given)
        ]

        def combine(found: list[Judgment]) -> dict:
            pairs = zip(given, found, strict=True)
            return {**record, "responses": [_extracted(*pair) for pair in pairs]}

        return Gather(asked, combine)

    def counts(self, result: dict | Drop) -> tuple[int, int, str]:
        """The number of extractions, the number of errors among them, and the record's name."""
        if isinstance(result, Drop):
            return 0, 0, ""
        wrong = sum("extraction_error" in each for each in result["responses"])
        return len(result["responses"]), wrong, f"record {result['id']!r}"


def _section(response: dict) -> Section:
    return Section("response", answers.of_response(response).content)


def _extracted(response: dict, judgment: Judgment) -> dict:
    kept = {k: v for k, v in response.items() if k not in ("extracted", "extraction_error")}
    if judgment.error:
        return {**kept, "extraction_error": judgment.error}
    answer = judgment.values.get("answer", "").strip()
    return {**kept, "extracted": answer if judgment.values["found"] and answer else None}


def as_judged(response: dict) -> dict:
    """The response as a verifier is to see it: its extracted answer in place of its text.

    A response whose answer is null has given none; it is judged as an empty one.
    """
    if "extracted" not in response:
        return response
    answer = response["extracted"]
    content = "" if answer is None else answer_text(answer)
    return {**response, "content": content, "reasoning_content": None}
