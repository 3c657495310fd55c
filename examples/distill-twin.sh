#!/usr/bin/env bash
# Distillation of the CPU twin, from nothing: examples/distill.sh with its numbers.
#
#     examples/distill-twin.sh [FOLDER]
#
# The teacher, 1.1 million parameters, learns sums step by step. The student, 0.5 million, learns to read
# handwriting and to look up cards, and nothing of sums: it has a sight to lose. It is then taught sums with
# text alone, off-policy and on-policy, while a share of its own data is replayed. A control spends the
# on-policy stage's steps on more fine-tuning, and another student is taught without replay.
# The numbers are our choice. SEED=0 seeds the models and the data of both.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
mkdir -p "${1:-distill-demo}"
cd "${1:-distill-demo}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # more only wait for each other in a model of this size
seed=${SEED:-0}

say() { printf '\n== %s\n' "$1" >&2; }
sft() { # MODEL OUT MEDIA WORD...
    local from=$1 to=$2 media=$3
    shift 3
    qvl sft --model "$from" -o "$to" --resume --media-root "$media" --lr 2e-3 --workers 0 \
        --log-every 50 --seed "$seed" "$@"
}
wsd='--schedule wsd --decay-share 0.5 --min-lr-ratio 0.05 --warmup-steps 30'
read -ra wsd_words <<< "$wsd"

say "A teacher that adds up step by step"
[ -d big ] || qvl tiny model big --size xs --seed "$seed"
[ -d sums ] || qvl tiny data sums --tasks sum --train 8000 --test 200 --defect-share 0 --seed "$seed"
[ -e teacher/config.json ] || sft big teacher sums --context 1k --batch 4 --steps 240 sums/raw.jsonl.zst

say "A student that sees, and cannot add"
sight=card-list=1,card-find=1.5,card-where=2,digit=2
[ -d small ] || qvl tiny model small --size xxs --seed "$seed"
[ -d lists ] || qvl tiny data lists --tasks card-list --train 2400 --test 4 --defect-share 0 --seed "$seed"
[ -d sight ] || qvl tiny data sight --tasks "$sight" --train 9000 --test 1200 --defect-share 0 --seed "$seed"
[ -e listing/config.json ] || sft small listing lists --context 1k --batch 2 --epochs 3 lists/raw.jsonl.zst
[ -e student/config.json ] || sft listing student sight --context 1k --batch 2 --epochs 5 "${wsd_words[@]}" sight/raw.jsonl.zst

say "Teach it sums with text alone: off-policy, then on-policy, with a share of its own data"
[ -d queries ] || qvl tiny data queries --tasks sum --train 2400 --test 1 --defect-share 0 --seed $((seed + 100))
[ -e replay.jsonl.zst ] || qvl select 'source != "tiny/card-list"' sight/raw.jsonl.zst -o replay.jsonl.zst
[ -e seen.jsonl.zst ] || qvl select 'source != "tiny/card-list"' sight/test.jsonl.zst -o seen.jsonl.zst
taught() { # FOLDER REPLAY_SHARE
    CONTEXT=1k LOSS_WEIGHT=sqrt OFF_BATCH=2 OFF_STEPS=240 OFF_LR=2e-3 MAX_TOKENS=64 MEDIA=sight BATCH=64 STEPS=50 LR=1e-3 \
        STALENESS=0 EVAL_EVERY=25 REPLAY_SHARE=$2 SERVE_ARGS='--max-batch 256' \
        SFT_ARGS="$wsd --workers 0 --log-every 50" \
        "$here/distill.sh" "$1" student queries/raw.jsonl.zst sums/test.jsonl.zst replay.jsonl.zst teacher
}
taught with-replay 0.2

say "The control: more fine-tuning in place of the on-policy stage"
[ -e control/config.json ] ||
    sft with-replay/off-policy control sight --batch 2 --steps 240 "${wsd_words[@]}" --freeze vision --freeze merger \
        --interleave with-replay/packed-replay.jsonl.zst --interleave-share 0.2 with-replay/packed.jsonl.zst

say "Without replay"
[ -e without/config.json ] ||
    sft student without sight --batch 2 --steps 240 "${wsd_words[@]}" --freeze vision --freeze merger \
        with-replay/packed.jsonl.zst

say "Held out: sums, and sight"
for model in teacher student with-replay/off-policy with-replay/on-policy control without; do
    name=$(basename "$model")
    [ -e "$name-sums.json" ] ||
        qvl serve "$model" --port 0 --max-batch 256 -- \
            qvl eval sums/test.jsonl.zst --max-tokens 64 -o "$name-sums.zst" --report "$name-sums.json"
    [ -e "$name-seen.json" ] ||
        qvl serve "$model" --port 0 --max-batch 256 --media-root sight -- \
            qvl eval seen.jsonl.zst --media-root sight --max-tokens 24 -o "$name-seen.zst" --report "$name-seen.json"
done
