"""What a user takes home: a standalone Python file, ONNX, torch.export's .pt2, weights by our names or a peer's."""

from __future__ import annotations

from scalesearch.export.files import save_text as save_text
from scalesearch.export.files import save_weights as save_weights
from scalesearch.export.files import write as write
from scalesearch.export.python import to_python as to_python
