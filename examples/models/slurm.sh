#!/usr/bin/env bash
#SBATCH --job-name=qvl-sft
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --exclusive
#SBATCH --requeue
#SBATCH --signal=TERM@900
# SFT under Slurm, a task per rank: sbatch --nodes=4 examples/models/slurm.sh examples/models/32b.sh MODEL OUT DATA
# The folders must be on a file system that all nodes see. A quarter of an hour before its time is over the job
# gets SIGTERM and saves after the step: more than a step of 256K and its checkpoint take; where yours take longer,
# sbatch --signal=TERM@SECONDS. It goes on where it stopped when it is queued again. To stop it so,
# scancel --signal=TERM JOB: plain scancel kills after KillWait, 30 s on most clusters.
set -euo pipefail

master=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR=${MASTER_ADDR:-$master} MASTER_PORT=${MASTER_PORT:-29500}
# exec: no process but the ranks is left to be signalled.
exec srun --kill-on-bad-exit=1 bash -c '
    export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID
    export LOCAL_WORLD_SIZE=${SLURM_NTASKS_PER_NODE:-$SLURM_NTASKS}
    exec "$@"' _ "$@"
