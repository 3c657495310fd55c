#!/usr/bin/env bash
# Thinking with images (Qwen3-VL report 4.5), on the CPU twin: an agent that zooms, then the final model.
#
#     [FINAL=1] examples/agent.sh MODEL [FOLDER]
#
# MODEL is a twin that knows cards: the folder `trained` that examples/recipe.sh writes. FOLDER (default:
# agent-demo) gets all files. Finished stages are skipped.
#
# Stage 1 makes the agent: a cold start of questions that need no, one or two crops, SFT, and RL with tools
# from a start with the habit of one call. Stage 2 (FINAL=1) makes the final model: the agent's episodes,
# filtered, and the cold start again, then SFT and RL of MODEL. The report distils its 32B agent into about
# 120,000 interactions; here both are the twin. The numbers are our choice.
#   STEPS=20            of RL, in either stage
#   NPROC=1             ranks that train
#   REPLAY=FILE         SFT records of what MODEL can do, so that it still can; without it, it forgets them
#   REPLAY_MEDIA=DIR    base folder of their images/; by default that of FILE
#   REPLAY_SHARE=0.25   of the packs of SFT
set -euo pipefail

[ $# -ge 1 ] || { printf 'usage: %s MODEL [FOLDER]\n' "$0" >&2; exit 2; }
for file in "$1/config.json" ${REPLAY:+"$REPLAY"}; do
    [ -e "$file" ] || { printf '%s: no such file\n' "$file" >&2; exit 2; }
done
model=$(realpath "$1")
replay=${REPLAY:+$(realpath "$REPLAY")}
replay_media=$(realpath "${REPLAY_MEDIA:-$(dirname "${REPLAY:-.}")}")
mkdir -p "${2:-agent-demo}"
cd "${2:-agent-demo}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
tools=(--tools image_zoom_in_tool --zoom-min-tokens 8 --no-tool-schemas)

say() { printf '\n== %s\n' "$1" >&2; }
sft() { # MODEL OUT LR FILE...
    local start=$1 out=$2 lr=$3
    shift 3
    [ -e "$out/config.json" ] || qvl sft --model "$start" -o "$out" --resume --nproc "${NPROC:-1}" --media-root data \
        --batch 2 --lr "$lr" --schedule wsd --decay-share 0.4 --min-lr-ratio 0.05 --warmup-steps 20 \
        --weight-decay 0.05 --beta2 0.98 --workers 0 --log-every 100 \
        ${replay:+--interleave replay.jsonl.zst --interleave-share "${REPLAY_SHARE:-0.25}"} "$@"
}
pack() { # NAME RATIO
    [ -e "$1.jsonl.zst" ] || qvl mix --by source --ratio "$2" data/raw.jsonl.zst |
        qvl pack --model eyes --context 1k --loss-weight sqrt --media-root data -o "$1.jsonl.zst"
}
look() { # MODEL NAME: held-out questions, greedily, with the tool. One digit of two counts in RL, and not here.
    [ -e "data/$2.jsonl.zst" ] || qvl serve "$1" --port 0 --max-batch 64 --replicas 2 -- \
        qvl agent-rollout --model "$1" "${tools[@]}" --temperature 0 --max-tokens 300 data/held.jsonl.zst -o "data/$2.jsonl.zst"
    printf '%s\n' "$2" >&2
    qvl agent-score --verifier exact "data/$2.jsonl.zst" -o "data/$2-scored.jsonl.zst"
    qvl eval score --verifier exact "data/$2.jsonl.zst" --report "$2.json" -o "data/$2-accuracy.jsonl.zst"
}
reinforce() { # MODEL OUT
    [ -e "$2/config.json" ] || qvl serve "$1" --port 0 --max-batch 192 --replicas 2 -- \
        qvl rl sapo --model "$1" -o "$2" --resume "${tools[@]}" --calls-weight 0.5 -n 8 --batch 24 --lr 1e-4 \
        --max-tokens 300 --max-turns 4 --nproc "${NPROC:-1}" --steps "${STEPS:-20}" --media-root data data/queries.jsonl.zst
}

say "Scenes that cannot be read without a zoom, and a model that sees them small"
[ -d data ] || qvl tiny data data --train 15000 --test 600 --defect-share 0 \
    --tasks zoom-read=5,zoom-direct=1,zoom-one=5,zoom-none=2.5,zoom-two=4.5,zoom-first=4,zoom-habit=2
[ -d eyes ] || { cp -r "$model" eyes && rm -rf eyes/checkpoints &&
    sed -i 's/"longest_edge": [0-9]*/"longest_edge": 12288/' eyes/preprocessor_config.json; }
ask='source == "tiny/zoom-none" or source == "tiny/zoom-one" or source == "tiny/zoom-two"'
[ -e data/held.jsonl.zst ] || qvl select "$ask" data/test.jsonl.zst -o data/held.jsonl.zst
[ -e data/queries.jsonl.zst ] || qvl select "$ask" data/raw.jsonl.zst |
    qvl set 'messages = [messages[0]]' | qvl mix --by calls_needed --ratio 0=1,1=1,2=1 --batch-size 24 -o data/queries.jsonl.zst

if [ -n "$replay" ] && [ ! -e replay.jsonl.zst ]; then
    cp -aln "$replay_media/images/." data/images  # one base folder of media for both
    qvl pack --model eyes --context 1k --loss-weight sqrt --think-tags --media-root data "$replay" -o replay.jsonl.zst
fi

say "The look-up first: read a crop, call for it, and answer; then none, one or two calls"
pack zooms tiny/zoom-one=1,tiny/zoom-direct=0.3,tiny/zoom-read=2
pack calls tiny/zoom-none=0.3,tiny/zoom-one=0.4,tiny/zoom-two=0.7,tiny/zoom-first=1
sft eyes reader 1e-3 --epochs 2 zooms.jsonl.zst
sft reader caller 1e-3 calls.jsonl.zst

say "With the tool and without"
look reader reader-with-tool
[ -e data/direct.jsonl.zst ] || qvl select 'source == "tiny/zoom-direct"' data/test.jsonl.zst -o data/direct.jsonl.zst
qvl serve reader --port 0 -- qvl eval data/direct.jsonl.zst --max-tokens 8 -o data/reader-without.jsonl.zst
look caller caller-with-tool

say "RL: from the habit of one call to as many as a question needs"
pack habit tiny/zoom-habit=1
# At a higher rate the model forgets how to answer without a call, which few of these records do.
sft caller habit 3e-4 --epochs 2 habit.jsonl.zst
look habit before-rl
reinforce habit agent
look agent after-rl

[ -n "${FINAL:-}" ] || exit 0

say "The agent makes the data of the final model: episodes, scored; right ones with as many calls as needed"
# A quarter of the queries is enough; every fourth one, so that those of 0, 1 and 2 calls stay mixed.
[ -e data/distilled.jsonl.zst ] || qvl cat --shard 1/4 data/queries.jsonl.zst |
    qvl serve agent --port 0 --max-batch 192 --replicas 2 -- \
        qvl agent-rollout --model agent -n 2 "${tools[@]}" --temperature 0.7 --max-tokens 300 --concurrency 192 --media-root data |
    qvl agent-score |
    qvl choose --by reward --where 'reward > 1.29' -o data/distilled.jsonl.zst
[ -e final.jsonl.zst ] || qvl cat --shard 1/4 data/raw.jsonl.zst | qvl cat data/distilled.jsonl.zst - |
    qvl select 'source != "tiny/zoom-habit"' | qvl shuffle | qvl pack --model eyes --context 1k --loss-weight sqrt --media-root data -o final.jsonl.zst
# Crops first, here, too: if all is mixed from the start, the model may not learn to read them.
sft eyes learner 1e-3 --curriculum zooms.jsonl.zst zooms.jsonl.zst final.jsonl.zst
look learner learner
reinforce learner final
look final final
