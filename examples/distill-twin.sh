#!/usr/bin/env bash
# Distillation of the CPU twin beside a control: the table of docs/distillation.md.
#
#     [SEED=N] examples/distill-twin.sh RECIPE [FOLDER]
#
# RECIPE is a folder that examples/qwen3-vl.sh has made, up to distillation. Its model of the cold start, which
# has never seen sums of twelve numbers, is the student; the teacher knows them. FOLDER (default: distill-demo)
# gets all files. A part of the queries has a teacher's response: SHARE=1/12 of 2,000, as these are what a
# large teacher is slow at. On-policy has all queries, as there the teacher only scores. The arms:
#   off-policy   fine-tuning on the teacher's responses, with SFT data between
#   on-policy    from there; the reverse KL on the student's own responses
#   control      from there; 850 more steps of fine-tuning, which take as long
#   no-replay    off-policy without SFT data
# The numbers are our choice: OFF_STEPS=480, CONTROL_STEPS=850. SEED=0 seeds sampling and the order of the data.
set -euo pipefail

[ $# -ge 1 ] || { printf 'usage: %s RECIPE [FOLDER]\n' "$0" >&2; exit 2; }
for file in "$1"/{thinker,teacher}/config.json "$1/kept.jsonl.zst"; do
    [ -e "$file" ] || { printf '%s: no such file\n' "$file" >&2; exit 2; }
done
here=$(dirname "$(realpath "$0")") recipe=$(realpath "$1")
mkdir -p "${2:-distill-demo}"
cd "${2:-distill-demo}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}  # operations of so small a model are faster in one thread
off_steps=${OFF_STEPS:-480} control_steps=${CONTROL_STEPS:-850}
export SEED=${SEED:-0} MEDIA=$recipe  # the base folder of the images of what is replayed

say() { printf '\n== %s\n' "$1" >&2; }
sft() { # MODEL OUT STEPS WORD...
    local from=$1 out=$2 steps=$3
    shift 3
    [ -e "$out/config.json" ] ||
        qvl sft --model "$from" -o "$out" --resume --media-root "$MEDIA" --freeze vision --freeze merger --nproc 2 \
            --batch 2 --lr 1e-3 --steps "$steps" --log-every 100 --seed "$SEED" "$@" arms/packed.jsonl.zst
}

say "Off-policy, then on-policy"
CONTEXT=1k LOSS_WEIGHT=sqrt PACK_ARGS=--think-tags SHARD=${SHARE:-1/12} OFF_BATCH=2 OFF_LR=1e-3 OFF_STEPS=$off_steps MAX_TOKENS=144 \
    BATCH=64 STEPS=60 LR=2e-4 BETA=1 NPROC=2 STALENESS=0 EVAL_EVERY=20 REPLAY_SHARE=0.3 SERVE_ARGS='--max-batch 256' \
    SFT_ARGS='--log-every 100' ARGS='--minibatches 2 --warmup-steps 10 --think-tags' \
    "$here/distill.sh" arms "$recipe/thinker" "$recipe"/chains/{raw,test}.jsonl.zst "$recipe/kept.jsonl.zst" "$recipe/teacher"

say "The control, and a student without replay"
sft arms/off-policy control "$control_steps" --interleave arms/packed-replay.jsonl.zst --interleave-share 0.3
sft "$recipe/thinker" no-replay "$off_steps"

say "Held out: sums of twelve, and what the student has seen before"
[ -e questions.jsonl.zst ] || qvl cat "$recipe/chains/test.jsonl.zst" "$recipe/sft-questions.jsonl.zst" |
    qvl set 'id = source + "/" + id' -o questions.jsonl.zst
columns=()
for model in "$recipe/thinker" arms/off-policy arms/on-policy control no-replay; do
    name=$(basename "$model")
    columns+=("$name=$name.json")
    [ -e "$name.json" ] ||
        qvl serve "$model" --port 0 --max-batch 256 --replicas 2 -- qvl eval questions.jsonl.zst --temperature 0 \
            --max-tokens 144 --media-root "$MEDIA" -o "$name.jsonl.zst" --report "$name.json"
done
qvl eval summary "${columns[@]}"
