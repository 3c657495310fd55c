#!/usr/bin/env bash
# Qwen3-VL-30B-A3B: two-stage SFT on two nodes of 8 GPUs with 80 GB, or more.
# Reckoned, not measured: 54 GB of weights, gradients and optimizer a GPU, 43 of them for the experts.
export LAYOUT_SHORT=${LAYOUT_SHORT-ep=8} LAYOUT_LONG=${LAYOUT_LONG-cp=8,ep=8}
exec "$(dirname "$0")/sft.sh" "$@"
