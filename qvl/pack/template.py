"""The chat template and tokenizer of a checkpoint, without transformers."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from qvl.errors import UserError, need
from qvl.model.shape import existing


class Template:
    """Renders messages as transformers' apply_chat_template does, in the same jinja environment."""

    def __init__(self, source: str) -> None:
        sandbox = need("jinja2.sandbox", extra="train")
        environment = sandbox.ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _refuse
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        self._template = environment.from_string(source)

    def __call__(
        self, messages: list[dict], tools: list[dict] | None = None, *, prompt: bool = False
    ) -> str:
        """The text of a conversation. `prompt`: followed by the start of the next assistant turn.

        ValueError if the template refuses the messages.
        """
        errors = need("jinja2", extra="train")
        try:
            return self._template.render(
                messages=sound(messages), tools=tools or None, add_generation_prompt=prompt
            )
        except (errors.TemplateError, TypeError) as error:
            raise ValueError(str(error)) from None


def sound(messages: list[dict]) -> list[dict]:
    """The messages with "" for a content that is null, as it may be beside tool calls: Qwen3-VL's
    template looks for parts in it."""
    return [{**each, "content": ""} if each.get("content") is None else each for each in messages]


def load_template(model: Path) -> Template:
    """The chat template of a Hugging Face folder, from any of the files that may have it."""
    path = existing(model) / "chat_template.jinja"
    if path.is_file():
        return Template(path.read_text(encoding="utf-8"))
    for name in ("chat_template.json", "tokenizer_config.json"):
        path = model / name
        source = json.loads(path.read_bytes()).get("chat_template") if path.is_file() else None
        if isinstance(source, str):
            return Template(source)
    raise UserError(f"{model}: no chat template (chat_template.jinja)")


def load_tokenizer(model: Path) -> Any:
    """The `tokenizers.Tokenizer` of a Hugging Face folder."""
    tokenizers = need("tokenizers", extra="train")
    path = existing(model) / "tokenizer.json"
    if not path.is_file():
        raise UserError(f"{path}: not found")
    return tokenizers.Tokenizer.from_file(str(path))


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    raise need("jinja2", extra="train").TemplateError(message)
