"""
Hooks that adapt this repository to MkDocs.

Documents at its top and lessons become pages (`PAGES`). A link to any other file of the repository
leads to a page that shows the file. Laws get anchors, and a law that a docstring names links to it.
"""

from __future__ import annotations

import importlib.util
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("lessons", Path(__file__).with_name("lessons.py"))
lessons = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
spec.loader.exec_module(lessons)  # type: ignore[union-attr]
PAGES = {
    "README.md": "index.md",
    "DESIGN.md": "design.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/details.md": "benchmarks-in-detail.md",
    **{
        path.relative_to(ROOT).as_posix(): f"samples/{path.parent.name}.md"
        for path in sorted((ROOT / "benchmarks" / "results").glob("*-*/tables.md"))
    },
    "notebooks/README.md": "lessons/index.md",
    **{f"notebooks/{path.name}": f"lessons/{path.stem}.md" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))},
}
LINK = re.compile(r"(?<=\]\()([^)#\s]*)(#[^)\s]*)?(?=\))")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LANGUAGES = {".py": "python", ".c": "c", ".toml": "toml", ".json": "json", ".yml": "yaml"}
PICTURES = (".svg", ".png")


def repository_path(page: str) -> str:
    """Return the path of a page's text in the repository."""
    return next((path for path, name in PAGES.items() if name == page), f"docs/{page}")


def site_path(path: str) -> str:
    """Return the path of a repository's file in the site."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"files/{path}" if path.endswith(PICTURES) else f"files/{path}.md"


def targets(text: str, page: str) -> list[str]:
    """Return the repository's files that a page links to, outside of fenced code."""
    here = posixpath.dirname(repository_path(page))
    links = [match[1] for part in FENCED.split(text)[::2] for match in LINK.finditer(part)]
    found = [posixpath.normpath(posixpath.join(here, link)) for link in links if link and ":" not in link]
    return [path for path in found if (ROOT / path).exists()]


def with_site_links(text: str, page: str) -> str:
    """
    Return the page with links to those files in the site.

    A link that leads nowhere stays, and MkDocs warns of it.
    """
    here, there = posixpath.dirname(repository_path(page)), posixpath.dirname(page) or "."

    def moved(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(here, match[1]))
        if not match[1] or ":" in match[1] or not ((ROOT / path).exists() or path in PAGES):
            return match[0]
        return posixpath.relpath(site_path(path), there) + (match[2] or "")

    parts = FENCED.split(text)
    parts[::2] = [LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


def shown(path: Path) -> str:
    """Return a page that shows a file, or the names in a folder."""
    title = f"# `{path.relative_to(ROOT).as_posix()}`\n\n"
    if path.is_dir():
        names = sorted(each.name for each in path.iterdir() if each.suffix in (".py", ".md", ".c", ".ipynb"))
        return title + "".join(f"- `{name}`\n" for name in names)
    return f"{title}```{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text('utf-8')}\n```\n"


def on_config(config: Any) -> Any:
    """Put every lesson, and every machine's samples, into the navigation."""
    project = next(entry for entry in config.nav if "The project" in entry)["The project"]
    place = project.index("benchmarks-in-detail.md") + 1
    project[place:place] = [name for name in PAGES.values() if name.startswith("samples/") and name not in project]
    section = next(entry for entry in config.nav if "Lessons" in entry)
    section["Lessons"] += [name for name in PAGES.values() if name.startswith("lessons/") and name not in section["Lessons"]]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the documents at the top, and every file that a page links to."""
    for path, name in PAGES.items():
        if path.endswith(".ipynb"):
            text, pictures = lessons.page(ROOT / path)
            files.append(File.generated(config, name, content=text))
            for picture, content in pictures.items():
                files.append(File.generated(config, f"lessons/{picture}", content=content))
        elif (ROOT / path).exists():
            files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
        else:
            files.append(File.generated(config, name, content=f"# `{path}`\n\nNothing has been measured yet.\n"))
    for page in [file for file in files if file.src_uri.endswith(".md")]:
        for path in targets(page.content_string, page.src_uri):
            name = site_path(path)
            if name in files.src_uris:
                continue
            if name.endswith(PICTURES):
                files.append(File.generated(config, name, abs_src_path=str(ROOT / path)))
            else:
                file = File.generated(config, name, content=shown(ROOT / path))
                file.inclusion = InclusionLevel.NOT_IN_NAV
                files.append(file)
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Turn links of the repository into links of the site, and give each law an anchor."""
    if page.file.src_uri.startswith("files/"):
        return markdown
    if page.file.src_uri == "semantics.md":
        markdown = re.sub(r"^(\*\*(L\d+b?) )", r'<a id="\2"></a>\1', markdown, flags=re.MULTILINE)
    return with_site_links(markdown, page.file.src_uri)


def on_page_content(html: str, page: Page, config: Any, files: Files) -> str:
    """Link the laws that docstrings name to their text."""
    if not page.file.src_uri.startswith("api/"):
        return html
    html = html.replace(".. [1] ", "[1] ")  # reStructuredText's mark of a footnote
    return re.sub(r"(?<=[\s(>])(L\d+b?)(?=[,.;:)\s<])", r'<a href="../semantics.html#\1">\1</a>', html)
