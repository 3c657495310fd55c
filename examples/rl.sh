#!/usr/bin/env bash
# Reinforcement learning with SAPO, as in the Qwen3-VL report (arXiv 2511.21631), sections 4.4.1 and 4.4.2:
# reasoning RL, then general RL from its result. From a checkpoint to a better one.
#
#     examples/rl.sh FOLDER MODEL QUERIES HELD_OUT [GENERAL]
#
# FOLDER receives reasoning/ and general/: the models, their rollouts, logs and evaluations. QUERIES is the
# output of examples/rl-data.sh, HELD_OUT records with answers that are never learnt from. GENERAL is a
# stream for general RL: tasks of SFT, corrective tasks, and triggers of bad behaviour; without it, the
# script ends after reasoning RL. A stage that is done is skipped, one that was stopped continues.
# examples/rl-twin.sh and rl-twin-visual.sh make all of these for the CPU twin, and run this script.
# The paper of SAPO (arXiv 2511.20347):
#   MINIBATCHES=2          optimizer steps per step, as in its Qwen3-VL runs
# Our choice, as the report does not publish these:
#   N=16 BATCH=256         responses per query, queries per step
#   STEPS= GENERAL_STEPS=  of either stage; by default one pass over the queries
#   MAX_TOKENS=8192        of a response
#   LR=1e-6 GENERAL_LR=    learning rate of either stage; by default the same
#   STALENESS=1            1 samples the next step while one is trained; 0 is exactly on-policy
#   EVAL_EVERY=10          steps between evaluations
# How the model is served and shared; examples/models/rl-*.sh set these:
#   BACKEND=local          local, vllm or sglang; SERVE_ARGS are more words for qvl serve
#   QVL_ENDPOINT=URL       an engine that runs elsewhere and serves MODEL, instead
#   NPROC=1 LAYOUT=        ranks of this machine, and how they share the model
#   ENGINE_GPUS= TRAINER_GPUS=   numbers of the GPUs of either, such as 0,1,2,3; by default all
#   SHARED=1               engine and trainer have the same GPUs, and the engine sleeps in between
#   JUDGE=URL              judges open questions in general RL
#   MEDIA=DIR              base folder of media paths; by default that of QUERIES
#   ARGS                   more words for qvl rl sapo
set -euo pipefail

[ $# -ge 4 ] || { printf 'usage: %s FOLDER MODEL QUERIES HELD_OUT [GENERAL]\n' "$0" >&2; exit 2; }
for file in "$2/config.json" "${@:3}"; do
    [ -e "$file" ] || { printf '%s: no such file\n' "$file" >&2; exit 2; }
done
mkdir -p "$1"
folder=$(realpath "$1") model=$(realpath "$2") queries=$(realpath "$3") held_out=$(realpath "$4")
general=${5:+$(realpath "$5")}
media=$(realpath "${MEDIA:-$(dirname "$queries")}")
read -ra serve_args <<< "${SERVE_ARGS:-}"
read -ra args <<< "${ARGS:-}"
staleness=${STALENESS:-1}
[ -z "${SHARED:-}" ] || { staleness=0; args+=(--share-devices); }
judge=(${JUDGE:+--judge "$JUDGE"})

say() { printf '\n== %s\n' "$1" >&2; }
learn() { # MODEL OUT STEPS LR WORD...
    local from=$1 to=$2 steps=$3 lr=$4
    shift 4
    local run=(qvl rl sapo --model "$from" -o "$to" --resume --media-root "$media"
        -n "${N:-16}" --batch "${BATCH:-256}" --minibatches "${MINIBATCHES:-2}" ${steps:+--steps "$steps"}
        --max-tokens "${MAX_TOKENS:-8192}" --lr "$lr" --max-staleness "$staleness"
        --eval "$held_out" --eval-every "${EVAL_EVERY:-10}"
        --nproc "${NPROC:-1}" --layout "${LAYOUT:-}" "${args[@]}" "$@")
    local train=(env ${TRAINER_GPUS:+CUDA_VISIBLE_DEVICES="$TRAINER_GPUS"} "${run[@]}")
    if [ -n "${QVL_ENDPOINT:-}" ]; then
        "${train[@]}"
    else
        env ${ENGINE_GPUS:+CUDA_VISIBLE_DEVICES="$ENGINE_GPUS"} \
            qvl serve "$from" --backend "${BACKEND:-local}" --port 0 "${serve_args[@]}" -- "${train[@]}"
    fi
}

say "Reasoning RL: verified tasks, and a penalty for another language than the prompt's"
[ -e "$folder/reasoning/config.json" ] ||
    learn "$model" "$folder/reasoning" "${STEPS:-}" "${LR:-1e-6}" --stage reasoning "$queries"

if [ -n "$general" ]; then
    say "General RL: hybrid rewards, corrective tasks, and penalties for language mixing, repetition and format"
    [ -e "$folder/general/config.json" ] ||
        learn "$folder/reasoning" "$folder/general" "${GENERAL_STEPS:-}" "${GENERAL_LR:-${LR:-1e-6}}" --stage general "${judge[@]}" "$general"
fi
