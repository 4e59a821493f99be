"""Zero-cost proxies: scores of an untrained network, computed from one batch of images.

Every proxy takes a freshly initialised network, images, labels and a loss; larger values are meant to be
better. `proxies` restores weights and statistics after each.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import nn

from scalesearch.network import Network
from scalesearch.trials import PROXIES

BATCH = 32
Loss = Callable[[torch.Tensor, Any], torch.Tensor]  # of outputs and labels
MIXUP = 1e-2  # factor of the noise that `zen` adds to its images


def _outputs(model: nn.Module, images: torch.Tensor) -> Any:
    """Returns the outputs without those of auxiliary heads."""
    out = model(images)
    return out[0] if isinstance(model, Network) and model.arch.auxiliary and model.training else out


def _flat(outputs: Any) -> torch.Tensor:
    """Returns several outputs as one matrix, a row for each image; a single one as it is."""
    return outputs if isinstance(outputs, torch.Tensor) else torch.cat([output.flatten(1) for output in outputs], 1)


def _logits(model: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return _flat(_outputs(model, images))


def synflow(model: nn.Module, images: torch.Tensor, labels: object, loss: Loss) -> float:
    """Returns log Σ |w · ∂R/∂w| over weights of two or more dimensions (Tanaka et al. 2020).

    R is the sum of the outputs on an image of ones, with all weights made positive and the norms' statistics
    reset. `images` has shape `(N, C, H, W)`.
    """
    model = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.reset_running_stats()
        for parameter in model.parameters():
            parameter.abs_()
    _logits(model, torch.ones_like(images[:1]).double()).sum().backward()
    total = sum((p * p.grad).abs().sum().item() for p in model.parameters() if p.grad is not None and p.ndim > 1)
    return math.log(total) if total > 0 else -math.inf


def naswot(model: nn.Module, images: torch.Tensor, labels: object, loss: Loss) -> float:
    """Returns log |det K|, where K counts the activations whose sign two images share (Mellor et al. 2021).

    `images` has shape `(N, C, H, W)`.
    """
    agree = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)

    def record(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        if inputs[0].ndim > 1 and len(inputs[0]) == len(images):
            active = (inputs[0].detach().flatten(1) > 0).double()
            agree.add_(active @ active.T + (1 - active) @ (1 - active).T)

    kinds = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.LeakyReLU, nn.Hardswish)
    hooks = [module.register_forward_hook(record) for module in model.modules() if isinstance(module, kinds)]
    with torch.no_grad():
        model.train()
        _logits(model, images)
    for hook in hooks:
        hook.remove()
    kernel = agree / agree.max().clamp(min=1) + 1e-6 * torch.eye(len(images), device=agree.device)
    return cast(float, torch.linalg.slogdet(kernel).logabsdet.item())


def grad_norm(model: nn.Module, images: torch.Tensor, labels: object, loss: Loss) -> float:
    """Returns the norm of the loss's gradient by all weights (Abdelfattah et al. 2021).

    `images` has shape `(N, C, H, W)`.
    """
    model.train()
    model.zero_grad(set_to_none=True)
    loss(_outputs(model, images), labels).backward()
    return math.sqrt(sum(p.grad.pow(2).sum().item() for p in model.parameters() if p.grad is not None))


def jacov(model: nn.Module, images: torch.Tensor, labels: object, loss: Loss) -> float:
    """Returns a score that is larger the less the outputs' derivatives by the image correlate between images.

    Source: Mellor et al. (2020), version 1.

    `images` has shape `(N, C, H, W)`.
    """
    model.train()
    x = images.clone().requires_grad_()
    _logits(model, x).sum().backward()
    assert x.grad is not None
    correlation = torch.corrcoef(x.grad.flatten(1).double())
    if not torch.isfinite(correlation).all():
        return -math.inf
    values = torch.linalg.eigvalsh(correlation).clamp(min=0) + 1e-5
    return cast(float, -(values.log() + 1 / values).sum().item())


def zen(model: nn.Module, images: torch.Tensor, labels: object, loss: Loss) -> float:
    """Returns the Zen-score (Lin et al. 2021).

    It is the log of how much the head's inputs change when noise images are perturbed a little, plus the log
    of the scales that batch norms divide by. `images` has shape `(N, C, H, W)`.
    """
    model.train()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=generator).to(images)
    perturbed = noise + MIXUP * torch.randn(images.shape, generator=generator).to(images)
    scales: list[float] = []

    def record(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        scales.append(0.5 * math.log(inputs[0].detach().float().var().item() + 1e-12))

    hooks = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        maps = [_before_head(model, x) for x in (noise, perturbed)]
    for hook in hooks:
        hook.remove()
    difference = (maps[0] - maps[1]).abs().mean().item()
    return math.log(difference + 1e-12) + sum(scales) / 2


def _before_head(model: Any, x: torch.Tensor) -> torch.Tensor:
    """Returns the inputs of the head, a row for each image where there are several."""
    captured: list[torch.Tensor] = []
    hook = model.head.register_forward_pre_hook(
        lambda module, inputs: captured.append(_flat(inputs if len(inputs) > 1 else inputs[0]))
    )
    model(x)
    hook.remove()
    return captured[0].float()


PROXY_FUNCTIONS: dict[str, Callable[[nn.Module, torch.Tensor, Any, Loss], float]] = {
    function.__name__: function for function in (synflow, naswot, grad_norm, jacov, zen)
}
assert tuple(PROXY_FUNCTIONS) == PROXIES


def proxies(
    model: nn.Module, images: torch.Tensor, labels: Any, loss: Loss, names: Iterable[str] = PROXIES
) -> dict[str, float]:
    """Computes proxies by name on the first images of a batch: `{"proxy.synflow": …}`.

    Values that are not finite are left out. The network, its mode and the random state are as before.
    `images` has shape `(N, C, H, W)`.
    """
    state = copy.deepcopy(model.state_dict())
    rng_state, was_training = torch.get_rng_state(), model.training
    values = {}
    for name in names:
        value = PROXY_FUNCTIONS[name](model, images[:BATCH], labels[:BATCH], loss)
        model.load_state_dict(state)
        if math.isfinite(value):
            values[f"proxy.{name}"] = value
    model.zero_grad(set_to_none=True)
    model.train(was_training)
    torch.set_rng_state(rng_state)
    return values
