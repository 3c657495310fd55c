#!/usr/bin/env bash
# Qwen3-VL-8B: two-stage SFT on two nodes of 8 GPUs with 80 GB, or more.
# Estimated, not measured, if 90 % of the tokens are of images: 46 GB per GPU at 32K and 48 GB at 256K. The rest
# is for NCCL, the workspace of kernels and fragmentation.
export LAYOUT_SHORT=${LAYOUT_SHORT-tp=2} LAYOUT_LONG=${LAYOUT_LONG-tp=2,cp=8}
exec "$(dirname "$0")/sft.sh" "$@"
