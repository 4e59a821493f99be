#!/usr/bin/env bash
# `sbatch docs/clusters/slurm.sh studies/imagenette_phi.yaml runs/imagenette`: a Ray cluster for the time of the job.
# Slurm sends SIGTERM 60 s before the end: the run saves itself, and the same command goes on with it.
#SBATCH --job-name=scalesearch
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=32
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@60
set -euo pipefail

study=$1 out=$2 port=6379
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}')

export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')

srun --nodes=1 --ntasks=1 --nodelist="$head" ray start --head --node-ip-address="$address" --port="$port" --block &
sleep 20
if ((SLURM_JOB_NUM_NODES > 1)); then
    srun --nodes=$((SLURM_JOB_NUM_NODES - 1)) --ntasks=$((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" \
        ray start --address="$address:$port" --block &
    sleep 20
fi

resume=()
[[ -e $out/study.yaml ]] && resume=(--resume)
scalesearch run "$study" --address "$address:$port" --out "$out" "${resume[@]}" &
run=$!
trap 'kill -TERM "$run"' TERM
wait "$run" || wait "$run"
