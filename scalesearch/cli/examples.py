"""The commands in groups, and two examples of each, as `--help` shows them."""

from __future__ import annotations

GROUPS = {
    "Studies": ("init", "check", "run", "status", "report", "verify", "fidelity", "sample", "schema"),
    "Networks": ("zoo", "show", "cost", "scale", "train", "evaluate", "predict", "detect", "export"),
    "Images": ("data",),
    "Devices": ("profile", "latency"),
    "Cluster": ("submit", "jobs", "attach", "stop", "fetch"),
}
EXAMPLES = {
    "attach": (
        "scalesearch attach effnet_phi-1a2b --address http://HEAD:8265",
        "scalesearch attach effnet_phi-5c6d --address http://HEAD:8265",
    ),
    "check": ("scalesearch check study.yaml space.yaml", "scalesearch check space.yaml --budget 297M..303M"),
    "cost": ("scalesearch cost efficientnet_b0 resnet50", "scalesearch cost resnet50 --by stage --resolution 160"),
    "data": ("scalesearch data photos/ --html health.html", "scalesearch data boxes/data.yaml --json"),
    "detect": (
        "scalesearch detect mine photos/ --out found",
        "scalesearch detect yolov3 --weights yolov3.weights a.jpg",
    ),
    "evaluate": (
        "scalesearch evaluate mine --data photos/",
        "scalesearch evaluate resnet50 --weights resnet50.pth --data photos/",
    ),
    "export": (
        "scalesearch export mine --to onnx -o mine.onnx",
        "scalesearch export efficientnet_b0 --to py -o model.py",
    ),
    "fetch": (
        "scalesearch fetch effnet_phi-1a2b --address http://HEAD:8265",
        "scalesearch fetch effnet_phi-1a2b --out results --address http://HEAD:8265",
    ),
    "fidelity": ("scalesearch fidelity study.yaml", "scalesearch fidelity study.yaml --recipe"),
    "init": ("scalesearch init", "scalesearch init --data photos/ mine"),
    "jobs": ("scalesearch jobs --address http://HEAD:8265", "scalesearch jobs --address http://HEAD:8265 --json"),
    "latency": (
        "scalesearch latency mobilenet_v2 resnet18",
        "scalesearch latency mobilenet_v2 --profile laptop.json",
    ),
    "predict": (
        "scalesearch predict mine new_photos/",
        "scalesearch predict resnet50 --weights resnet50.pth a.jpg --top 3",
    ),
    "profile": (
        "scalesearch profile space.yaml --resolution 64 -o laptop.json",
        "scalesearch profile mobilenet_v2 -o laptop.json",
    ),
    "report": ("scalesearch report reports/mine --live", "scalesearch report RUN1 RUN2 -o runs.html"),
    "run": ("scalesearch run effnet_phi --set preset=minute", "scalesearch run study.yaml --resume --open"),
    "sample": (
        "scalesearch sample space.yaml -n 5 --budget '≤ 100M'",
        "scalesearch sample space.yaml --budget params=≤2M > drawn.yaml",
    ),
    "scale": (
        "scalesearch scale efficientnet_b0 --to 600M > scaled.yaml",
        "scalesearch scale resnet50 --by 4 --preset fast > larger.yaml",
    ),
    "schema": ("scalesearch schema study --explain recipe.mixup", "scalesearch schema space > space.schema.json"),
    "show": ("scalesearch show mobilenet_v3_small", "scalesearch show study/space.yaml --html network.html"),
    "status": ("scalesearch status reports/mine", "scalesearch status reports/mine --watch 10"),
    "stop": (
        "scalesearch stop effnet_phi-1a2b --address http://HEAD:8265",
        "scalesearch stop effnet_phi-1a2b --json --address http://HEAD:8265",
    ),
    "submit": (
        "scalesearch submit study.yaml --address http://HEAD:8265",
        "scalesearch submit study.yaml --out s3://bucket/run --address http://HEAD:8265",
    ),
    "train": (
        "scalesearch train mobilenet_v3_small --data photos/ --out mine",
        "scalesearch train yolov8n --data boxes/data.yaml --epochs 50",
    ),
    "verify": ("scalesearch verify reports/mine", "scalesearch verify reports/mine -n 5 --json"),
    "zoo": ("scalesearch zoo --max-macs 100M --sort top1", "scalesearch zoo --json"),
}
