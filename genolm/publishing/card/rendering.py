"""Markdown from a template that stands beside the module that fills it."""

from pathlib import Path
from typing import Any

from genolm.publishing.card.tables import escape_text, render_table


def render_template(path: Path, content: dict[str, Any]) -> str:
    """Fill a jinja2 template; a name that it uses and nobody gave is an error.

    Args:
        path: of the template; it has the filters render_table and escape_text.
        content: what its names stand for. Texts of foreign origin go through one of the filters.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(  # noqa: S701  Markdown, no HTML
        loader=FileSystemLoader(path.parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"render_table": render_table, "escape_text": escape_text}
    return environment.get_template(path.name).render(content)
