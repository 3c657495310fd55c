"""The local engine through its real server, against transformers' own generate."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import videos
from asking import ask, data_uri, load, tokens, with_image, with_video

from qvl.media import video, video_patches

WORDS = ["hi", "what is this", "a rather longer question, to be padded against", "7+8=", "z" * 60]


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
