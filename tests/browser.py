"""A page in headless Chromium, and what axe-core finds wrong with it for people who can't see it or have no mouse."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
REPORT = """
<script>{axe}</script>
<script>
addEventListener("load", () => setTimeout(async () => {{
  const found = await axe.run(document, {{resultTypes: ["violations"]}});
  const out = document.createElement("pre");
  out.id = "axe-results";
  const elements = (violation) => violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 200));
  out.textContent = JSON.stringify(found.violations.map((v) => [v.impact, v.id, elements(v)]));
  document.body.append(out);
}}, 3000));
</script>
"""


def faults(text: str, folder: Path, dark: bool = False) -> list[Any]:
    """What axe-core finds serious or critical in a page: impact, rule and the first elements."""
    axe = (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
    page = folder / "page.html"
    page.write_text(text.replace("</body>", REPORT.format(axe=axe) + "</body>"), encoding="utf-8")
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [CHROMIUM, *FLAGS, *theme, f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1000"]
    done = subprocess.run(
        [*command, "--virtual-time-budget=20000", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        timeout=180,
    )
    match = re.search(r'<pre id="axe-results">(.*?)</pre>', done.stdout, re.S)
    assert match, f"axe has not run: {done.stderr[-500:]}"
    return [found for found in json.loads(html.unescape(match[1])) if found[0] in ("serious", "critical")]
