"""The local engine through its real server, against transformers' own generate."""

import asyncio
import base64
import json
import re
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import videos

from qvl.media import video, video_patches

WORDS = ["hi", "what is this", "a rather longer question, to be padded against", "7+8=", "z" * 60]


def post(served, body, path="/v1/chat/completions"):
    """(status, answer)"""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(served.url + path, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def ask(served, content, **sampling):
    """The response to one request; greedy by default."""
    messages = [{"role": "user", "content": content}]
    body = {"messages": messages, "temperature": 0, "return_token_ids": True, **sampling}
    status, answer = post(served, body)
    assert status == 200, answer
    return answer


def tokens(answer):
    return [choice["token_ids"] for choice in answer["choices"]]


def text(answer):
    return answer["choices"][0]["message"]["content"]


def data_uri(path):
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def with_image(reference, words="what?"):
    return [
        {"type": "image_url", "image_url": {"url": reference}},
        {"type": "text", "text": words},
    ]


def with_video(reference, words="what?"):
    return [{"type": "video", "video": reference}, {"type": "text", "text": words}]


def load(folder) -> Any:
    from transformers import Qwen3VLForConditionalGeneration

    return Qwen3VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def reference(twin):
    """transformers' own greedy generation of a user's turn: token ids, the end included."""
    import transformers
    from PIL import Image

    tokenizer = transformers.AutoTokenizer.from_pretrained(twin)
    model = load(twin)
    processor = transformers.AutoImageProcessor.from_pretrained(twin, backend="pil")
    pad = tokenizer.convert_tokens_to_ids("<|image_pad|>")
    vision = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    beyond = list(range(len(tokenizer), model.config.text_config.vocab_size))

    def generate(words, paths=(), max_tokens=24):
        marks = "<|vision_start|><|image_pad|><|vision_end|>" * len(paths)
        turn = f"<|im_start|>user\n{marks}{words}<|im_end|>\n<|im_start|>assistant\n"
        ids, inputs = tokenizer(turn)["input_ids"], {}
        if paths:
            inputs = dict(processor([Image.open(path) for path in paths], return_tensors="pt"))
            counts = iter((inputs["image_grid_thw"].prod(-1) // 4).tolist())
            ids = [t for i in ids for t in ([i] * next(counts) if i == pad else [i])]
        ids = torch.tensor([ids])
        if paths:
            inputs["mm_token_type_ids"] = (ids == pad).int()
        out = model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            max_new_tokens=max_tokens,
            suppress_tokens=tokenizer.convert_tokens_to_ids(vision) + beyond,
            **inputs,
        )
        return out[0, ids.shape[1] :].tolist()

    return generate


def test_greedy_answers_equal_transformers_generate(served, reference):
    for words in WORDS:
        answer = ask(served, words, max_tokens=24)
        assert tokens(answer) == [reference(words)]


def test_greedy_answers_about_images_equal_transformers_generate(served, reference, media):
    small, wide = media / "small.png", media / "wide.png"
    answer = ask(served, with_image(data_uri(small)), max_tokens=24)
    assert tokens(answer) == [reference("what?", [small])]
    both = with_image(data_uri(wide), "and?")[:1] + with_image("small.png", "and?")
    answer = ask(served, both, max_tokens=24)
    assert tokens(answer) == [reference("and?", [wide, small])]
    assert answer["usage"]["prompt_tokens"] == len(answer["prompt_token_ids"])


def test_greedy_answers_about_videos_equal_transformers_generate(served, twin, media):
    """With an image, and with other requests in the batch: the ids show that prompts are not mixed up."""
    from PIL import Image
    from transformers import AutoImageProcessor, AutoTokenizer

    videos.write(media / "a.mp4", 30)
    for i in range(3):
        Image.fromarray(videos.frame(i, 64, 96, seed=1)).save(media / f"frame{i}.png")
    frames = [f"frame{i}.png" for i in range(3)]
    rules = video_patches.load_rules(twin)
    clips = [video.read(each, media) for each in ("a.mp4", frames)]
    found = [rules.patches(clip) for clip in clips]
    marks = [rules.marks(clip, grid) for clip, (_, grid) in zip(clips, found, strict=True)]
    look = "<|vision_start|>{}<|vision_end|>".format
    image = look("<|image_pad|>" * 8)
    turn = f"<|im_start|>user\n{look(marks[0])}{image}{look(marks[1])}what?<|im_end|>\n"
    ids = AutoTokenizer.from_pretrained(twin)(turn + "<|im_start|>assistant\n")["input_ids"]
    picture = AutoImageProcessor.from_pretrained(twin, backend="pil")(
        [Image.open(media / "wide.png")], return_tensors="pt"
    )
    model, tokens_in = load(twin), torch.tensor([ids])
    kinds = (tokens_in == model.config.image_token_id).long()
    kinds += 2 * (tokens_in == model.config.video_token_id).long()
    out = model.generate(
        input_ids=tokens_in,
        attention_mask=torch.ones_like(tokens_in),
        mm_token_type_ids=kinds,
        **picture,
        pixel_values_videos=torch.cat([torch.from_numpy(patches) for patches, _ in found]),
        video_grid_thw=torch.tensor([grid for _, grid in found]),
        do_sample=False,
        max_new_tokens=12,
        suppress_tokens=[model.config.image_token_id, model.config.video_token_id],
    )[0, len(ids) :].tolist()
    content = [
        {"type": "video_url", "video_url": {"url": "a.mp4"}},
        {"type": "image", "image": "wide.png"},
        *with_video(frames),
    ]
    with ThreadPoolExecutor(3) as pool:
        others = [
            pool.submit(ask, served, each, max_tokens=12)
            for each in ("hi", with_image("small.png"), with_video("a.mp4"))
        ]
        answer = ask(served, content, max_tokens=12)
    assert answer["prompt_token_ids"] == ids
    assert tokens(answer) == [out]
    for each, alone in zip(
        others, ("hi", with_image("small.png"), with_video("a.mp4")), strict=True
    ):
        assert tokens(each.result()) == tokens(ask(served, alone, max_tokens=12))


def test_requests_together_get_what_they_get_alone(served, media):
    """Rows of all lengths join and leave the batch, images among them."""
    asked = [(words, {"max_tokens": 3 + 7 * (i % 5)}) for i, words in enumerate(WORDS * 4)]
    asked += [(with_image("wide.png", str(i)), {"max_tokens": 9 + i}) for i in range(6)]
    asked += [(f"{i}?", {"temperature": 1.0, "seed": i, "max_tokens": 20}) for i in range(8)]
    asked += [
        (f"{i}!", {"temperature": 0.7, "top_p": 0.8, "top_k": 20, "seed": i, "max_tokens": 20})
        for i in range(8)
    ]
    alone = [tokens(ask(served, words, **sampling)) for words, sampling in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        together = pool.map(lambda each: tokens(ask(served, each[0], **each[1])), asked)
        assert list(together) == alone


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


def test_logprobs_are_the_model_s(served, twin):
    answer = ask(served, "l", max_tokens=6, logprobs=True, top_logprobs=3)
    model = load(twin)
    prompt, (row,) = answer["prompt_token_ids"], tokens(answer)
    with torch.no_grad():
        logprobs = model(torch.tensor([prompt + row])).logits[0].log_softmax(-1)
    content = answer["choices"][0]["logprobs"]["content"]
    for i, (token, entry) in enumerate(zip(row, content, strict=True)):
        wanted = logprobs[len(prompt) - 1 + i]
        assert entry["logprob"] == pytest.approx(float(wanted[token]), abs=1e-4)
        top = [each["logprob"] for each in entry["top_logprobs"]]
        assert top == pytest.approx(wanted.topk(3).values.tolist(), abs=1e-4)


def test_a_stream_has_the_content_of_a_whole_response(served):
    sampling = {"temperature": 1.0, "seed": 11, "max_tokens": 40, "stop": "zz"}
    whole = ask(served, "s", **sampling)
    messages = [{"role": "user", "content": "s"}]
    usage = {"stream_options": {"include_usage": True}}
    body = json.dumps({"messages": messages, "stream": True, **sampling, **usage}).encode()
    with urllib.request.urlopen(served.url + "/v1/chat/completions", body) as answer:
        events = [line[6:] for line in answer.read().decode().splitlines() if line]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks[-1]["usage"] == whole["usage"]
    assert [chunk.keys() for chunk in chunks] == [chunks[0].keys()] * len(chunks)
    choices = [chunk["choices"][0] for chunk in chunks[:-1]]
    assert "".join(choice["delta"].get("content", "") for choice in choices) == text(whole)
    assert choices[-1]["finish_reason"] == whole["choices"][0]["finish_reason"]
    assert len(choices) > 5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user"}, 3]}, "messages[1]"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10_000}, "context length is"),
        ({"n": 1000}, "n:"),
        ({"stop": [""]}, "stop"),
        ({"top_logprobs": 3}, "logprobs: true"),
        ({"temprature": 1}, "temprature"),
        ({"messages": [{"role": "user", "content": "x " * 20_000}]}, "context length"),
        ({"messages": [{"role": "user", "content": "<|image_pad|>"}]}, "image_pad"),
        ({"messages": [{"role": "user", "content": with_image("../x.png")}]}, "leaves"),
        ({"messages": [{"role": "user", "content": with_image("absent.png")}]}, "absent.png"),
        ({"messages": [{"role": "user", "content": with_image("http://h/x.png")}]}, "remote"),
        ({"messages": [{"role": "user", "content": with_image("data:;base64,AA==")}]}, "image"),
        ({"messages": [{"role": "user", "content": [{"type": "video_url"}]}]}, "video_url"),
        ({"messages": [{"role": "user", "content": with_video(["x.png", "../y.png"])}]}, "x.png"),
        ({"messages": [{"role": "user", "content": with_video("data:;base64,AA==")}]}, "video"),
        ({"messages": [{"role": "user", "content": "<|video_pad|>"}]}, "video_pad"),
        ({"regex": "(a"}, "unclosed group"),
        ({"regex": "a", "structured_outputs": {"regex": "b"}}, "only one of them"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"structured_outputs": {"json": {"type": "nosuch"}}}, "nosuch"),
    ],
)
def test_a_bad_request_is_an_error_that_says_what_is_wrong(served, change, words):
    body = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 1, **change}
    status, answer = post(served, body)
    assert status == 400
    assert words in answer["error"]["message"]
    assert answer["error"]["type"] == "invalid_request_error"


def test_other_models_paths_and_bodies_are_refused_in_openai_s_shape(served):
    status, answer = post(served, {"model": "gpt", "messages": [{"role": "user", "content": "x"}]})
    assert status == 404
    assert "'twin'" in answer["error"]["message"]
    assert post(served, {}, "/v1/nothing")[0] == 404
    assert "not JSON" in post(served, b"{")[1]["error"]["message"]


def test_a_client_that_disconnects_frees_the_engine(served):
    """The rows of a client that disconnects are dropped, and the server goes on."""

    async def disconnect():
        host, port = served.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        messages = [{"role": "user", "content": "x"}]
        body = json.dumps({"messages": messages, "n": 64, "max_tokens": 1900}).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        await asyncio.sleep(0.3)
        writer.close()

    asyncio.run(disconnect())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: ask(served, str(i), max_tokens=4), range(8)))
    assert len(answers) == 8
