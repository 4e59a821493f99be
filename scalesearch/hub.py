"""The Hugging Face Hub: files of weights and data sets, fetched once. The only importer of its client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from scalesearch.errors import InputError

KINDS = ("parquet", "csv", "tsv", "jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff")
IMAGES = tuple(f"*.{kind}" for each in KINDS for kind in (each, each.upper()))
CONVERTED = "refs/convert/parquet"  # where the Hub keeps data sets of other forms as parquet


def hub_file(repository: str, name: str, source: str) -> Path:
    """A file of a model, and the `config.json` beside it where the model has one, which says how images are prepared.

    Raises `InputError`, placed at `source`, where it cannot be had.
    """

    def fetch(client: Any) -> Path:
        path = Path(client.hf_hub_download(repository, name))
        with suppress(client.errors.HfHubHTTPError, client.errors.LocalEntryNotFoundError):
            client.hf_hub_download(repository, "config.json")
        return path

    return _fetched(fetch, source, "hf_hub:OWNER/NAME", "weights")


def hub_data(told: str, source: str) -> Path:
    """A folder with the images of a data set (`OWNER/NAME`, `OWNER/NAME/CONFIGURATION`), as they lie on the Hub or as
    it has converted them; never decoded.

    Raises `InputError`, placed at `source`, where it cannot be had, and for one with several configurations where none
    is named.
    """
    owner, _, rest = told.partition("/")
    name, _, configuration = rest.partition("/")

    def fetch(client: Any) -> Path:
        folder = _snapshot(client, f"{owner}/{name}", configuration, None)
        there = any(path.match(kind) for path in folder.rglob("*") for kind in IMAGES)
        return folder if there else _snapshot(client, f"{owner}/{name}", configuration, CONVERTED)

    folder = _fetched(fetch, source, "hf:OWNER/NAME", "data set")
    if configuration:
        return folder / configuration
    inside = [path.relative_to(folder).parts for path in folder.rglob("*.parquet")]
    several = {parts[0] for parts in inside if len(parts) == 3 or (len(parts) == 2 and not _is_split(parts[0]))}
    if len(several) > 1 and "default" not in several:
        raise InputError(
            f"has several configurations: {', '.join(sorted(several))}; name one as {source}/{min(several)}", source
        )
    return folder / "default" if "default" in several else folder


def _is_split(name: str) -> bool:
    """Whether a folder of parquet files is a split's, and not a configuration's."""
    return name.startswith(("train", "val", "test", "dev"))


def _snapshot(client: Any, repository: str, configuration: str, revision: str | None) -> Path:
    wanted = [f"{configuration}/{kind}" if configuration else kind for kind in IMAGES]
    return Path(client.snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=wanted))


def _fetched(fetch: Callable[[Any], Path], source: str, form: str, what: str) -> Path:
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
        raise InputError(f"the Hub has no such {what}: {str(error).splitlines()[0]}", source) from None
    except OSError as error:
        raise InputError(f"cannot be reached: {error}", source) from None
