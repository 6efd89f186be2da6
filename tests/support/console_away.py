"""The console of a world whose Kafka and PostgreSQL are reached through ports of the test's, open or not.

`python -m tests.support.console_away HOME PORT KAFKA_PORT POSTGRES_PORT`
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

from psycopg.conninfo import make_conninfo

from exchange.backbone.clients import connection
from exchange.cli.console import deployment_of
from exchange.cli.world import World
from exchange.console import listen, serve
from exchange.local.home import Home


def main() -> None:
    """Serve until ended."""
    home, port, kafka, postgres = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    world = World(Home(home))
    url = make_conninfo(world.database_url, host="127.0.0.1", port=postgres)
    place = replace(
        deployment_of(world, "test"), base=lambda: connection(f"127.0.0.1:{kafka}"), database_url=lambda: url
    )
    asyncio.run(serve(place, listen(port)))


if __name__ == "__main__":
    main()
