"""A server of vLLM's route for token ids that says what a test wants, turn by turn: no model, no mocks.

It reads prompts by the checkpoint's rules, as an engine does, and returns the ids of the scripted texts.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_endpoint import Answer, FakeEndpoint

from qvl.engines.prompt_rules import PromptRules
from qvl.engines.tokens import TokensPrompt
from qvl.pack.template import load_tokenizer

ROUTES = {"paths": {"/inference/v1/generate": {}}}
END = "<|im_end|>"


def call(name: str = "image_zoom_in_tool", **arguments: Any) -> str:
    """A call as Qwen3-VL writes it."""
    import json

    body = json.dumps({"name": name, "arguments": arguments})
    return f"<tool_call>\n{body}\n</tool_call>"


class ScriptedEngine(FakeEndpoint):
    """Answers prompt after prompt by `say(text of the prompt, number of assistant turns in it)`.

    What it says ends in <|im_end|>, unless it is longer than max_tokens.
    """

    def __init__(self, model: Path, say: Callable[[str, int], str]) -> None:
        super().__init__(self._answer, ROUTES)
        self.tokenizer, self.rules, self.say = load_tokenizer(model), PromptRules.load(model), say

    def ids(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def _answer(self, body: dict, attempt: int) -> Answer:
        ids = body["token_ids"]
        images = [part["url"] for part in body.get("content_parts") or ()]
        prompt = self.tokenizer.decode(ids, skip_special_tokens=False)
        turns = prompt.count("<|im_start|>assistant")
        said = self.ids(self.say(prompt, turns) + END)
        most = body["sampling_params"]["max_tokens"]
        cut = len(said) > most
        said = said[:most]
        entries = [{"logprob": -(turns + place / 1000)} for place in range(len(said))]
        choice = {
            "token_ids": said,
            "logprobs": {"content": entries},
            "finish_reason": "length" if cut else "stop",
        }
        expanded = self.rules.expand(TokensPrompt(ids, images))
        return 200, {}, {"prompt_token_ids": expanded, "choices": [choice]}
