"""ConvNeXt-T (Liu et al. 2022, table 9). Checked against torchvision's."""

from __future__ import annotations

from scalesearch.arch import Arch, Stage, block

#                            widths               depths
LAYOUTS = {"convnext_tiny": ((96, 192, 384, 768), (3, 3, 9, 3))}


def convnext(name: str) -> Arch:
    """Returns the ConvNeXt called `name`, a key of `LAYOUTS`."""
    widths, depths = LAYOUTS[name]
    stages = tuple(
        Stage(block("convnext", width=width), depth, 2 if i else 1)
        for i, (width, depth) in enumerate(zip(widths, depths))
    )
    stem, head = (block("patchify", "stem", width=widths[0]),), block("layer_norm_classifier", "head")
    return Arch(name, 224, 1000, stem, stages, head, norm_eps=1e-6, drop_path=0.1)


MODELS = dict.fromkeys(LAYOUTS, convnext)
