#!/usr/bin/env bash
# The recipe once through, on a laptop: raw data in, a model that was trained, served and scored out.
#
#     examples/recipe.sh [FOLDER]
#
# FOLDER (default: demo) receives every file: streams, what each stage put aside and why, checkpoints,
# logs, scores. Each stream carries its lineage: `qvl lineage FOLDER/packed.jsonl.zst`. A stage that is
# done is not done again, so the script can be stopped and started at any point.
#
# Curation follows the Qwen3-VL report, section 4.2.1; the figures of the twin are our choice, and
# were chosen so that two CPU cores finish in minutes.
set -euo pipefail

folder=${1:-demo}
mkdir -p "$folder"
cd "$folder"
started=$SECONDS

say() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)) >&2; }

say "a tiny Qwen3-VL, and raw data with all the faults of raw data"
[ -d base ] || qvl tiny model base --seed 0
[ -e test.jsonl.zst ] || qvl tiny data . --seed 0

say "curate: which questions, which answers, how good, no doubles, in which mix"
[ -e sft.jsonl.zst ] ||
    qvl filter-queries raw.jsonl.zst --rejects rejects.queries.jsonl.zst |
    qvl filter-responses --rejects rejects.responses.jsonl.zst |
    qvl score-responses --min correctness=1 --rejects rejects.scores.jsonl.zst |
    qvl dedup --rejects rejects.doubles.jsonl.zst |
    qvl mix --seed 0 -o sft.jsonl.zst

say "render, tokenise and pack"
[ -e packed.jsonl.zst ] ||
    qvl pack --model base --context 1k sft.jsonl.zst -o packed.jsonl.zst

say "fine-tune on Megatron-core: two ranks, gloo"
[ -e trained/hf/model.safetensors ] ||
    qvl sft --model base --nproc 2 packed.jsonl.zst -o trained

say "serve and score, before and after"
[ -e before.json ] ||
    qvl serve base --port 0 -- qvl eval test.jsonl.zst -o before.jsonl.zst --report before.json
[ -e after.json ] ||
    qvl serve trained/hf --port 0 -- qvl eval test.jsonl.zst -o after.jsonl.zst --report after.json
