#!/usr/bin/env bash
# Qwen3-VL-30B-A3B: reasoning and general RL on one node of 8 GPUs with 141 GB, or more.
#
#     examples/models/rl-30b-a3b.sh FOLDER MODEL QUERIES HELD_OUT [GENERAL]
#
# An engine on another node samples: QVL_ENDPOINT=URL, served by qvl serve MODEL --backend vllm --host, with
# FOLDER on a file system that both nodes see. Estimated, not measured, for packs of 32K tokens, half of
# images: 98 GB per GPU. SHARED=1 samples on the same GPUs: 81 GB stay while the engine samples, which has
# 0.35 of each GPU, its weights on all eight, and sleeps while the trainer has 98 GB.
if [ -n "${SHARED:-}" ]; then
    export SERVE_ARGS=${SERVE_ARGS---engine-args=--tensor-parallel-size=8 --engine-args=--enable-sleep-mode --engine-args=--gpu-memory-utilization=0.35}
elif [ -z "${QVL_ENDPOINT:-}" ]; then
    printf '%s: set QVL_ENDPOINT to an engine that serves MODEL, or SHARED=1\n' "$0" >&2
    exit 2
fi
export LAYOUT=${LAYOUT-ep=8} NPROC=${NPROC-8}
export BACKEND=${BACKEND-vllm} ARGS=${ARGS---recompute}
exec "$(dirname "$0")/../rl.sh" "$@"
