#!/usr/bin/env bash
# genolm under SLURM, through any number of time limits and pre-emptions:
#   sbatch scripts/accelerate/slurm.sh run quickstart
#   sbatch --nodes=2 --ntasks-per-node=8 --gpus-per-node=8 scripts/accelerate/slurm.sh \
#       pretrain causal --config recipe.yaml
# Submit it where genolm is on the PATH (an activated environment), from a folder that all nodes share.
#
# Before the time limit SLURM sends USR1 to every task, and before a pre-emption TERM. genolm then saves a
# checkpoint and ends with exit code 75, and the job goes back into the queue; the same command goes on.
# To stop such a job for good: scancel --signal=KILL JOBID (what the last checkpoint holds is kept).
#
#SBATCH --job-name=genolm
#SBATCH --nodes=1
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=4
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=genolm-%j.log
# One task per GPU: --ntasks-per-node and --gpus-per-node are the same number. The signal comes 120 s before
# the end: longer than a step and a checkpoint take.

set -euo pipefail

# No launcher stands between srun and genolm, so a signal to the tasks is a signal to every rank.
MASTER_ADDR="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
MASTER_PORT="$((20000 + SLURM_JOB_ID % 20000))"
export MASTER_ADDR MASTER_PORT
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"
export SRUN_CPUS_PER_TASK="${SLURM_CPUS_PER_TASK:-1}"   # srun does not take it from sbatch by itself

# This script outlives a TERM, because it has to see how the tasks end.
trap : TERM USR1

# --wait, and not --kill-on-bad-exit: the first rank that ends must not take a slower one with it, but a rank
# that hangs after another one has died must not hold the GPUs either.
code=0
srun --kill-on-bad-exit=0 --wait=60 bash -c '
    export RANK="$SLURM_PROCID" LOCAL_RANK="$SLURM_LOCALID" WORLD_SIZE="$SLURM_NTASKS"
    exec genolm "$@"
' genolm "$@" || code="$?"

if [ "$code" -eq 75 ]; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
