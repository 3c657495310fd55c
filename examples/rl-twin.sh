#!/usr/bin/env bash
# Reinforcement learning of the CPU twin, from nothing: examples/rl.sh with its numbers.
#
#     examples/rl-twin.sh [FOLDER]
#
# The start is made with a choice to learn. Of sums of six numbers 65 % are answered at once, and mostly
# wrong; the rest step by step. Of sums of four, 60 % mix languages, repeat themselves or break the format.
# Reasoning RL learns to go step by step, general RL to leave bad habits. Both are compared on held-out sums.
# About 5 minutes on two quiet cores; the numbers are our choice. ONLY_START=1 ends before RL.
set -euo pipefail

here=$(dirname "$(realpath "$0")")
mkdir -p "${1:-rl-demo}"
cd "${1:-rl-demo}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # more only wait for each other in a model of this size

say() { printf '\n== %s\n' "$1" >&2; }
sft() { # MODEL OUT STEPS LR FILE
    qvl sft --model "$1" -o "$2" --resume --context 1k --batch 4 --steps "$3" --lr "$4" --workers 0 --log-every 50 "$5"
}

say "A start: sums step by step, then answers at once and bad habits"
[ -d base ] || qvl tiny model base
[ -d sums ] || qvl tiny data sums --tasks sum --train 8000 --test 1 --defect-share 0
[ -d mixed ] || qvl tiny data mixed --tasks mixed --train 6000 --test 200 --defect-share 0
[ -d habits ] || qvl tiny data habits --tasks habits --train 3000 --test 200 --defect-share 0
[ -e start.jsonl.zst ] || qvl cat mixed/raw.jsonl.zst habits/raw.jsonl.zst | qvl shuffle -o start.jsonl.zst
[ -e general.jsonl.zst ] || qvl mix mixed/raw.jsonl.zst habits/raw.jsonl.zst --ratio 1,1 --batch-size 32 -o general.jsonl.zst
[ -e held-out.jsonl.zst ] || qvl cat mixed/test.jsonl.zst habits/test.jsonl.zst -o held-out.jsonl.zst
[ -e summed/config.json ] || sft base summed 220 2e-3 sums/raw.jsonl.zst
[ -e start/config.json ] || sft summed start 300 1e-3 start.jsonl.zst
[ -z "${ONLY_START:-}" ] || exit 0

export N=8 BATCH=32 STEPS=20 GENERAL_STEPS=20 MAX_TOKENS=128 LR=1e-4 STALENESS=0 EVAL_EVERY=10
export SERVE_ARGS='--max-batch 256' ARGS='--eval-samples 4'
"$here/rl.sh" . start mixed/raw.jsonl.zst held-out.jsonl.zst general.jsonl.zst

say "Held out: before, after reasoning RL, after general RL"
grep -h evaluation reasoning/log.jsonl general/log.jsonl
