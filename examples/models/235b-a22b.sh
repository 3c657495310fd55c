#!/usr/bin/env bash
# Qwen3-VL-235B-A22B: two-stage SFT on sixteen nodes of 8 GPUs with 80 GB, or more.
# Reckoned, not measured: 48 GB of weights, gradients and optimizer a GPU, and 13 GB of inputs of 8 batches in flight at 256K.
export LAYOUT_SHORT=${LAYOUT_SHORT-tp=4,pp=8,ep=8} LAYOUT_LONG=${LAYOUT_LONG-tp=4,pp=8,cp=4,ep=8}
exec "$(dirname "$0")/sft.sh" "$@"
