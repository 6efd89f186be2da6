"""The page to log in at, and the one that says that the services are away: plain HTML, without script or socket."""

from __future__ import annotations

from html import escape

from exchange.console.texts import Words

_PAGE = """<!doctype html>
<html lang="{language}"><head><meta charset="utf-8"><title>{title} – Exchange</title>
<meta name="viewport" content="width=device-width, initial-scale=1">{refresh}
<link rel="icon" href="/assets/icon.svg"><link rel="stylesheet" href="/assets/console.css"></head>
<body class="plain {theme}"><main class="card entrance">
<p class="brand-name">Exchange</p><p class="brand-subtitle">{subtitle}</p><h1>{title}</h1>{body}</main></body></html>
"""
_FORM = """{said}<form method="post" action="/login?page={page}">
<label>{name}<input name="name" autocomplete="username" autofocus required maxlength="100"></label>
<label>{password}
<input name="password" type="password" autocomplete="current-password" required maxlength="300"></label>
<button type="submit">{login}</button></form>"""


def login_page(words: Words, theme: str, page: str, problem: str = "") -> str:
    """The form. `page`: one of ours, to go on to; `problem`: what to say of the last attempt."""
    said = f'<p class="notice" role="alert">{escape(problem)}</p>' if problem else ""
    named = {key: escape(words(f"login.{key}")) for key in ("name", "password", "login")}
    return _page(words, theme, words("login.title"), _FORM.format(said=said, page=escape(page), **named))


def away_page(words: Words, theme: str, code: str) -> str:
    """Nobody can come in now; the page loads itself again."""
    said = f'<p class="notice" role="status">{escape(words.away(code))}</p>'
    return _page(words, theme, words("login.away"), said, '<meta http-equiv="refresh" content="5">')


def _page(words: Words, theme: str, title: str, body: str, refresh: str = "") -> str:
    classes = {"dark": "body--dark", "light": "body--light"}.get(theme, "")
    return _PAGE.format(
        language=words.language,
        title=escape(title),
        subtitle=escape(words("frame.subtitle")),
        theme=classes,
        refresh=refresh,
        body=body,
    )
