"""What Darknet's keys mean for a network: honoured, harmless (without consequence for it), or refused.

Compiled from the sources of both forks, pjreddie/darknet (f6afaab) and AlexeyAB/darknet (59596d7):
`src/parser.c` and the layers' own files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from scalesearch.zoo.sections import Section

# Sections that stay out, and why.
RECURRENT = "is recurrent, and networks here take one image at a time"
REFUSED_SECTIONS = {
    **dict.fromkeys(("rnn", "gru", "lstm", "crnn", "conv_lstm", "history"), RECURRENT),
    "deconvolutional": "is a transposed convolution, which no block here is",
    "normalization": "is a local response normalisation, which no block here is",
    "implicit": "is a learned constant, which no block here is",
    "l2norm": "is a normalisation by length, which no block here is",
    "iseg": "is a head for instance segmentation, which no block here is",
    "contrastive": "is a head for contrastive learning, which no block here is",
}

# Keys by section: those that are honoured; those that only training, logging or speed depend on; and those that change
# the network in a way that is not read, with the value at which they don't.
COMMON_HARMLESS = (
    "clip",
    "onlyforward",
    "dont_update",
    "burnin_update",
    "stopbackward",
    "train_only_bn",
    "truth",
    "learning_rate",
    "smooth",
    "dontsave",
)
COMMON_REFUSED = {"dontload": "0", "dontloadscales": "0", "numload": "0"}
HONOURED: dict[str, tuple[str, ...]] = {
    "net": ("width", "height", "channels"),
    "convolutional": (
        "filters",
        "size",
        "stride",
        "stride_x",
        "stride_y",
        "pad",
        "padding",
        "groups",
        "dilation",
        "activation",
        "batch_normalize",
    ),
    "connected": ("output", "activation", "batch_normalize"),
    "local": ("filters", "size", "stride", "pad", "activation"),
    "maxpool": ("size", "stride", "padding"),
    "local_avgpool": ("size", "stride", "padding"),
    "avgpool": (),
    "shortcut": ("from", "activation"),
    "route": ("layers", "groups", "group_id"),
    "upsample": ("stride",),
    "reorg": ("stride",),
    "reorg3d": ("stride",),
    "scale_channels": ("from", "scale_wh", "activation"),
    "sam": ("from", "activation"),
    "dropout": ("probability",),
    "crop": ("crop_height", "crop_width", "noadjust"),
    "batchnorm": (),
    "activation": ("activation",),
    "softmax": (),
    "cost": (),
    "logistic": (),
    "empty": (),
    "yolo": ("classes", "num", "mask", "anchors", "scale_x_y", "new_coords"),
    "gaussian_yolo": ("classes", "num", "mask", "anchors", "scale_x_y"),
    "region": ("classes", "num", "coords", "anchors", "softmax"),
    "detection": ("classes", "num", "coords", "side", "sqrt", "softmax"),
}
DETECTOR_HARMLESS = (
    "max",
    "jitter",
    "ignore_thresh",
    "truth_thresh",
    "random",
    "show_details",
    "max_delta",
    "counters_per_class",
    "label_smooth_eps",
    "objectness_smooth",
    "iou_normalizer",
    "obj_normalizer",
    "cls_normalizer",
    "delta_normalizer",
    "uc_normalizer",
    "iou_loss",
    "iou_thresh_kind",
    "iou_thresh",
    "resize",
    "focal_loss",
    "map",
    "nms_kind",
    "beta_nms",
    "track_history_size",
    "sim_thresh",
    "dets_for_track",
    "dets_for_show",
    "track_ciou_norm",
    "beta1",
    "yolo_point",
)
HARMLESS: dict[str, tuple[str, ...]] = {
    "net": (
        "batch",
        "subdivisions",
        "learning_rate",
        "momentum",
        "decay",
        "adam",
        "b1",
        "b2",
        "eps",
        "max_crop",
        "min_crop",
        "angle",
        "aspect",
        "saturation",
        "exposure",
        "hue",
        "power",
        "policy",
        "burn_in",
        "max_batches",
        "step",
        "scale",
        "steps",
        "scales",
        "gamma",
        "notruth",
        "random",
        "max_ratio",
        "min_ratio",
        "center",
        "learning_rate_min",
        "sgdr_cycle",
        "sgdr_mult",
        "seq_scales",
        "track",
        "augment_speed",
        "sequential_subdivisions",
        "weights_reject_freq",
        "equidistant_point",
        "badlabels_rejection_percentage",
        "num_sigmas_reject_badlabels",
        "ema_alpha",
        "use_cuda_graph",
        "loss_scale",
        "dynamic_minibatch",
        "optimized_memory",
        "workspace_size_limit_mb",
        "flip",
        "blur",
        "gaussian_noise",
        "mixup",
        "cutmix",
        "mosaic",
        "mosaic_bound",
        "contrastive",
        "contrastive_jit_flip",
        "contrastive_color",
        "unsupervised",
        "label_smooth_eps",
        "resize_step",
        "attention",
        "adversarial_lr",
        "max_chart_loss",
        "show_receptive_field",
        "letter_box",
        "try_fix_nan",
        "seen",
        "max_epochs",
        "time_steps",
        "inputs",
    ),
    "convolutional": (
        "dot",
        "assisted_excitation",
        "sway",
        "rotate",
        "stretch",
        "stretch_sway",
        "angle",
        "grad_centr",
        "reverse",
        "stream",
        "wait_stream",
        "cbn",
    ),
    "dropout": ("dropblock", "dropblock_size_rel", "dropblock_size_abs"),
    "route": ("stream", "wait_stream"),
    "crop": ("flip", "angle", "saturation", "exposure", "shift"),
    "softmax": ("groups", "temperature", "tree", "spatial", "noloss"),  # what comes out here is before it
    "cost": ("type", "scale", "ratio", "noobj", "thresh"),
    "shortcut": ("weights_normalization",),
    "yolo": DETECTOR_HARMLESS,
    "gaussian_yolo": DETECTOR_HARMLESS,
    "detection": (
        *DETECTOR_HARMLESS,
        "rescore",
        "forced",
        "coord_scale",
        "object_scale",
        "noobject_scale",
        "class_scale",
        "reorg",
    ),
    "region": (
        *DETECTOR_HARMLESS,
        "log",
        "sqrt",
        "rescore",
        "thresh",
        "absolute",
        "coord_scale",
        "object_scale",
        "noobject_scale",
        "mask_scale",
        "class_scale",
        "bias_match",
        "classfix",
    ),
}
REFUSED: dict[str, dict[str, str]] = {
    "convolutional": {
        "xnor": "0",
        "binary": "0",
        "bin_output": "0",
        "flipped": "0",
        "antialiasing": "0",
        "share_index": "",
        "coordconv": "0",
    },
    "maxpool": {"maxpool_depth": "0", "antialiasing": "0", "maxpool_zero_nonmax": "0", "stride_x": "", "stride_y": ""},
    "local_avgpool": {"stride_x": "", "stride_y": ""},
    "shortcut": {"weights_type": "none", "alpha": "1", "beta": "1"},
    "upsample": {"scale": "1"},
    "reorg": {"reverse": "0", "flatten": "0", "extra": "0"},
    "reorg3d": {"reverse": "0"},
    "yolo": {"embedding_layer": ""},
    "region": {"tree": "", "background": "0"},
}
TYPO_CUTOFF = 0.8  # difflib's similarity from which a key counts as a misspelt one


def check_keys(section: Section) -> None:
    """Checks the keys of a section.

    Raises:
        InputError: For a key that changes the network and is not supported, and for one that looks like a
            misspelt honoured or refused key.
    """
    refused = COMMON_REFUSED | REFUSED.get(section.name, {})
    honoured = HONOURED.get(section.name, ())
    all_keys = {*honoured, *refused, *HARMLESS.get(section.name, ()), *COMMON_HARMLESS}
    for key, (value, _) in section.keys.items():
        neutral = refused.get(key)
        if neutral is not None and not _equal(value, neutral):
            exception = f"; {neutral} is" if neutral else ""
            raise section.fault(f"changes the network and is not supported{exception}", key)
        is_unknown = key.lower() not in all_keys and key[:1].isalpha()
        if is_unknown and (nearest := get_close_matches(key, [*honoured, *refused], 1, TYPO_CUTOFF)):
            raise section.fault(f'is not a Darknet key. Did you mean "{nearest[0]}"?', key)


def _equal(value: str, neutral: str) -> bool:
    try:
        return float(value) == float(neutral)
    except ValueError:
        return value == neutral


def key_table() -> str:
    """Returns a table in Markdown of every section's keys, as in docs/darknet.md."""
    lines = ["| section | honoured | without consequence | refused, but for |", "|---|---|---|---|"]

    def quote(keys: Iterable[str]) -> str:
        return ", ".join(f"`{key}`" for key in keys)

    def settings(keys: Mapping[str, str]) -> str:
        return ", ".join(f"`{key}={value}`" if value else f"`{key}`" for key, value in keys.items())

    for name, honoured in HONOURED.items():
        lines.append(
            f"| `[{name}]` | {quote(honoured)} | {quote(HARMLESS.get(name, ()))} | {settings(REFUSED.get(name, {}))} |"
        )
    lines.append(f"| every one | | {quote(COMMON_HARMLESS)} | {settings(COMMON_REFUSED)} |")
    lines += [f"| `[{name}]` | – | – | {why} |" for name, why in REFUSED_SECTIONS.items()]
    return "\n".join(lines)
