"""What the book adds to its theme, as a Sphinx extension.

Pictures are small and keep their place while a page loads; pages say to search engines and messengers what is
in them; buttons that look alike have names that differ.
"""

import html
import itertools
import re
import textwrap
from pathlib import Path
from typing import Any

from docutils import nodes
from PIL import Image
from sphinx.transforms.post_transforms.images import BaseImageConverter

_PREVIEW = "preview.jpg"
_PREVIEW_SIZE = (1200, 630)  # what messengers show without cutting
_DESCRIPTION = 160  # characters that a search engine shows


class _WebP(BaseImageConverter):
    """Turn a page's PNGs into WebP: charts without losses, pictures of images at a tenth of the size."""

    default_priority = 200  # when pictures have been collected

    def match(self, node: nodes.image) -> bool:
        return bool(self.app.builder.format == "html" and node["uri"].endswith(".png"))

    def handle(self, node: nodes.image) -> None:
        original, name = node["uri"], self.env.images[node["uri"]][1]
        small = Path(self.imagedir) / Path(name).with_suffix(".webp")
        small.parent.mkdir(parents=True, exist_ok=True)
        with Image.open(Path(self.app.srcdir) / original) as picture:
            picture.save(small, "WEBP", lossless="chart" in node["classes"], quality=90)
        node["uri"] = node["candidates"]["*"] = str(small)
        self.env.images.add_file(self.env.docname, str(small))


def setup(app: Any) -> dict[str, bool]:
    """Register this Sphinx extension.

    Args:
        app: the Sphinx application.

    Returns:
        metadata: pages can be read in parallel.
    """
    app.add_post_transform(_WebP)
    app.connect("builder-inited", _draw_preview)
    app.connect("html-page-context", _dress)
    return {"parallel_read_safe": True}


def _draw_preview(app: Any) -> None:
    """Put the first page's figure, in the format of previews, where it is copied beside the pages."""
    preview = Image.new("RGB", _PREVIEW_SIZE, "white")
    with Image.open(Path(app.srcdir, "figures", "hero.png")) as hero:
        hero.thumbnail(_PREVIEW_SIZE)
        width, height = (a - b for a, b in zip(_PREVIEW_SIZE, hero.size, strict=True))
        preview.paste(hero, (width // 2, height // 2))
    preview.save(Path(app.srcdir, "_extra", _PREVIEW), quality=90)


def _dress(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Complete the HTML of a page before it is put into the theme."""
    if doctree is None:  # the search and its like
        return
    context["metatags"] += _described(app, context, doctree)
    pictures = {name: Path(app.srcdir, uri) for uri, name in app.builder.images.items()}
    count = itertools.count()

    def sized(tag: re.Match[str]) -> str:
        with Image.open(pictures[tag["name"]]) as picture:
            size = 'width="{}" height="{}"'.format(*picture.size)
        # The first picture is mostly on the first screen, and needed at once.
        lazily = 'loading="lazy" ' if next(count) else ""
        return f"<img {lazily}{size} {tag[0].removeprefix('<img ')}"

    body = re.sub(r'<img [^>]*src="[^"]*_images/(?P<name>[^"]+\.webp)"[^>]*>', sized, context["body"])
    count = itertools.count(1)
    context["body"] = re.sub(
        r'<summary aria-label="Toggle hidden content">(.*?)</summary>',
        lambda summary: f'<summary>{summary[1]}<span class="sr-only"> ({next(count)})</span></summary>',
        body,
        flags=re.DOTALL,
    )


def _described(app: Any, context: dict[str, Any], doctree: Any) -> str:
    """Meta tags with the page's title, its first sentences and the book's preview picture."""
    text = " ".join(" ".join(p.astext() for p in doctree.findall(nodes.paragraph)).split())
    description = textwrap.shorten(text, _DESCRIPTION, placeholder=" …")
    width, height = map(str, _PREVIEW_SIZE)
    properties = {
        "og:type": "article",
        "og:site_name": app.config.html_title,
        "og:title": html.unescape(re.sub(r"<[^>]+>", "", context["title"])),
        "og:description": description,
        "og:url": context["pageurl"],
        "og:image": app.config.html_baseurl + _PREVIEW,
        "og:image:width": width,
        "og:image:height": height,
    }
    metas = {
        "name": {"description": description, "twitter:card": "summary_large_image"},
        "property": properties,
    }
    return "".join(
        f'\n    <meta {kind}="{name}" content="{html.escape(content)}" />'
        for kind, entries in metas.items()
        for name, content in entries.items()
    )
