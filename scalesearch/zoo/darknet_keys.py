"""What Darknet's keys mean for a network: honoured, harmless (without consequence for it), or refused.

The keys are in `darknet_keys.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from scalesearch.zoo.sections import KEYS, Section

ACTIVATIONS: dict[str, str | None] = KEYS["activations"]  # their names here by Darknet's
REFUSED_SECTIONS: dict[str, str] = KEYS["refused_sections"]  # and why they stay out
COMMON_HARMLESS: list[str] = KEYS["every_section"]["harmless"]
COMMON_REFUSED: dict[str, str] = KEYS["every_section"]["refused"]
HONOURED: dict[str, list[str]] = {name: keys["honoured"] for name, keys in KEYS["sections"].items()}
HARMLESS: dict[str, list[str]] = {
    name: (KEYS["every_detector"]["harmless"] if keys.get("detector") else []) + keys.get("harmless", [])
    for name, keys in KEYS["sections"].items()
}
REFUSED: dict[str, dict[str, str]] = {name: keys.get("refused", {}) for name, keys in KEYS["sections"].items()}
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
        lines.append(f"| `[{name}]` | {quote(honoured)} | {quote(HARMLESS[name])} | {settings(REFUSED[name])} |")
    lines.append(f"| every one | | {quote(COMMON_HARMLESS)} | {settings(COMMON_REFUSED)} |")
    lines += [f"| `[{name}]` | – | – | {why} |" for name, why in REFUSED_SECTIONS.items()]
    return "\n".join(lines)
