"""What MkDocs does beside its own work (its `hooks`): it adds the pages that are not in docs/, and leaves out
links that lead nowhere on a site.
"""

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
REFERENCE = ROOT / ".phoebe" / "reference"
# Pages that stand in the root of the project because tools and readers look for them there.
_FROM_ROOT = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
# The theme takes it from another host; the site asks nothing of other hosts.
_SHIM = "https://unpkg.com/iframe-worker/shim"
_OWN_SHIM = "assets/javascripts/iframe-worker-shim.js"
_ADDED = {_OWN_SHIM: "vendored/iframe-worker-shim.js", "assets/stylesheets/site.css": "site.css"}
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig, **_: Any) -> Files:
    """Add the pages of the root, the generated ones, and what the theme needs."""
    for place, name in _ADDED.items():
        content = (Path(__file__).parent / name).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=content))
    for name, page in _FROM_ROOT.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text(encoding="utf-8")))
    for file in sorted(REFERENCE.glob("*.md")):
        files.append(File.generated(config, file.name, content=file.read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links between pages to pages; of links to other files of the project keep the words."""
    in_root = page.file.src_uri in _FROM_ROOT.values()
    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _with_links(part, in_root=in_root) for part in parts)


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """Lead the theme to what is its own."""
    return output.replace(_SHIM, _OWN_SHIM)


def on_post_template(output_content: str, template_name: str, **_: Any) -> str:
    """Do the same for what is no page, such as 404.html."""
    return output_content.replace(_SHIM, f"/{_OWN_SHIM}")


def _with_links(text: str, *, in_root: bool) -> str:
    def lead(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        if re.match(r"[a-z]+:", target):
            return found[0]
        path = ((ROOT if in_root else ROOT / "docs") / target).resolve()
        if path.parent == ROOT / "docs" and path.suffix == ".md":
            return f"[{label}]({path.name}{anchor})"
        if path.parent == ROOT and path.name in _FROM_ROOT:
            return f"[{label}]({_FROM_ROOT[path.name]}{anchor})"
        if path.is_relative_to(ROOT) and path.exists() and path.suffix not in {".png", ".svg"}:
            return label if "/" in label or "." in label else f"{label} (`{path.relative_to(ROOT)}`)"
        return found[0]

    return _LINK.sub(lead, text)
