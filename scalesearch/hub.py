"""The Hugging Face Hub: files of weights and data sets, downloaded once. The only importer of its
client.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType

from scalesearch.errors import InputError

KINDS = ("parquet", "csv", "tsv", "jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
PATTERNS = tuple(f"*.{suffix}" for kind in KINDS for suffix in (kind, kind.upper()))
PARQUET_REVISION = "refs/convert/parquet"  # where the Hub keeps data sets of other formats, converted to parquet


def hub_file(repository: str, name: str, source: str) -> Path:
    """Returns the path of a model's file, downloaded once, with the model's `config.json` beside it if there is one.

    That file says how images are prepared.

    Args:
        repository: The model on the Hub, `OWNER/NAME`.
        name: The file in it.
        source: Where an error is placed.

    Raises:
        InputError: If the file cannot be had.
    """

    def fetch(client: ModuleType) -> Path:
        path = Path(client.hf_hub_download(repository, name))
        with suppress(client.errors.HfHubHTTPError, client.errors.LocalEntryNotFoundError):
            client.hf_hub_download(repository, "config.json")
        return path

    return _call_client(fetch, source, "hf_hub:OWNER/NAME", "weights")


def hub_data(dataset: str, source: str) -> Path:
    """Returns a folder with the files of a data set's images, downloaded once, as they are on the Hub.

    If the data set has another format there, the Hub's own conversion to parquet is taken.

    Args:
        dataset: `OWNER/NAME`, or `OWNER/NAME/CONFIGURATION`.
        source: Where an error is placed.

    Raises:
        InputError: If the data set cannot be had, or has several configurations and none is named.
    """
    owner, _, name_and_configuration = dataset.partition("/")
    name, _, configuration = name_and_configuration.partition("/")

    def fetch(client: ModuleType) -> Path:
        folder = _snapshot(client, f"{owner}/{name}", configuration, None)
        has_images = any(path.match(kind) for path in folder.rglob("*") for kind in PATTERNS)
        return folder if has_images else _snapshot(client, f"{owner}/{name}", configuration, PARQUET_REVISION)

    folder = _call_client(fetch, source, "hf:OWNER/NAME", "data set")
    if configuration:
        return folder / configuration
    tables = [path.relative_to(folder).parts for path in folder.rglob("*.parquet")]
    configurations = {parts[0] for parts in tables if len(parts) == 3 or (len(parts) == 2 and not _is_split(parts[0]))}
    if len(configurations) > 1 and "default" not in configurations:
        raise InputError(
            f"has several configurations: {', '.join(sorted(configurations))}; "
            f"name one as {source}/{min(configurations)}",
            source,
        )
    return folder / "default" if "default" in configurations else folder


def _is_split(name: str) -> bool:
    """Returns whether a folder of parquet files is a split's, and not a configuration's."""
    return name.startswith(("train", "val", "test", "dev"))


def _snapshot(client: ModuleType, repository: str, configuration: str, revision: str | None) -> Path:
    patterns = [f"{configuration}/{kind}" if configuration else kind for kind in PATTERNS]
    return Path(client.snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=patterns))


def _call_client(fetch: Callable[[ModuleType], Path], source: str, form: str, kind: str) -> Path:
    try:
        import huggingface_hub as client
        import huggingface_hub.errors as errors
    except ImportError:
        raise InputError("needs the Hugging Face client: pip install 'scalesearch[hub]'", source) from None
    try:
        return fetch(client)
    except errors.HFValidationError as error:
        raise InputError(f"takes {form}: {error}", source) from None
    except errors.LocalEntryNotFoundError:
        raise InputError(
            "cannot be reached, and no copy is on this machine; download it and name its path", source
        ) from None
    except errors.HfHubHTTPError as error:
        raise InputError(f"the Hub has no such {kind}: {str(error).splitlines()[0]}", source) from None
    except OSError as error:
        raise InputError(f"cannot be reached: {error}", source) from None
