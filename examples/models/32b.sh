#!/usr/bin/env bash
# Qwen3-VL-32B: two-stage SFT on four nodes of 8 GPUs with 80 GB, or more.
# Estimated, not measured, if 90 % of the tokens are of images: 48 GB per GPU at 32K and 57 GB at 256K. The rest
# is for NCCL, the workspace of kernels and fragmentation.
export LAYOUT_SHORT=${LAYOUT_SHORT-tp=8} LAYOUT_LONG=${LAYOUT_LONG-tp=8,cp=4}
exec "$(dirname "$0")/sft.sh" "$@"
