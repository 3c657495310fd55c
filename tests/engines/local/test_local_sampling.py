"""How the local engine samples: distributions, seeds, ends of an answer, and forms that it keeps to."""

import json
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from asking import ask, load, text, tokens


def test_samples_differ_and_a_seed_repeats_them(served):
    def sampled(**more):
        return tokens(ask(served, "say", temperature=1.0, n=4, max_tokens=12, **more))

    first = sampled(seed=5)
    assert len({tuple(row) for row in first}) == 4
    assert sampled(seed=5) == first
    assert sampled(seed=6) != first
    assert sampled() != sampled()


def test_samples_follow_the_model_s_distribution(served, twin):
    """800 first tokens against the softmax: each share within 4.5 standard deviations."""
    total, sampled = 800, []
    for seed in range(8):
        answer = ask(served, "d", n=100, temperature=1.0, seed=seed, max_tokens=1)
        sampled += [row[0] for row in tokens(answer)]
    model = load(twin)
    with torch.no_grad():
        shares = model(torch.tensor([answer["prompt_token_ids"]])).logits[0, -1].softmax(-1)
    for token in shares.topk(8).indices.tolist():
        share = float(shares[token])
        deviation = (share * (1 - share) / total) ** 0.5
        assert abs(sampled.count(token) / total - share) < 4.5 * deviation + 0.005


def test_top_k_one_is_greedy(served):
    greedy = tokens(ask(served, "k", max_tokens=10))
    assert tokens(ask(served, "k", max_tokens=10, temperature=2.0, top_k=1)) == greedy
    assert tokens(ask(served, "k", max_tokens=10, temperature=2.0, top_p=1e-9)) == greedy


def test_rows_that_decode_together_get_as_many_log_probs_as_each_asked_for(served):
    wanted = [None, 0, 3, 5, 3]

    def asked(top):
        more = {} if top is None else {"logprobs": True, "top_logprobs": top}
        return ask(served, "t", temperature=1.0, seed=7, max_tokens=12, **more)["choices"][0]

    alone = [asked(top)["logprobs"] for top in wanted]
    with ThreadPoolExecutor(len(wanted)) as pool:
        together = [choice["logprobs"] for choice in pool.map(asked, wanted)]
    assert alone[0] is together[0] is None
    for top, one, other in zip(wanted[1:], alone[1:], together[1:], strict=True):
        for mine, same in zip(one["content"], other["content"], strict=True):
            assert len(mine["top_logprobs"]) == len(same["top_logprobs"]) == top
            pairs = zip([mine, *mine["top_logprobs"]], [same, *same["top_logprobs"]], strict=True)
            for each, again in pairs:
                assert each["token"] == again["token"]
                assert abs(each["logprob"] - again["logprob"]) < 1e-4


def test_max_tokens_ends_a_completion_with_finish_reason_length(served):
    answer = ask(served, "hi", max_tokens=3)
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"]["completion_tokens"] == len(tokens(answer)[0]) == 3


def test_the_end_token_stops_an_answer_and_is_not_in_its_text(served, twin):
    """64 samples of up to 200 tokens: some end by themselves."""
    ends = json.loads((twin / "generation_config.json").read_text())["eos_token_id"]
    choices = ask(served, "e", temperature=1.5, seed=0, n=64, max_tokens=200)["choices"]
    stopped = [choice for choice in choices if choice["finish_reason"] == "stop"]
    assert stopped
    for choice in stopped:
        assert choice["token_ids"][-1] in ends
        assert not set(ends) & set(choice["token_ids"][:-1])
        assert "<|im_end|>" not in choice["message"]["content"]


def test_vision_tokens_and_ids_beyond_the_tokenizer_are_never_sampled(served, twin):
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(twin)
    never = set(tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|video_pad|>"]))
    never |= set(tokenizer.convert_tokens_to_ids(["<|vision_start|>", "<|vision_end|>"]))
    answer = ask(served, "v", temperature=50.0, seed=1, n=64, max_tokens=64)
    sampled = {token for row in tokens(answer) for token in row}
    assert len(sampled) > 200
    assert not sampled & never
    assert max(sampled) < len(tokenizer)


def test_a_stop_string_ends_the_text_before_it(served):
    whole = text(ask(served, "stop", temperature=1.0, seed=3, max_tokens=40))
    stop = whole[10:13]
    answer = ask(served, "stop", temperature=1.0, seed=3, max_tokens=40, stop=["never", stop])
    assert text(answer) == whole[: whole.index(stop)]
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_a_presence_penalty_keeps_an_answer_from_repeating_itself(served):
    plain = tokens(ask(served, "p", max_tokens=40))[0]
    varied = tokens(ask(served, "p", max_tokens=40, presence_penalty=2, frequency_penalty=2))[0]
    assert len(set(varied)) > len(set(plain))


SCHEMA = {
    "type": "object",
    "properties": {
        "score": {"type": "integer", "minimum": 1, "maximum": 5},
        "ok": {"enum": [True]},
    },
    "required": ["score", "ok"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "form",
    [
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "x", "schema": SCHEMA},
            }
        },
        {"structured_outputs": {"json": SCHEMA}},
        {"structured_outputs": {"regex": r"[a-c]{3}-[0-9]{1,4}"}},
        {"regex": r"[a-c]{3}-[0-9]{1,4}"},
    ],
)
def test_structured_output_keeps_to_its_schema_and_ends_with_it(served, form):
    """With an unconstrained row in the batch, and with the log-probs of the model itself."""
    with ThreadPoolExecutor(2) as pool:
        free = pool.submit(ask, served, "hi", max_tokens=20)
        answer = ask(
            served, "hi", temperature=1, seed=1, n=16, max_tokens=60, logprobs=True, **form
        )
        assert tokens(free.result()) == tokens(ask(served, "hi", max_tokens=20))
    found = [choice["message"]["content"] for choice in answer["choices"]]
    assert len(set(found)) > 1
    for choice in answer["choices"]:
        assert choice["finish_reason"] == "stop"
        assert min(each["logprob"] for each in choice["logprobs"]["content"]) < -1
    if "json" in str(form):
        assert {json.loads(each)["score"] for each in found} <= {1, 2, 3, 4, 5}
    else:
        assert all(re.fullmatch(r"[a-c]{3}-[0-9]{1,4}", each) for each in found)
