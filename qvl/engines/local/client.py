"""The client of the local engine: vLLM's routes, and weights loaded beside the present ones."""

from pathlib import Path
from typing import Any, ClassVar

from qvl.engines import weights
from qvl.engines.client import check_expansion
from qvl.engines.tokens import PromptLogprobs, TokensPrompt
from qvl.engines.vllm.client import VllmClient


class LocalClient(VllmClient):
    """The routes are those of qvl.engines.local.control."""

    PAUSE: ClassVar = ("/pause", {})
    SLEEP: ClassVar = ("/sleep", {})
    BIAS: ClassVar = 0.0  # it never samples the tokens of images and videos

    def prompt_logprobs_request(
        self, prompt: TokensPrompt, top: int, last: int
    ) -> tuple[str, dict]:
        route, body = super().prompt_logprobs_request(prompt, top, last)
        body["sampling_params"] |= {"max_tokens": 0, "prompt_logprobs_last": last}
        return route, body

    def parse_prompt_logprobs(
        self, body: Any, expanded: list[int], top: int, last: int
    ) -> PromptLogprobs:
        check_expansion(expanded, body["prompt_token_ids"])
        found, pads = body["prompt_logprobs"], self.rules.pads
        logprobs, ids, values = found["logprobs"], found["top_ids"], found["top_logprobs"]
        if last == len(expanded):  # the first token of a prompt has no log-prob
            logprobs, ids, values = [None, *logprobs], [[], *ids], [[], *values]
        tokens = expanded[-last:]
        return PromptLogprobs(
            prompt_ids=expanded,
            logprobs=[
                None if token in pads else each
                for token, each in zip(tokens, logprobs, strict=True)
            ],
            top_ids=ids if top else [],
            top_logprobs=values if top else [],
            weight_version=found["version"],
        )

    def _load_weights(self, folder: Path, version: str) -> None:
        self._command(weights.UPDATE_ROUTE, weights.update_body(folder, version))
