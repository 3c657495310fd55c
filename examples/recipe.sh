#!/usr/bin/env bash
# The whole recipe once, on a laptop: from raw data to a trained, served and evaluated model.
#
#     [SEED=N] examples/recipe.sh [FOLDER]
#
# FOLDER (default: demo) receives every file: the streams, the rejects of each stage with their reasons,
# the checkpoints, logs and scores. Each stream carries its lineage: `qvl lineage FOLDER/all.jsonl.zst`.
# Finished stages are skipped, so the script can be stopped and started again at any point.
#
# The stages are those of the Qwen3-VL report (arXiv 2511.21631, sections 4.1 and 4.2.1). The numbers
# below are our choice: they make a model of 1.1 million parameters learn on two CPU cores in minutes.
set -euo pipefail

folder=${1:-demo}
seed=${SEED:-0}
command -v qvl >/dev/null || {
    printf 'qvl is not on the PATH: run make setup, then PATH="$PWD/.venv/bin:$PATH" %s\n' "$0" >&2
    exit 2
}
mkdir -p "$folder"
cd "$folder"
[ -e seed ] || echo "$seed" >seed
[ "$(cat seed)" = "$seed" ] || { echo "$folder has files of SEED=$(cat seed): give another FOLDER" >&2; exit 2; }

# Operations of so small a model are faster in one thread, and two ranks have a core each.
export OMP_NUM_THREADS=1
# Shares of the stages, in records.
looks=tiny/card-given=1,tiny/card-find=1,tiny/card-where=2
boxes=tiny/card-given=1,tiny/card-find=1,tiny/card-where=2,tiny/card-ground=3
all=tiny/digit=12,tiny/add=7.2,tiny/sum=4,tiny/logic=0.36,tiny/count=0.36,tiny/photo=0.36
all+=,tiny/card-list=0.4,tiny/card-find=0.5,tiny/card-where=0.6,tiny/card-ground=1.2
# Held-out accuracies below which this script fails: 200 questions each, so a figure is right to some 4 points,
# and other seeds and other processors give other models (docs/twin.md). A recipe that is broken is below these.
demanded=(card-find=0.9 card-where=0.9 card-ground=0.9 digit=0.75 add=0.8 sum=0.8)

say() { printf '\n== %s\n' "$1" >&2; }

say "Make a tiny Qwen3-VL, and raw data with the defects of raw data"
[ -d base ] || qvl tiny model base --seed "$seed"
[ -d data ] || qvl tiny data data --test 2000 --seed "$seed"

say "Curate: filter questions and answers, remove duplicates"
[ -e curated.jsonl.zst ] ||
    qvl filter-queries data/raw.jsonl.zst --rejects rejected-queries.jsonl.zst |
    qvl filter-responses --rejects rejected-responses.jsonl.zst |
    qvl score-responses --min correctness=1 --rejects rejected-scores.jsonl.zst |
    qvl dedup --near 0.9 --media-root data --rejects rejected-duplicates.jsonl.zst |
    qvl shuffle -o curated.jsonl.zst

# The report mixes 1/3 text with 2/3 multimodal (`qvl mix --ratio sft`), for a model that can see and
# read. This one must first learn to. It learns to look up a card by its name only in steps, each of
# which the next one needs: lists whose names are given, where the place is the very next token after the
# name; questions about one card; boxes; and everything, with some of the earlier stages, or they are
# forgotten.
say "Mix the stages of a curriculum, and pack each to a context length"
stage() { # NAME RATIO
    [ -e "$1.jsonl.zst" ] ||
        qvl mix --by source --ratio "$2" curated.jsonl.zst --rejects "rejected-$1.jsonl.zst" |
        qvl pack --model base --context 1k --loss-weight sqrt --media-root data -o "$1.jsonl.zst"
}
stage given tiny/card-given=1
stage looks "$looks"
stage boxes "$boxes"
stage all "$all"

say "Fine-tune with Megatron-core on two ranks, and write a Hugging Face folder"
[ -e trained/model.safetensors ] ||
    qvl sft --model base --nproc 2 --media-root data -o trained --resume --batch 2 \
        --lr 2e-3 --schedule wsd --decay-share 0.5 --min-lr-ratio 0.05 --warmup-steps 30 \
        --weight-decay 0.05 --beta2 0.98 --log-every 200 --seed "$seed" \
        --curriculum given.jsonl.zst looks.jsonl.zst boxes.jsonl.zst \
        all.jsonl.zst all.jsonl.zst all.jsonl.zst

say "Serve and evaluate: the untrained model, then the trained one"
[ -e before.json ] ||
    qvl serve base --port 0 -- \
        qvl eval data/test.jsonl.zst --max-tokens 48 -o before.jsonl.zst --resume --report before.json
qvl serve trained --port 0 -- \
    qvl eval data/test.jsonl.zst --max-tokens 48 -o after.jsonl.zst --resume --report after.json \
        --baseline before.json "${demanded[@]/#/--min=tiny/}"

say "See what it sees"
qvl tiny sheet after.jsonl.zst --media-root data -o sheet.png

say "Where the training data came from: read, kept, rejected"
qvl lineage all.jsonl.zst >&2
printf '\n%s holds all of it; %d seconds.\n' "$folder" "$SECONDS" >&2
