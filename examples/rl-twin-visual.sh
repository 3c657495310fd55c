#!/usr/bin/env bash
# Reinforcement learning of the CPU twin on pictures, from nothing: examples/rl.sh with its numbers.
#
#     examples/rl-twin-visual.sh [FOLDER]
#
# "Where is the red card?" The start answers at once, with the place of any card, or finds the card in a
# thought first and is right then. It is made for that: the look-up and the thought are taught first, and
# then the choice, by records of which a third have the thought and the others the hurried answers of an
# annotator who did not look. RL learns to think first. It takes about 500 seconds of processor time; the
# numbers are our choice. TRAIN and TEST are numbers of records; ONLY_DATA=1 ends before training,
# ONLY_START=1 before RL.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
mkdir -p "${1:-rl-visual-demo}"
cd "${1:-rl-visual-demo}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # more only wait for each other in a model of this size

say() { printf '\n== %s\n' "$1" >&2; }
pack() { # NAME RATIO
    [ -e "$1.jsonl.zst" ] || qvl mix --by source --ratio "$2" data/raw.jsonl.zst |
        qvl pack --model base --context 1k --loss-weight sqrt --media-root data -o "$1.jsonl.zst"
}
sft() { # MODEL OUT LR WORD...
    local from=$1 out=$2 lr=$3
    shift 3
    [ -e "$out/config.json" ] || qvl sft --model "$from" -o "$out" --resume --media-root data --batch 2 --lr "$lr" \
        --schedule wsd --decay-share 0.4 --min-lr-ratio 0.05 --warmup-steps 20 --weight-decay 0.05 \
        --beta2 0.98 --workers 0 --log-every 50 "$@"
}

say "Cards, and questions: for RL one of each picture, for the test others"
[ -d base ] || qvl tiny model base
[ -d data ] || qvl tiny data data --train "${TRAIN:-20700}" --test "${TEST:-1000}" --defect-share 0 \
    --tasks card-list=8,card-find=3,card-think=6,card-mixed=4,card-where=2
[ -e queries.jsonl.zst ] || qvl select 'source == "tiny/card-where"' data/raw.jsonl.zst |
    qvl set 'answer = messages[1].content' | qvl set 'messages = [messages[0]]' -o queries.jsonl.zst
[ -e held-out.jsonl.zst ] || qvl select 'source == "tiny/card-where"' data/test.jsonl.zst -o held-out.jsonl.zst
[ -z "${ONLY_DATA:-}" ] || exit 0

say "A start: lists, one card, the thought; then answers at once in two thirds of the records"
pack lists tiny/card-list=1
pack looks tiny/card-list=1,tiny/card-find=1
pack thoughts tiny/card-think=1
pack choice tiny/card-mixed=1
sft base thinks 2e-3 --curriculum lists.jsonl.zst lists.jsonl.zst looks.jsonl.zst thoughts.jsonl.zst
sft thinks start 1e-3 choice.jsonl.zst
[ -z "${ONLY_START:-}" ] || exit 0

export N=8 BATCH=32 STEPS=10 MAX_TOKENS=16 LR=1e-4 STALENESS=0 EVAL_EVERY=5 MEDIA=data
export SERVE_ARGS='--max-batch 256' ARGS='--eval-samples 4'
"$here/rl.sh" . start queries.jsonl.zst held-out.jsonl.zst

say "Held out: before, after 5 steps, after 10"
grep -h evaluation reasoning/log.jsonl
