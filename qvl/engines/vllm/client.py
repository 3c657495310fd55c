"""The client of vLLM: /inference/v1/generate, which needs --enable-scale-out, as qvl serve passes it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from qvl.engines.client import EngineClient, check_expansion
from qvl.engines.tokens import Completion, PromptLogprobs, SamplingParams, TokensPrompt

GENERATE_ROUTE = "/inference/v1/generate"


class VllmClient(EngineClient):
    """vLLM returns log-probs of the logits themselves by default."""

    PAUSE: ClassVar = ("/pause?mode=wait", {})
    RESUME: ClassVar = ("/resume", {})
    SLEEP: ClassVar = ("/sleep?level=1", {})
    WAKE: ClassVar = ("/wake_up", {})
    BIAS: ClassVar = -100.0  # of tokens that must not be sampled; log-probs do not include it

    def generate_request(self, prompt: TokensPrompt, params: SamplingParams) -> tuple[str, dict]:
        sampling = {
            "max_tokens": params.max_tokens,
            "temperature": params.temperature,
            "top_p": params.top_p,
            "top_k": params.top_k,
            "logprobs": params.top_logprobs,
        }
        if self.BIAS:
            sampling["logit_bias"] = dict.fromkeys(map(str, self.rules.never_sampled), self.BIAS)
        if params.seed is not None:
            sampling["seed"] = params.seed
        return GENERATE_ROUTE, _body(prompt, sampling)

    def prompt_logprobs_request(
        self, prompt: TokensPrompt, top: int, last: int
    ) -> tuple[str, dict]:
        sampling = {"max_tokens": 1, "temperature": 0, "prompt_logprobs": top}
        return GENERATE_ROUTE, _body(prompt, sampling)

    def parse_completion(
        self, body: Any, expanded: list[int], params: SamplingParams
    ) -> Completion:
        check_expansion(expanded, body["prompt_token_ids"])
        (choice,) = body["choices"]
        entries = choice["logprobs"]["content"]
        spans = choice.get("weight_versions") or []
        whole = [(self.weight_version, 0, len(choice["token_ids"]))]
        return Completion(
            prompt_ids=expanded,
            token_ids=choice["token_ids"],
            logprobs=[each["logprob"] for each in entries],
            top_logprobs=[
                _most_likely(
                    ((one["token_id"], one["logprob"]) for one in each["top_logprobs"]),
                    params.top_logprobs,
                )
                for each in entries
            ]
            if params.top_logprobs
            else [],
            finish_reason=choice["finish_reason"],
            weight_versions=[(each["version"], each["start"], each["end"]) for each in spans]
            or whole,
            is_plain=params.is_plain,
        )

    def parse_prompt_logprobs(
        self, body: Any, expanded: list[int], top: int, last: int
    ) -> PromptLogprobs:
        check_expansion(expanded, body["prompt_token_ids"])
        places = list(zip(expanded, body["prompt_logprobs"], strict=True))[-last:]
        pads = self.rules.pads
        # The first token of a prompt has no row.
        own = [
            None if row is None or token in pads else row[str(token)]["logprob"]
            for token, row in places
        ]
        best = [
            _most_likely(((int(each), one["logprob"]) for each, one in (row or {}).items()), top)
            for _, row in places
        ]
        spans = body["choices"][0].get("weight_versions") if body["choices"] else None
        return PromptLogprobs(
            prompt_ids=expanded,
            logprobs=own,
            top_ids=[[token for token, _ in row] for row in best] if top else [],
            top_logprobs=[[value for _, value in row] for row in best] if top else [],
            weight_version=spans[0]["version"]
            if spans
            else body.get("weight_version", self.weight_version),
        )

    def _load_weights(self, folder: Path, version: str) -> None:
        """By our worker extension: vLLM's own reload forgets what a CPU packs (qvl_vllm_worker.py).

        It leaves all three caches as they are, so they are emptied one by one.
        """
        reload = {"method": "qvl_reload", "kwargs": {"folder": str(folder.resolve())}}
        self._command("/collective_rpc", reload)
        for path in (
            "/reset_prefix_cache?reset_running_requests=true",
            "/reset_mm_cache",
            "/reset_encoder_cache",
        ):
            self._command(path, {})
        self._command("/update_weight_version", {"new_version": version})


def _body(prompt: TokensPrompt, sampling: dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "image_url", "url": each} for each in prompt.images]
    parts += [{"type": "video_url", "url": each} for each in prompt.videos]
    return {
        "token_ids": list(prompt.token_ids),
        "content_parts": parts or None,
        "sampling_params": sampling,
        "return_token_ids": True,
    }


def _most_likely(entries: Iterable[tuple[int, float]], count: int) -> list[tuple[int, float]]:
    """The first `count` in descending order; vLLM adds the token itself if it is not among them."""
    return sorted(entries, key=lambda entry: -entry[1])[:count]
