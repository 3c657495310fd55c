#!/usr/bin/env bash
# The whole recipe once, on a laptop: from raw data to a trained, served and evaluated model.
#
#     examples/recipe.sh [FOLDER]
#
# FOLDER (default: demo) receives every file: the streams, the rejects of each stage with their reasons,
# the checkpoints, logs and scores. Each stream carries its lineage: `qvl lineage FOLDER/packed.jsonl.zst`.
# Finished stages are skipped, so the script can be stopped and started again at any point.
#
# The stages are those of the Qwen3-VL report (arXiv 2511.21631, sections 4.1 and 4.2.1). The numbers
# below are our choice: they make a model of 1.1 million parameters learn on two CPU cores in minutes.
set -euo pipefail

folder=${1:-demo}
mkdir -p "$folder"
cd "$folder"

say() { printf '\n== %s\n' "$1" >&2; }

say "Make a tiny Qwen3-VL, and raw data with the defects of raw data"
[ -d base ] || qvl tiny model base
[ -d data ] || qvl tiny data data --test 2000

say "Curate: filter questions and answers, remove duplicates"
[ -e curated.jsonl.zst ] ||
    qvl filter-queries data/raw.jsonl.zst --rejects rejected-queries.jsonl.zst |
    qvl filter-responses --rejects rejected-responses.jsonl.zst |
    qvl score-responses --min correctness=1 --rejects rejected-scores.jsonl.zst |
    qvl dedup --near 0.9 --media-root data --rejects rejected-duplicates.jsonl.zst -o curated.jsonl.zst

# The report mixes 1/3 text with 2/3 multimodal (`qvl mix --ratio sft`), for a model that has been
# pre-trained on text. This one has not, and must learn to add: half of each.
say "Mix, and pack to a context length"
[ -e packed.jsonl.zst ] ||
    qvl shuffle curated.jsonl.zst |
    qvl mix --ratio text=1,multimodal=1 --rejects rejected-mix.jsonl.zst |
    qvl pack --model base --context 1k --loss-weight sqrt --media-root data -o packed.jsonl.zst

say "Fine-tune with Megatron-core on two ranks, and write a Hugging Face folder"
[ -e trained/model.safetensors ] ||
    qvl sft --model base --nproc 2 --media-root data -o trained --resume \
        --epochs 3 --batch 2 --lr 1.5e-3 --min-lr-ratio 0.05 --warmup-steps 50 \
        --weight-decay 0.05 --beta2 0.98 --log-every 200 packed.jsonl.zst

say "Serve and evaluate: the untrained model, then the trained one"
[ -e before.json ] ||
    qvl serve base --port 0 -- \
        qvl eval data/test.jsonl.zst --max-tokens 48 -o before.jsonl.zst --resume --report before.json
qvl serve trained --port 0 -- \
    qvl eval data/test.jsonl.zst --max-tokens 48 -o after.jsonl.zst --resume --report after.json \
        --baseline before.json --min tiny/digit=0.85 --min tiny/add=0.9 --min tiny/sum=0.9

say "Where the training data came from: read, kept, rejected"
qvl lineage packed.jsonl.zst >&2
printf '\n%s holds all of it; %d seconds.\n' "$folder" "$SECONDS" >&2
