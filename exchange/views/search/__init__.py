"""Search for auditors: over every submission that the trace store knows of, by whatever is known of one."""

from exchange.views.search import below
from exchange.views.search.finding import LIMIT, LIMIT_MAX, Found, Page, pages, search
from exchange.views.search.query import KINDS, OUTCOMES, STATUSES, Query

__all__ = ["KINDS", "LIMIT", "LIMIT_MAX", "OUTCOMES", "STATUSES", "Found", "Page", "Query", "below", "pages", "search"]
