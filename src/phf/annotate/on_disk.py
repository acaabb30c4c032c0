"""Waiting for the disk beside the scoring."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from phf.storage.files import sync_file


class OnDisk:
    """Waits for the disk beside the scoring: when the block has ended, the shards that were added are safe."""

    def __enter__(self) -> "OnDisk":
        self.sizes: dict[str, int] = {}
        """Name of each shard -> its bytes."""
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        return self

    def add(self, path: Path) -> None:
        self.sizes[path.name] = path.stat().st_size if path.is_file() else -1
        self._waiting.append(self._thread.submit(sync_file, path))
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft().result()

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._thread.shutdown(cancel_futures=error is not None)
        if error is None:
            for future in self._waiting:
                future.result()
