import orjson


def lines(text: str) -> list[dict]:
    return [orjson.loads(line) for line in text.splitlines()]


def test_the_first_of_each_kind_is_kept_and_the_others_name_it(sh):
    done = sh("qvl dedup records.jsonl.zst records.jsonl.zst --plain --rejects twice.jsonl")
    assert len(lines(done.stdout)) == 10
    assert "20 read, 10 kept, 10 rejected (duplicate 10)" in done.stderr
    twice = lines(sh("cat twice.jsonl").stdout)
    assert [record["reject"]["detail"] for record in twice] == [
        f"duplicate of {record['id']}" for record in twice
    ]


def ask(name: str, question: str, image: str = "", answer: str = "yes") -> dict:
    parts: list[dict] = [{"type": "text", "text": question}]
    if image:
        parts.insert(0, {"type": "image", "image": image})
    return {
        "id": name,
        "messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": answer}],
    }


def kept(sh, tmp_path, records: list[dict], flags: str = "") -> list[str]:
    (tmp_path / "in.jsonl").write_bytes(b"".join(orjson.dumps(r) + b"\n" for r in records))
    done = sh(f"qvl dedup in.jsonl --plain {flags}")
    assert done.returncode == 0, done.stderr
    return [record["id"] for record in lines(done.stdout)]


def test_another_answer_is_a_duplicate_unless_the_key_includes_answers(sh, tmp_path):
    records = [ask("a", "Is it?"), ask("b", "Is it?", answer="no")]
    assert kept(sh, tmp_path, records) == ["a"]
    assert kept(sh, tmp_path, records, "--key messages") == ["a", "b"]


def test_one_question_about_two_images_is_two_questions(sh, tmp_path):
    records = [
        ask("a", "What is it?", "1.png"),
        ask("b", "What is it?", "2.png"),
        ask("c", "What is it?"),
    ]
    assert kept(sh, tmp_path, records) == ["a", "b", "c"]
    assert kept(sh, tmp_path, records, "--near 0.8") == ["a", "b", "c"]


def test_earlier_turns_are_part_of_the_question(sh, tmp_path):
    def talk(name: str, first: str) -> dict:
        turns = [("user", first), ("assistant", "ok"), ("user", "And then?"), ("assistant", "x")]
        return {"id": name, "messages": [{"role": r, "content": c} for r, c in turns]}

    records = [
        talk("a", "Tell me of cats."),
        talk("b", "Tell me of dogs."),
        talk("c", "Tell me of cats."),
    ]
    assert kept(sh, tmp_path, records) == ["a", "b"]
    assert kept(sh, tmp_path, records, "--key 'question()'") == ["a"]


def test_images_under_another_name_are_found_by_their_appearance(sh, tmp_path):
    sh("cp images/seven.png images/again.png")
    records = [
        ask("a", "Which digit?", "images/seven.png"),
        ask("b", "Which digit?", "images/again.png"),
        ask("c", "Which digit?", "images/three.png"),
    ]
    assert kept(sh, tmp_path, records) == ["a", "b", "c"]
    assert kept(sh, tmp_path, records, "--images 4") == ["a", "c"]
    assert kept(sh, tmp_path, records, "--images 4 --near 0.9") == ["a", "c"]


def test_many_texts_of_one_template_are_compared_in_time(sh, tmp_path):
    records = [
        ask(str(n), f"How many red squares does picture {n} show?", f"{n}.png") for n in range(3000)
    ]
    assert len(kept(sh, tmp_path, records, "--near 0.8")) == 3000
    records = [ask(str(n), "How many squares?", f"{n}.png") for n in range(3000)]
    assert len(kept(sh, tmp_path, records, "--near 0.8")) == 3000


def test_two_runs_drop_the_same(sh, tmp_path):
    words = [
        "the",
        "quick",
        "brown",
        "fox",
        "jumps",
        "over",
        "a",
        "lazy",
        "dog",
        "while",
        "nobody",
        "looks",
        "at",
        "it",
    ]
    records = [ask(str(n), " ".join(words[n % 7 :] + words[: n % 5])) for n in range(300)]
    first = kept(sh, tmp_path, records, "--near 0.6")
    assert first == kept(sh, tmp_path, records, "--near 0.6")
    assert 1 < len(first) < 35
