#!/usr/bin/env bash
# Qwen3-VL-8B: two-stage SFT on two nodes of 8 GPUs with 80 GB, or more.
# Reckoned, not measured: 35 GB of weights, gradients and optimizer a GPU; 32K fits one node as well (40 GB).
export LAYOUT_SHORT=${LAYOUT_SHORT-tp=2} LAYOUT_LONG=${LAYOUT_LONG-tp=2,cp=8}
exec "$(dirname "$0")/sft.sh" "$@"
