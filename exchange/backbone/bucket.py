"""Objects in a bucket that speaks the S3 API.

Guarantees: see `objects`. S3 answers a write once it is durable, and shows an upload once it is complete. `create` is
S3's conditional write (``If-None-Match: *``). A server that takes the header and overwrites all the same can't keep two
writers apart, so each `Bucket` tries that out before its first `create`, and refuses to go on.

Addresses, credentials and TLS come from the environment or from files that it names, as AWS's own tools take them;
`store_of` has the list.

Source: Amazon S3 API reference, PutObject; RFC 9110 §13.1.2.
"""

from __future__ import annotations

import configparser
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import S3Store

from exchange.errors import Misconfigured, Unavailable

CHUNK_BYTES = 1024 * 1024
PART_BYTES = 8 * CHUNK_BYTES
"""Of a multipart upload: S3 takes none below 5 MiB but the last, and 10,000 at most."""

TIMEOUT_S = 30
RETRIES_MAX = 3
_DEFAULT_PROFILE = "default"


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError) as exc:
        raise Unavailable("storage.unavailable", str(exc).partition("\n")[0]) from exc


def store_of(url: str) -> S3Store:
    """What obstore's functions take, for ``s3://bucket/prefix``.

    ``AWS_ENDPOINT_URL`` (``http://`` only with ``AWS_ALLOW_HTTP=true``), ``AWS_REGION``, ``AWS_CA_BUNDLE`` (a PEM
    file, added to the system's); ``AWS_SHARED_CREDENTIALS_FILE`` with ``AWS_PROFILE``, else ``AWS_ACCESS_KEY_ID`` and
    ``AWS_SECRET_ACCESS_KEY``, else what the machine's own role gives.

    Raises: Misconfigured.
    """
    environment = os.environ
    client: Any = {"timeout": f"{TIMEOUT_S}s", "allow_http": environment.get("AWS_ALLOW_HTTP") == "true"}
    try:
        if bundle := environment.get("AWS_CA_BUNDLE"):
            client["root_certificate"] = Path(bundle).read_bytes()
        provider: Any = None
        if file := environment.get("AWS_SHARED_CREDENTIALS_FILE"):
            provider = _credentials(Path(file), environment.get("AWS_PROFILE", _DEFAULT_PROFILE))
            provider()
        return S3Store.from_url(
            url,
            client_options=client,
            retry_config={"max_retries": RETRIES_MAX},
            credential_provider=provider,
        )
    except (BaseError, OSError, ValueError, TypeError, KeyError, configparser.Error) as exc:
        raise Misconfigured([f"the object store {url}: {exc!r}"]) from exc


def _credentials(file: Path, profile: str) -> Callable[[], dict[str, Any]]:
    """Reads the file whenever obstore asks, so a key that was renewed is taken."""

    def read() -> dict[str, Any]:
        parsed = configparser.ConfigParser(interpolation=None)
        parsed.read_string(file.read_text(encoding="utf-8"))
        section = parsed[profile]
        return {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
            "token": section.get("aws_session_token"),
            "expires_at": None,
        }

    return read


class Bucket:
    """`Objects` in a bucket, ``s3://bucket/prefix``."""

    def __init__(self, url: str) -> None:
        """Raises: Misconfigured."""
        self.url = url
        self._store: Any = store_of(url)
        self._is_tried = False

    def write(self, path: str, data: bytes) -> None:
        """See `Objects`."""
        with _translated():
            obstore.put(self._store, path, data)

    def sync(self) -> None:
        """See `Objects`: S3 has it already."""

    def replace(self, path: str, data: bytes) -> None:
        """See `Objects`."""
        self.write(path, data)

    def create(self, path: str, data: bytes) -> bool:
        """See `Objects`. Raises: Misconfigured: this server can't."""
        if not self._is_tried:
            self._try_out()
        return self._create(path, data)

    def send(self, path: str, chunks: Iterable[bytes]) -> None:
        """See `Objects`."""
        first, source = [], iter(chunks)
        for chunk in source:
            first.append(chunk)
            if sum(map(len, first)) >= PART_BYTES:
                break
        else:
            return self.write(path, b"".join(first))
        with _translated():
            # Without `with`: leaving its block by an exception would complete the upload, and show half an object.
            writer = obstore.open_writer(self._store, path, buffer_size=PART_BYTES, max_concurrency=2)
            writer.write(b"".join(first))
            for chunk in source:
                writer.write(chunk)
            writer.close()
        return None

    def read(self, path: str) -> bytes | None:
        """See `Objects`."""
        try:
            with _translated():
                return bytes(obstore.get(self._store, path).bytes())
        except FileNotFoundError:
            return None

    def fetch(self, path: str) -> Iterator[bytes] | None:
        """See `Objects`."""
        try:
            with _translated():
                stream = obstore.get(self._store, path).stream(min_chunk_size=CHUNK_BYTES)
        except FileNotFoundError:
            return None

        def chunks() -> Iterator[bytes]:
            with _translated():
                for chunk in stream:
                    yield bytes(chunk)

        return chunks()

    def remove(self, path: str) -> None:
        """See `Objects`."""
        with _translated():
            below = [f"{path}/{name}" for name in self.names(path)]
            for name in [path, *below]:
                try:
                    obstore.delete(self._store, name)
                except FileNotFoundError:
                    continue

    def names(self, path: str) -> list[str]:
        """See `Objects`."""
        with _translated():
            found = obstore.list_with_delimiter(self._store, path)["objects"]
            return sorted(one["path"].rpartition("/")[2] for one in found)

    def walk(self, path: str) -> Iterator[str]:
        """See `Objects`."""
        with _translated():
            for page in obstore.list(self._store, path):
                yield from sorted(one["path"] for one in page)

    def age_s(self, path: str) -> float:
        """See `Objects`; by the server's clock when it was put, and by ours now."""
        try:
            with _translated():
                put: datetime = obstore.head(self._store, path)["last_modified"]
        except FileNotFoundError:
            return 0.0
        return (datetime.now(UTC) - put).total_seconds()

    def _create(self, path: str, data: bytes) -> bool:
        try:
            with _translated():
                obstore.put(self._store, path, data, mode="create", use_multipart=False)
        except Unavailable as exc:
            if isinstance(exc.__cause__, AlreadyExistsError):
                return False
            raise
        return True

    def _try_out(self) -> None:
        name = f"probe/{secrets.token_hex(16)}"
        try:
            kept = self._create(name, b"1") and not self._create(name, b"2")
        finally:
            self.remove(name)
        if not kept:
            raise Misconfigured([f"{self.url}: this server overwrites what it was asked not to (If-None-Match: *)"])
        self._is_tried = True
