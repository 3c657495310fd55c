#!/usr/bin/env bash
# Qwen3-VL-2B: two-stage SFT on one node of 8 GPUs with 80 GB, or more.
# Estimated, not measured, if 90 % of the tokens are of images: 25 GB per GPU at 32K and 26 GB at 256K. The rest
# is for NCCL, the workspace of kernels and fragmentation.
export LAYOUT_SHORT=${LAYOUT_SHORT-} LAYOUT_LONG=${LAYOUT_LONG-cp=8}
exec "$(dirname "$0")/sft.sh" "$@"
