#!/usr/bin/env bash
# Two-stage SFT of one model, 32K then 256K (Qwen3-VL report, 4.2.1); the files beside this one say how its
# ranks share it, and run this. On every node:
#
#     examples/models/8b.sh MODEL OUT DATA
#
# MODEL is a Hugging Face folder, DATA a stream of records, OUT a folder that all nodes see. A stage that is
# done is not done again, and one that was stopped goes on. SIGTERM ends the run after its step, with a
# checkpoint; several nodes under torchrun need torch 2.13 for that, which waits as long as is said below.
#   GPUS=8                 of a node
#   NNODES=1 NODE_RANK=0 MASTER=localhost:29500     the nodes, whose ranks torchrun starts
#   RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT      instead: this is one rank; examples/models/slurm.sh
#                          sets these
#   LAYOUT_SHORT, LAYOUT_LONG                       qvl sft --layout of either stage
#   SHORT=32k LONG=256k    context lengths, the report's
#   BATCH_SHORT=32 BATCH_LONG=8                     packs a step (our choice)
#   LR_SHORT=1e-5 LR_LONG=1e-5                      peak learning rates (our choice)
#   MEDIA=DIR              where media paths start; else the folder of DATA
#   ARGS                   more words for qvl sft
set -euo pipefail

[ $# -eq 3 ] || { printf 'usage: %s MODEL OUT DATA\n' "$0" >&2; exit 2; }
[ -n "${LAYOUT_SHORT+set}" ] && [ -n "${LAYOUT_LONG+set}" ] ||
    { printf '%s: run the file of a model, such as 8b.sh, or set LAYOUT_SHORT and LAYOUT_LONG\n' "$0" >&2; exit 2; }
mkdir -p "$2"
model=$(realpath "$1") out=$(realpath "$2") data=$(realpath "$3")
media=$(realpath "${MEDIA:-$(dirname "$data")}")
rank=${RANK:-${NODE_RANK:-0}}
port=${MASTER_PORT:-29500}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-3600} # 30 s would end a long step
read -ra more <<< "${ARGS:-}"

# A command that this script waits for until it has saved. It alone gets a signal, and once: it is no member of
# the script's group of processes, which Slurm and terminals signal as a whole.
run() {
    local child status=0
    set -m
    "$@" &
    child=$!
    set +m
    trap 'kill -TERM "$child" || true' TERM
    trap 'kill -INT "$child" || true' INT
    wait "$child" || status=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ends the wait, not the command
        status=0
        wait "$child" || status=$?
    done
    trap - TERM INT
    return "$status"
}
pack() { # LENGTH: by the first node; the others wait for the file, which appears whole
    local packed=$out/packed-$1.jsonl.zst
    if [ "$rank" -eq 0 ] && [ ! -e "$packed" ]; then
        run qvl pack --model "$model" --context "$1" --media-root "$media" \
            --rejects "$out/too-long-$1.jsonl.zst" --resume "$data" -o "$packed"
    fi
    until [ -e "$packed" ]; do sleep 5; done
}
sft() { # MODEL OUT LAYOUT BATCH LR FILE...
    local from=$1 to=$2 layout=$3 batch=$4 lr=$5
    shift 5
    local words=(--model "$from" -o "$to" --layout "$layout" --batch "$batch" --lr "$lr"
        --media-root "$media" --recompute --resume "${more[@]}" "$@")
    if [ -n "${RANK:-}" ]; then
        run env MASTER_PORT="$port" qvl sft "${words[@]}"
        port=$((port + 1)) # what the ranks of one stage left behind is not met by the next
    elif [ "${NNODES:-1}" -eq 1 ]; then
        run qvl sft --nproc "${GPUS:-8}" "${words[@]}"
    else
        run torchrun --nnodes "$NNODES" --node-rank "$rank" --nproc-per-node "${GPUS:-8}" \
            --rdzv-backend c10d --rdzv-endpoint "${MASTER:-localhost:29500}" --rdzv-id "qvl-$(basename "$to")" \
            --no-python qvl sft "${words[@]}"
    fi
}

short=${SHORT:-32k} long=${LONG:-256k}
pack "$short"
pack "$long"
[ -e "$out/$short/config.json" ] ||
    sft "$model" "$out/$short" "$LAYOUT_SHORT" "${BATCH_SHORT:-32}" "${LR_SHORT:-1e-5}" "$out/packed-$short.jsonl.zst"
[ -e "$out/$long/config.json" ] ||
    sft "$out/$short" "$out/$long" "$LAYOUT_LONG" "${BATCH_LONG:-8}" "${LR_LONG:-1e-5}" \
        --interleave "$out/packed-$short.jsonl.zst" "$out/packed-$long.jsonl.zst"
