import orjson


def test_the_table_is_plain_text(sh):
    done = sh("qvl stats records.jsonl.zst")
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["records", "10"] in lines
    figures = [line[:3] for line in lines]
    assert ["image", "4", "40.0%"] in figures
    assert ["math", "2", "20.0%"] in figures
    assert ["en", "8", "80.0%"] in figures and ["zh", "1", "10.0%"] in figures
    assert ["with", "reasoning", "1", "10.0%"] in lines
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_the_object_is_for_programs(sh):
    facts = orjson.loads(
        sh("qvl stats --json --by task --by 'len(messages)' records.jsonl.zst").stdout
    )
    assert facts["records"] == 10
    assert facts["by"]["len(messages)"] == {"2": 8, "3": 1, "4": 1}
    assert facts["sizes"]["turns per record"]["max"] == 4
    assert facts["sizes"]["turns per record"]["p50"] == 2
    assert facts["having"] == {"answer": 7, "images": 4, "reasoning": 1}


def test_an_empty_stream_has_stats(sh):
    done = sh(": > empty.jsonl; qvl stats empty.jsonl")
    assert done.returncode == 0
    assert ["records", "0"] in [line.split() for line in done.stdout.splitlines()]


def test_text_of_a_record_cannot_control_the_terminal(sh):
    done = sh(r"""echo '{"id":"a","task":"\u001b[31mred\n"}' | qvl stats""")
    assert "\x1b" not in done.stdout
    assert "?[31mred?" in done.stdout


def test_a_wrong_expression_names_the_flag(sh):
    done = sh("qvl stats --by 'task ==' records.jsonl.zst")
    assert done.returncode == 2
    assert "--by: column 8" in done.stderr


def test_rewards_by_task_and_tokens_of_responses(sh):
    sh("""jq -cn '
        def answer($r; $n): {content: "x", reward: $r, num_tokens: $n};
        {id: "a", task: "math", messages: [], responses: [answer(1; 10), answer(0.2; 30)]},
        {id: "b", task: "math", messages: [], responses: [answer(1; 10), answer(null; 10)]},
        {id: "c", task: "ocr", messages: [], responses: [answer(0; 500)]}' > scored.jsonl""")
    facts = orjson.loads(sh("qvl stats --json scored.jsonl").stdout)
    assert facts["rewards"]["math"] == {
        "records": 2,
        "responses": 4,
        "judged": 3,
        "mean_reward": 0.7333,
        "pass_rate": 0.6667,
        "all_right": 1,
        "none_right": 0,
    }
    assert facts["rewards"]["ocr"]["none_right"] == 1
    bars = facts["histograms"]["tokens per response"]
    assert sum(count for _, _, count in bars) == 5
    table = [line.split() for line in sh("qvl stats scored.jsonl").stdout.splitlines()]
    assert ["math", "2", "3", "0.733", "66.7%", "1", "0"] in [line[:7] for line in table]


def test_rejects_are_counted_by_stage_and_reason(sh):
    sh("""jq -cn '{id: "a", messages: [{role: "user", content: "Hi"}], reject: {stage: "dedup", reason: "near"}},
        {id: "b", reject: {stage: "dedup", reason: "near"}}, {id: "c", reject: "odd"}' > rejects.jsonl""")
    facts = orjson.loads(sh("qvl stats --json rejects.jsonl").stdout)
    assert facts["rejects"] == {"dedup: near": 2}


def test_with_a_model_tokens_of_texts_and_images_are_counted(sh, tmp_path, twin):
    facts = orjson.loads(sh(f"qvl stats --json --model {twin} records.jsonl.zst").stdout)
    assert facts["sizes"]["tokens per record"]["count"] == 10
    assert facts["sizes"]["image tokens per record"]["count"] == 4
    # pack refuses the thought that the template does not render.
    sh("qvl select 'not has(messages[-1].reasoning_content)' records.jsonl.zst -o plain.jsonl.zst")
    counted = sh(f"qvl stats --json --model {twin} plain.jsonl.zst")
    packed = sh(f"qvl pack --model {twin} --context 4k plain.jsonl.zst | qvl stats --json")
    total, packs = (
        orjson.loads(done.stdout)["sizes"]["tokens per record"] for done in (counted, packed)
    )
    assert (packs["mean"], packs["count"]) == (total["mean"], 9)
