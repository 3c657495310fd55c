#!/usr/bin/env bash
# Qwen3-VL-32B: two-stage SFT on four nodes of 8 GPUs with 80 GB, or more.
# Reckoned, not measured: 37 GB of weights, gradients and optimizer a GPU, and 5 GB of layers' inputs at 256K.
export LAYOUT_SHORT=${LAYOUT_SHORT-tp=8} LAYOUT_LONG=${LAYOUT_LONG-tp=8,cp=4}
exec "$(dirname "$0")/sft.sh" "$@"
