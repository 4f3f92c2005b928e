"""Icons of the book's pages: of Font Awesome's two megabytes, what the theme shows."""

import re
from importlib.util import find_spec
from pathlib import Path

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont

from zsgan.base.files import write_atomically

_THEMES = ("sphinx_book_theme", "pydata_sphinx_theme")
_ICON = re.compile(r'((?:\.fa-[\w-]+:before,?)+)\{content:"\\(\w+)"\}')
_FONT = re.compile(
    r'url\(\.\./webfonts/([\w-]+)\.woff2\) format\("woff2"\),url\([^)]+\) format\("truetype"\)'
)


def write_icons(folder: Path) -> None:
    """Write ``icons.css`` and the fonts that it names.

    Args:
        folder: where to write; pages load the style sheet from it.
    """
    (awesome,) = _theme(_THEMES[1]).rglob("fontawesome/*/css/all.min.css")
    style = awesome.read_text(encoding="utf-8")
    shown = _shown(style)
    style = _ICON.sub(lambda rule: rule[0] if int(rule[2], 16) in shown else "", style)
    write_atomically(folder / "icons.css", _FONT.sub(r'url(\1.woff) format("woff")', style).encode())
    for file in awesome.parents[1].glob("webfonts/*.ttf"):
        with TTFont(file, recalcTimestamp=False) as font:
            subsetter = Subsetter(Options(notdef_outline=True))
            subsetter.populate(unicodes=shown)
            subsetter.subset(font)
            font.flavor = "woff"
            font.save(folder / f"{file.stem}.woff")


def _shown(style: str) -> set[int]:
    """Code points of all icons that the themes name in templates and scripts or draw in their styles."""
    names, drawn = set(), set()
    for theme in _THEMES:
        files = (file for file in _theme(theme).rglob("*.*") if "fontawesome" not in file.parts)
        for file in files:
            if file.suffix in (".html", ".js", ".py"):
                names |= set(re.findall(r"\bfa-[a-z-]+", file.read_text(encoding="utf-8")))
            elif file.suffix == ".css":
                text = file.read_text(encoding="utf-8")
                drawn |= {ord(icon) for icon in re.findall("[\ue000-\uf8ff]", text)}
                drawn |= {int(icon, 16) for icon in re.findall(r"\\([ef][0-9a-f]{3})\b", text)}
    for selectors, icon in _ICON.findall(style):
        if names & set(re.findall(r"\.(fa-[\w-]+):", selectors)):
            drawn.add(int(icon, 16))
    return drawn


def _theme(name: str) -> Path:
    """The folder of an installed theme."""
    (folder,) = find_spec(name).submodule_search_locations  # type: ignore[union-attr, misc]
    return Path(folder)
