#!/usr/bin/env bash
# Qwen3-VL-8B: reasoning and general RL on one node of 8 GPUs with 80 GB, or more.
#
#     examples/models/rl-8b.sh FOLDER MODEL QUERIES HELD_OUT [GENERAL]
#
# Four GPUs sample and four train. Estimated, not measured, for packs of 32K tokens, half of images: 53 GB
# per GPU that trains. SHARED=1 gives both all eight GPUs: 42 GB stay while the engine samples, which has
# 0.4 of each GPU, and it sleeps while the trainer has 53 GB.
if [ -n "${SHARED:-}" ]; then
    export LAYOUT=${LAYOUT-tp=2} NPROC=${NPROC-8}
    export SERVE_ARGS=${SERVE_ARGS---replicas 8 --engine-args=--enable-sleep-mode --engine-args=--gpu-memory-utilization=0.4}
else
    export ENGINE_GPUS=${ENGINE_GPUS-0,1,2,3} TRAINER_GPUS=${TRAINER_GPUS-4,5,6,7}
    export LAYOUT=${LAYOUT-tp=4} NPROC=${NPROC-4} SERVE_ARGS=${SERVE_ARGS---replicas 4}
fi
export BACKEND=${BACKEND-vllm} ARGS=${ARGS---recompute --weights-dir /dev/shm/qvl-weights}
exec "$(dirname "$0")/../rl.sh" "$@"
