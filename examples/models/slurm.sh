#!/usr/bin/env bash
#SBATCH --job-name=qvl-sft
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --signal=TERM@120
# SFT under Slurm: sbatch --nodes=4 examples/models/slurm.sh examples/models/32b.sh MODEL OUT DATA
# The folders must be on a file system that all nodes see. Two minutes before its end, or when it is taken
# off, the job gets SIGTERM and saves after the step; it goes on where it stopped when it is queued again.
set -euo pipefail

master=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER=$master:${MASTER_PORT:-29500} NNODES=$SLURM_JOB_NUM_NODES
# exec: srun gets the signal itself, and passes it on to every node.
exec srun --kill-on-bad-exit=1 bash -c 'NODE_RANK=$SLURM_NODEID exec "$@"' _ "$@"
