#!/bin/sh
# Every check and figure that needs a GPU, in ten minutes at most: SCALESEARCH_DATA=… sh benchmarks/gpu.sh [FOLDER]
#
# Each part has a time limit of its own and goes into FOLDER (by default reports/gpu) as a log; one that fails does not end the
# others. At the end a line for each says how it ended, and the figures are printed again. CIFAR-10 is read from
# $SCALESEARCH_DATA/cifar10. With PARTS="memory pace" only these are run.
set -u
folder=${1:-reports/gpu}
parts=${PARTS:-"memory forward pace one_network side_by_side"}
mkdir -p "$folder"
started=$(date +%s)

[ "${RUN_PART:-}" ] || python - <<'EOF' || exit 1
import sys, torch
if not torch.cuda.is_available():
    sys.exit("no GPU that torch can use; this script has nothing to measure without one")
print(torch.cuda.get_device_name(0), "torch", torch.__version__)
EOF

# Memory: out of memory is told and survived, and nothing stays on the card after a trial (tests that are skipped without a GPU).
memory() { python -m pytest -q -p no:cacheprovider -n 1 tests/runs/test_faults.py; }

# Built networks against torchvision's, timm's and Ultralytics' own, forward and backward.
forward() { python benchmarks/forward.py --device cuda resnet50 mobilenet_v2 efficientnet_b0 yolov8n; }

# Images a second against plain loops with the same network, optimiser and transforms.
pace() { python benchmarks/train.py; }

# ResNet-18 on CIFAR-10 towards 94 % (airbench's line), with the time that it took.
one_network() {
    scalesearch train resnet18 --data cifar10 --recipe cifar --epochs 15 --resolution 32 --set batch_size=512 \
        --set learning_rate=0.03 --set shift=0.125 --json --out "$folder/resnet18"
}

# The same twelve trials one at a time and four at a time on one card.
side_by_side() {
    for share in 1 0.25; do
        began=$(date +%s)
        scalesearch run studies/cifar10_phi.yaml --out "$folder/trials-$share" --set search.trials=12 --set search.epochs=2 \
            --set finalists.top=0 --set scale.trials=4 --set scale.epochs=1 --set 'scale.rivals=false' --set 'family.phi=[0]' \
            --set 'compare.networks=[]' --set 'seeds=[0]' --set recipe.epochs=2 --set "ray.gpus_per_trial=$share" || return 1
        echo "gpus_per_trial $share: $(($(date +%s) - began)) s"
    done
}

seconds_of() { case $1 in memory) echo 90 ;; forward) echo 60 ;; pace) echo 90 ;; one_network) echo 150 ;; *) echo 180 ;; esac; }

if [ "${RUN_PART:-}" ]; then
    "$RUN_PART"
    exit
fi

summary=""
for part in $parts; do
    limit=$(seconds_of "$part")
    began=$(date +%s)
    RUN_PART=$part timeout -k 10 "$limit" sh "$0" "$folder" >"$folder/$part.log" 2>&1
    code=$?
    summary="$summary$part: exit code $code after $(($(date +%s) - began)) s (limit $limit s)
"
    echo "== $part (exit code $code)"
    tail -n 25 "$folder/$part.log"
done
echo "== $(($(date +%s) - started)) s in all"
printf '%s' "$summary" | tee "$folder/summary.txt"
