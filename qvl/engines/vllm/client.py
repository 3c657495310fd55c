"""vLLM as a policy: /inference/v1/generate, which needs --enable-scale-out, as qvl serve passes it."""

from pathlib import Path
from typing import Any, ClassVar

from qvl.engines.protocol import Engine, Prompt, Sample, Sampling, Score, check_expansion

GENERATE = "/inference/v1/generate"


class Policy(Engine):
    """Log-probs are vLLM's raw ones, which is its default."""

    PAUSE: ClassVar = ("/pause?mode=wait", {})
    RESUME: ClassVar = ("/resume", {})
    SLEEP: ClassVar = ("/sleep?level=1", {})
    WAKE: ClassVar = ("/wake_up", {})
    BIAS: ClassVar = -100.0  # of what is never to be drawn; log-probs are without it

    def sampling_request(self, prompt: Prompt, sampling: Sampling) -> tuple[str, dict]:
        drawn = {
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "logprobs": sampling.top_logprobs,
        }
        if self.BIAS:
            drawn["logit_bias"] = dict.fromkeys(map(str, self.rules.never_sampled), self.BIAS)
        if sampling.seed is not None:
            drawn["seed"] = sampling.seed
        return GENERATE, _body(prompt, drawn)

    def score_request(self, prompt: Prompt, top: int) -> tuple[str, dict]:
        return GENERATE, _body(prompt, {"max_tokens": 1, "temperature": 0, "prompt_logprobs": top})

    def read_sample(self, said: Any, expanded: list[int], sampling: Sampling) -> Sample:
        check_expansion(expanded, said["prompt_token_ids"])
        (choice,) = said["choices"]
        entries = choice["logprobs"]["content"]
        spans = choice.get("weight_versions") or []
        whole = [(self.version, 0, len(choice["token_ids"]))]
        return Sample(
            prompt_ids=expanded,
            token_ids=choice["token_ids"],
            logprobs=[each["logprob"] for each in entries],
            top=[
                _likeliest(
                    ((one["token_id"], one["logprob"]) for one in each["top_logprobs"]),
                    sampling.top_logprobs,
                )
                for each in entries
            ]
            if sampling.top_logprobs
            else [],
            finish_reason=choice["finish_reason"],
            versions=[(each["version"], each["start"], each["end"]) for each in spans] or whole,
            of_policy=sampling.is_plain,
        )

    def read_score(self, said: Any, expanded: list[int], top: int) -> Score:
        check_expansion(expanded, said["prompt_token_ids"])
        rows = said["prompt_logprobs"][1:]
        found = [
            None if token in self.rules.pads else row[str(token)]["logprob"]
            for token, row in zip(expanded[1:], rows, strict=True)
        ]
        likeliest = [
            _likeliest(((int(token), each["logprob"]) for token, each in row.items()), top)
            for row in rows
        ]
        spans = said["choices"][0].get("weight_versions") if said["choices"] else None
        return Score(
            prompt_ids=expanded,
            logprobs=[None, *found],
            top=likeliest if top else [],
            version=spans[0]["version"] if spans else said.get("weight_version", self.version),
        )

    def _load(self, folder: Path, version: str) -> None:
        """vLLM's own reload forgets what a CPU packs (qvl_vllm_worker.py), and leaves all three caches."""
        reload = {"method": "qvl_reload", "kwargs": {"folder": str(folder.resolve())}}
        self._order("/collective_rpc", reload)
        for path in (
            "/reset_prefix_cache?reset_running_requests=true",
            "/reset_mm_cache",
            "/reset_encoder_cache",
        ):
            self._order(path, {})
        self._order("/update_weight_version", {"new_version": version})


def _body(prompt: Prompt, sampling: dict[str, Any]) -> dict[str, Any]:
    parts = [{"type": "image_url", "url": each} for each in prompt.images]
    parts += [{"type": "video_url", "url": each} for each in prompt.videos]
    return {
        "token_ids": list(prompt.token_ids),
        "content_parts": parts or None,
        "sampling_params": sampling,
        "return_token_ids": True,
    }


def _likeliest(entries: Any, count: int) -> list[tuple[int, float]]:
    """vLLM adds the token itself where it is not among the likeliest."""
    return sorted(entries, key=lambda entry: -entry[1])[:count]
