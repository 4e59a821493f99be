"""Published accuracies of the zoo's networks, whose figures they are, and how the images were prepared for them."""

from __future__ import annotations

from typing import NamedTuple

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
NONE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


class Preprocessing(NamedTuple):
    """How an image becomes the input: shorter side to `resize` pixels, the middle `crop` of them, (x - mean) / std."""

    crop: int
    resize: int
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = IMAGENET[0]
    std: tuple[float, float, float] = IMAGENET[1]


class Published(NamedTuple):
    """Top-1 accuracy in percent (ImageNet's, or CIFAR-10's for the CIFAR networks), at which resolution, whose figure it is."""

    top1: float | None = None
    top1_resolution: int | None = None
    source: str | None = None
    preprocessing: Preprocessing | None = None


def _torchvision(top1: float, crop: int, resize: int, interpolation: str, mean_std: tuple = IMAGENET) -> Published:
    return Published(top1, crop, "torchvision 0.28.0, IMAGENET1K_V1", Preprocessing(crop, resize, interpolation, *mean_std))


def _timm(top1: float, size: int, crop: float, interpolation: str, weights: str, mean_std: tuple = IMAGENET) -> Published:
    prepared = Preprocessing(size, int(size / crop), interpolation, *mean_std)
    return Published(top1, size, f"timm results-imagenet.csv, {weights}", prepared)


def _ultralytics(top1: float) -> Published:
    return Published(top1, 224, "Ultralytics documentation, YOLOv8-cls", Preprocessing(224, 224, "bilinear", *NONE))


def _cifar(error: float, source: str) -> Published:
    return Published(round(100 - error, 2), 32, f"CIFAR-10, {source}")


# torchvision's GoogLeNet and Inception v3 bring ImageNet's mean and std to one half inside the model; here the image is prepared so.
RESNET, DENSENET = "He et al. 2015, table 6", "Huang et al. 2017, table 2"
PUBLISHED = {
    "vgg11": _torchvision(69.02, 224, 256, "bilinear"),
    "vgg11_bn": _torchvision(70.37, 224, 256, "bilinear"),
    "vgg13": _torchvision(69.928, 224, 256, "bilinear"),
    "vgg13_bn": _torchvision(71.586, 224, 256, "bilinear"),
    "vgg16": _torchvision(71.592, 224, 256, "bilinear"),
    "vgg16_bn": _torchvision(73.36, 224, 256, "bilinear"),
    "vgg19": _torchvision(72.376, 224, 256, "bilinear"),
    "vgg19_bn": _torchvision(74.218, 224, 256, "bilinear"),
    "resnet18": _torchvision(69.758, 224, 256, "bilinear"),
    "resnet34": _torchvision(73.314, 224, 256, "bilinear"),
    "resnet50": _torchvision(76.13, 224, 256, "bilinear"),
    "resnet101": _torchvision(77.374, 224, 256, "bilinear"),
    "resnet152": _torchvision(78.312, 224, 256, "bilinear"),
    "resnext50_32x4d": _torchvision(77.618, 224, 256, "bilinear"),
    "wide_resnet50_2": _torchvision(78.468, 224, 256, "bilinear"),
    "inception_v1": _torchvision(69.778, 224, 256, "bilinear", HALF),
    "inception_v3": _torchvision(77.294, 299, 342, "bilinear", HALF),
    "densenet121": _torchvision(74.434, 224, 256, "bilinear"),
    "densenet161": _torchvision(77.138, 224, 256, "bilinear"),
    "densenet169": _torchvision(75.6, 224, 256, "bilinear"),
    "densenet201": _torchvision(76.896, 224, 256, "bilinear"),
    "mobilenet_v2": _torchvision(71.878, 224, 256, "bilinear"),
    "mobilenet_v3_small": _torchvision(67.668, 224, 256, "bilinear"),
    "mobilenet_v3_large": _torchvision(74.042, 224, 256, "bilinear"),
    "efficientnet_b0": _torchvision(77.692, 224, 256, "bicubic"),
    "efficientnet_b1": _torchvision(78.642, 240, 256, "bicubic"),
    "efficientnet_b2": _torchvision(80.608, 288, 288, "bicubic"),
    "efficientnet_b3": _torchvision(82.008, 300, 320, "bicubic"),
    "efficientnet_b4": _torchvision(83.384, 380, 384, "bicubic"),
    "efficientnet_b5": _torchvision(83.444, 456, 456, "bicubic"),
    "efficientnet_b6": _torchvision(84.008, 528, 528, "bicubic"),
    "efficientnet_b7": _torchvision(84.122, 600, 600, "bicubic"),
    "efficientnet_v2_s": _torchvision(84.228, 384, 384, "bilinear"),
    "efficientnet_v2_m": _torchvision(85.112, 480, 480, "bilinear"),
    "efficientnet_v2_l": _torchvision(85.808, 480, 480, "bicubic", HALF),
    "mnasnet0_5": _torchvision(67.734, 224, 256, "bilinear"),
    "mnasnet0_75": _torchvision(71.18, 224, 232, "bilinear"),
    "mnasnet1_0": _torchvision(73.456, 224, 256, "bilinear"),
    "mnasnet1_3": _torchvision(76.506, 224, 232, "bilinear"),
    "regnet_y_400mf": _torchvision(74.046, 224, 256, "bilinear"),
    "regnet_y_800mf": _torchvision(76.42, 224, 256, "bilinear"),
    "regnet_y_1_6gf": _torchvision(77.95, 224, 256, "bilinear"),
    "regnet_y_3_2gf": _torchvision(78.948, 224, 256, "bilinear"),
    "regnet_y_8gf": _torchvision(80.032, 224, 256, "bilinear"),
    "shufflenet_v2_x0_5": _torchvision(60.552, 224, 256, "bilinear"),
    "shufflenet_v2_x1_0": _torchvision(69.362, 224, 256, "bilinear"),
    "shufflenet_v2_x1_5": _torchvision(72.996, 224, 232, "bilinear"),
    "shufflenet_v2_x2_0": _torchvision(76.23, 224, 232, "bilinear"),
    "squeezenet1_0": _torchvision(58.092, 224, 256, "bilinear"),
    "squeezenet1_1": _torchvision(58.178, 224, 256, "bilinear"),
    "convnext_tiny": _torchvision(82.52, 224, 236, "bilinear"),
    "inception_v4": _timm(80.144, 299, 0.875, "bicubic", "inception_v4.tf_in1k", HALF),
    "inception_resnet_v2": _timm(80.434, 299, 0.897, "bicubic", "inception_resnet_v2.tf_in1k", HALF),
    "mobilenet_v1": _timm(75.388, 224, 0.875, "bicubic", "mobilenetv1_100.ra4_e3600_r224_in1k", HALF),
    "mobilenet_v2_x0_5": _timm(65.928, 224, 0.875, "bicubic", "mobilenetv2_050.lamb_in1k"),
    "mobilenet_v2_x1_4": _timm(76.528, 224, 0.875, "bicubic", "mobilenetv2_140.ra_in1k"),
    "mobilenet_v3_small_x0_5": _timm(57.918, 224, 0.875, "bicubic", "mobilenetv3_small_050.lamb_in1k"),
    "mobilenet_v3_small_x0_75": _timm(65.284, 224, 0.875, "bicubic", "mobilenetv3_small_075.lamb_in1k"),
    "mobilenet_v4_conv_small": _timm(73.756, 224, 0.875, "bicubic", "mobilenetv4_conv_small.e2400_r224_in1k"),
    "mobilenet_v4_conv_medium": _timm(79.916, 256, 0.95, "bicubic", "mobilenetv4_conv_medium.e500_r256_in1k"),
    "mobilenet_v4_conv_large": _timm(82.974, 384, 0.95, "bicubic", "mobilenetv4_conv_large.e600_r384_in1k"),
    "mobilenet_v4_hybrid_large": _timm(83.996, 384, 0.95, "bicubic", "mobilenetv4_hybrid_large.ix_e600_r384_in1k"),
    "regnet_y_4gf": _timm(82.308, 224, 0.95, "bicubic", "regnety_040.ra3_in1k"),
    "regnet_y_6_4gf": _timm(83.006, 224, 0.95, "bicubic", "regnety_064.ra3_in1k"),
    "regnet_y_800mf_pycls": _timm(76.334, 224, 0.875, "bicubic", "regnety_008.pycls_in1k"),
    "regnet_y_8gf_pycls": _timm(83.166, 224, 0.95, "bicubic", "regnety_080.ra3_in1k"),
    "mobilenet_v4_hybrid_medium": _timm(81.478, 256, 0.95, "bicubic", "mobilenetv4_hybrid_medium.ix_e550_r256_in1k"),
    "darknet53": Published(77.2, 256, "Redmon & Farhadi 2018, table 2", Preprocessing(256, 256, "bilinear", *NONE)),
    "yolov8n_cls": _ultralytics(69.0), "yolov8s_cls": _ultralytics(73.8), "yolov8m_cls": _ultralytics(76.8),
    "yolov8l_cls": _ultralytics(78.3), "yolov8x_cls": _ultralytics(79.0),
    "resnet20_cifar": _cifar(8.75, RESNET), "resnet32_cifar": _cifar(7.51, RESNET), "resnet44_cifar": _cifar(7.17, RESNET),
    "resnet56_cifar": _cifar(6.97, RESNET), "resnet110_cifar": _cifar(6.43, RESNET),
    "densenet_bc100_12": _cifar(4.51, DENSENET), "densenet_bc250_24": _cifar(3.62, DENSENET),
    "densenet_bc190_40": _cifar(3.46, DENSENET),
}  # fmt: skip


def published(name: str) -> Published:
    """What is published of the network called `name`; all of it None where nothing is."""
    return PUBLISHED.get(name, Published())
