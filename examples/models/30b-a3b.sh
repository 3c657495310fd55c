#!/usr/bin/env bash
# Qwen3-VL-30B-A3B: two-stage SFT on two nodes of 8 GPUs with 80 GB, or more.
# Estimated, not measured, if 90 % of the tokens are of images: 64 GB per GPU at 32K and 64 GB at 256K. The rest
# is for NCCL, the workspace of kernels and fragmentation.
export LAYOUT_SHORT=${LAYOUT_SHORT-ep=16} LAYOUT_LONG=${LAYOUT_LONG-cp=8,ep=16}
exec "$(dirname "$0")/sft.sh" "$@"
