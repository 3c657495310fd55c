"""The client of SGLang: /generate. The flags of qvl serve keep its log-probs raw, its image cache empty."""

from pathlib import Path
from typing import Any, ClassVar

from qvl.engines import weights
from qvl.engines.client import EngineClient
from qvl.engines.tokens import Completion, PromptLogprobs, SamplingParams, TokensPrompt
from qvl.errors import EndpointError

GENERATE_ROUTE = "/generate"


class SglangClient(EngineClient):
    """SGLang reports the length of a sampled prompt, and the ids of a scored one (pads as hashes)."""

    PAUSE: ClassVar = ("/pause_generation", {"mode": "retract"})
    RESUME: ClassVar = ("/continue_generation", {})
    SLEEP: ClassVar = ("/release_memory_occupation", {})
    WAKE: ClassVar = ("/resume_memory_occupation", {})

    def generate_request(self, prompt: TokensPrompt, params: SamplingParams) -> tuple[str, dict]:
        sampling = {
            "max_new_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k or -1,
        }
        if params.seed is not None:
            sampling["sampling_seed"] = params.seed
        body = {**_body(prompt, sampling), "top_logprobs_num": params.top_logprobs}
        return GENERATE_ROUTE, body

    def prompt_logprobs_request(
        self, prompt: TokensPrompt, top: int, last: int
    ) -> tuple[str, dict]:
        body = _body(prompt, {"max_new_tokens": 0, "temperature": 0})
        # From the first token on, as only then are the prompt's ids in the answer.
        return GENERATE_ROUTE, {**body, "logprob_start_len": 0, "top_logprobs_num": top}

    def parse_completion(
        self, body: Any, expanded: list[int], params: SamplingParams
    ) -> Completion:
        info = body["meta_info"]
        _check_length(expanded, info["prompt_tokens"])
        spans = info.get("weight_versions") or []
        version = info.get("weight_version", self.weight_version)
        return Completion(
            prompt_ids=expanded,
            token_ids=body["output_ids"],
            logprobs=[each[0] for each in info["output_token_logprobs"]],
            top_logprobs=[_pairs(row) for row in info["output_top_logprobs"]]
            if params.top_logprobs
            else [],
            finish_reason=info["finish_reason"]["type"],
            weight_versions=[(each["version"], each["start"], each["end"]) for each in spans]
            or [(version, 0, len(body["output_ids"]))],
            is_plain=params.is_plain,
        )

    def parse_prompt_logprobs(
        self, body: Any, expanded: list[int], top: int, last: int
    ) -> PromptLogprobs:
        info = body["meta_info"]
        rows = info["input_token_logprobs"]
        _check_length(expanded, len(rows))
        pads = self.rules.pads
        for place, (ours, row) in enumerate(zip(expanded, rows, strict=True)):
            if ours != row[1] and ours not in pads:
                raise EndpointError(
                    f"the engine read another prompt: at position {place} it has {row[1]}, "
                    f"expected {ours}"
                )
        tops = info["input_top_logprobs"] if top else [None] * len(rows)
        places = list(zip(expanded, rows, tops, strict=True))[-last:]
        best = [_pairs(row) for _, _, row in places]
        return PromptLogprobs(
            prompt_ids=expanded,
            logprobs=[None if token in pads else row[0] for token, row, _ in places],
            top_ids=[[token for token, _ in row] for row in best] if top else [],
            top_logprobs=[[value for _, value in row] for row in best] if top else [],
            weight_version=info.get("weight_version", self.weight_version),
        )

    def _pause_for_update(self) -> None:
        """Nothing: an update waits for the requests in flight by itself. After a pause they would go
        on with the new weights, and half of a completion would come from either."""

    def _resume_after_update(self) -> None:
        """Nothing, as in _pause_for_update."""

    def _load_weights(self, folder: Path, version: str) -> None:
        answer = self._command(weights.UPDATE_ROUTE, weights.update_body(folder, version))
        if not answer.get("success"):
            raise EndpointError(str(answer.get("message")))


def _body(prompt: TokensPrompt, sampling: dict[str, Any]) -> dict[str, Any]:
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
            f"the engine read another prompt: {length} tokens, expected {len(expanded)}"
        )
