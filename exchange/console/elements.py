"""HTML as it is meant, out of NiceGUI's elements: whatever text is given shows as text, and never as markup."""

from __future__ import annotations

from collections.abc import Collection

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement


def element(tag: str, classes: str = "") -> Element:
    """An element to put others into."""
    return ui.element(tag).classes(classes)


def text(tag: str, content: str, classes: str = "") -> TextElement:
    """An element that holds text; ``.text`` changes it."""
    made = TextElement(tag=tag, text=content)
    made.classes(classes)
    return made


def hostile(tag: str, content: str, classes: str = "") -> TextElement:
    """Text that anyone may have written: kept apart from what is around it, whichever way its letters run.

    A ``bdi`` isolates it (Unicode TR 9); what would be invisible or turn the line round is shown as its code point.
    """
    made = text(tag, visible(content), f"hostile {classes}".strip())
    made.props('dir="auto"')
    return made


def visible(content: str) -> str:
    """The text with what can't be seen made visible: controls, and marks of direction, as ⟨U+202E⟩; lines end."""
    return "".join(one if one.isprintable() or one == "\n" else f"⟨U+{ord(one):04X}⟩" for one in content)


def link(content: str, address: str, classes: str = "") -> TextElement:
    """A link within the console. `address`: ours, never somebody's text."""
    made = text("a", content, classes)
    made.props(f'href="{address}"')
    return made


def columns(*named: str, numbers: Collection[int] = ()) -> None:
    """The head row of a table, within its element. `numbers`: places of columns whose cells are numbers."""
    with element("thead"), element("tr"):
        for place, name in enumerate(named):
            text("th", name, "number" if place in numbers else "").props('scope="col"')
