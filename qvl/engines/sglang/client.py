"""SGLang as a policy: /generate. qvl serve sets what keeps its log-probs raw and its image cache empty."""

from pathlib import Path
from typing import Any, ClassVar

from qvl.engines import weights
from qvl.engines.protocol import Engine, Prompt, Sample, Sampling, Score
from qvl.errors import EndpointError

GENERATE = "/generate"


class Policy(Engine):
    """Of a sampled prompt SGLang tells the number of tokens, and of a scored one the text's ids."""

    PAUSE: ClassVar = ("/pause_generation", {"mode": "retract"})
    RESUME: ClassVar = ("/continue_generation", {})
    SLEEP: ClassVar = ("/release_memory_occupation", {})
    WAKE: ClassVar = ("/resume_memory_occupation", {})

    def sampling_request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict]:
        drawn = {
            "max_new_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k or -1,
        }
        if sampling.seed is not None:
            drawn["sampling_seed"] = sampling.seed
        body = {**_body(prompt, drawn), "top_logprobs_num": sampling.top_logprobs}
        return GENERATE, body

    def score_request(self, prompt: Prompt, top: int) -> tuple[str, dict]:
        body = _body(prompt, {"max_new_tokens": 0, "temperature": 0})
        return GENERATE, {**body, "logprob_start_len": 0, "top_logprobs_num": top}

    def read_sample(self, said: Any, expanded: list[int], sampling: Sampling) -> Sample:
        told = said["meta_info"]
        _check_length(expanded, told["prompt_tokens"])
        spans = told.get("weight_versions") or []
        whole = [(told.get("weight_version", self.version), 0, len(said["output_ids"]))]
        return Sample(
            prompt_ids=expanded,
            token_ids=said["output_ids"],
            logprobs=[each[0] for each in told["output_token_logprobs"]],
            top=[_pairs(row) for row in told["output_top_logprobs"]]
            if sampling.top_logprobs
            else [],
            finish_reason=told["finish_reason"]["type"],
            versions=[(each["version"], each["start"], each["end"]) for each in spans] or whole,
            of_policy=sampling.is_plain,
        )

    def read_score(self, said: Any, expanded: list[int], top: int) -> Score:
        told = said["meta_info"]
        rows = told["input_token_logprobs"]
        _check_length(expanded, len(rows))
        pads = self.rules.pads
        for place, (ours, row) in enumerate(zip(expanded, rows, strict=True)):
            if ours != row[1] and ours not in pads:  # which are told as hashes
                raise EndpointError(
                    f"the engine read another prompt: at {place} it has {row[1]}, and we {ours}"
                )
        return Score(
            prompt_ids=expanded,
            logprobs=[
                None if token in pads else row[0] for token, row in zip(expanded, rows, strict=True)
            ],
            top=[_pairs(row) for row in told["input_top_logprobs"][1:]] if top else [],
            version=told.get("weight_version", self.version),
        )

    def _hold(self) -> None:
        """An update waits by itself for what is in flight. A pause would let that go on after it: half
        of an answer by the old weights, half by the new ones."""

    def _release(self) -> None:
        """See _hold."""

    def _load(self, folder: Path, version: str) -> None:
        said = self._order(weights.UPDATE, weights.update_body(folder, version))
        if not said.get("success"):
            raise EndpointError(str(said.get("message")))


def _body(prompt: Prompt, sampling: dict[str, Any]) -> dict[str, Any]:
    return {
        "input_ids": list(prompt.token_ids),
        "image_data": list(prompt.images) or None,
        "video_data": list(prompt.videos) or None,
        "sampling_params": sampling,
        "return_logprob": True,
    }


def _pairs(row: Any) -> list[tuple[int, float]]:
    return [(token, logprob) for logprob, token, _ in row or []]


def _check_length(expanded: list[int], length: int) -> None:
    if len(expanded) != length:
        raise EndpointError(
            f"the engine read another prompt: {length} tokens where there are {len(expanded)}"
        )
