#!/usr/bin/env bash
# Qwen3-VL-2B: two-stage SFT on one node of 8 GPUs with 80 GB, or more.
# Reckoned, not measured: 15 GB of weights, gradients and optimizer a GPU, and 4 GB of layers' inputs at 32K.
export LAYOUT_SHORT=${LAYOUT_SHORT-} LAYOUT_LONG=${LAYOUT_LONG-cp=8}
exec "$(dirname "$0")/sft.sh" "$@"
