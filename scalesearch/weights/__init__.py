"""Weights in: our own files, torchvision's, timm's and Ultralytics' state dicts, Darknet's .weights, the Hugging Face Hub."""

from __future__ import annotations

from scalesearch.weights.loading import load_weights as load_weights
from scalesearch.weights.peers import known_to as known_to
from scalesearch.weights.peers import peer_weights as peer_weights
