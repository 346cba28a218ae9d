"""Keeps answers for the gates, in memory only, up to a budget."""

from __future__ import annotations

import hashlib
import heapq
import threading

from infraval import evidence, options
from infraval.tensorflow_protos import prediction_log_pb2

_OVERHEAD_BYTES = 1000
"""What a kept response takes besides its content, at most."""


class Keeper:
    """Keeps answers up to `budget` bytes, from any thread.

    If not all fit, a random part of them is kept, which depends on the seed and the requests alone and not on the
    order of the answers.
    """

    def __init__(self, budget: int, seed: int) -> None:
        self._budget = budget
        self._seed = seed
        self._lock = threading.Lock()
        self._size = 0
        self._answered: set[int] = set()
        self._heap: list[tuple[int, int, evidence.Response]] = []  # the highest rank first
        self._cut: int | None = None
        self._largest = self._largest_request = 0

    def add(self, index: int, cell: options.Cell, log: prediction_log_pb2.PredictionLog, content: bytes) -> None:
        """Adds the answer to the request at `index`."""
        digest = hashlib.blake2b(f"{self._seed}/{index}".encode(), digest_size=8).digest()
        rank = int.from_bytes(digest, "big")
        request_bytes = getattr(log, f"{cell.method.value}_log").request.ByteSize()
        with self._lock:
            if index in self._answered:
                return
            self._largest = max(self._largest, len(content))
            self._largest_request = max(self._largest_request, request_bytes)
            self._answered.add(index)
            if self._cut is not None and rank >= self._cut:
                return
            heapq.heappush(self._heap, (-rank, index, _response(cell, log, content)))
            self._size += len(content) + _OVERHEAD_BYTES
            while self._size > self._budget:
                # No answer of a higher rank is kept from now on, even if it would fit.
                negative, _, dropped = heapq.heappop(self._heap)
                self._size -= len(dropped.content) + _OVERHEAD_BYTES
                self._cut = -negative

    def kept(self) -> evidence.Responses:
        """What was kept, in the order of the requests."""
        with self._lock:
            kept = tuple(response for _, _, response in sorted(self._heap, key=lambda each: each[1]))
            return evidence.Responses(kept, len(self._answered), self._largest, self._largest_request)


def _response(cell: options.Cell, log: prediction_log_pb2.PredictionLog, content: bytes) -> evidence.Response:
    if cell.method is not options.Method.PREDICT:
        return evidence.Response(cell, content)
    request = log.predict_log.request
    shapes = {
        alias: tuple(int(dim.size) for dim in tensor.tensor_shape.dim) for alias, tensor in request.inputs.items()
    }
    return evidence.Response(cell, content, shapes, tuple(request.output_filter))
