#!/usr/bin/env bash
# Qwen3-VL-235B-A22B: two-stage SFT on sixteen nodes of 8 GPUs with 80 GB, or more.
# Estimated, not measured, if 90 % of the tokens are of images: 48 GB per GPU at 32K and 48 GB at 256K. The rest
# is for NCCL, the workspace of kernels and fragmentation.
# ep=32 divides what is largest, the experts, without more stages, whose packs in flight cost as much; vp=2 lets
# 8 packs keep four stages busy 84 % of the time, where eight stages without vp were busy 53 %. The first
# stage has 7 layers beside the vision tower, the others 12 or 13, so that all take about as long.
export LAYOUT_SHORT=${LAYOUT_SHORT-tp=4,pp=4,vp=2,ep=32} LAYOUT_LONG=${LAYOUT_LONG-tp=4,pp=4,vp=2,cp=8,ep=32}
export BATCH_SHORT=${BATCH_SHORT-64}
exec "$(dirname "$0")/sft.sh" "$@"
