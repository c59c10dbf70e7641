"""Gives each operation of a graph its device, copies what crosses over, and adds up the buffers. Must not know models.

Source: ggml/src/ggml-backend.cpp (`ggml_backend_sched_split_graph`), ggml/src/ggml-alloc.c and ggml-cuda.cu of the
llama.cpp that is pinned. Devices are numbers, GPUs first, the host last.
"""

from __future__ import annotations

from collections.abc import Iterable

from backends.fit.best_fit import BestFit
from backends.fit.graph import OFFLOAD_MIN_ROWS, Graph, Tensor

GPU_ALIGNMENT = 128
HOST_ALIGNMENT = 64
# Several GPUs that hold a whole model work on several batches at a time, each with inputs of its own.
PIPELINE_COPIES = 4


def buffer_bytes(graph: Graph, *, pipelined: bool, shared: bool) -> tuple[int, ...]:
    """The compute buffer of every device, the host's last. `shared`: the GPU reads the host's memory as its own."""
    _give_devices(graph)
    steps, copies = _steps(graph, shared=shared, copied_once=not pipelined)
    buffers = [BestFit(GPU_ALIGNMENT) for _ in range(graph.host)] + [BestFit(HOST_ALIGNMENT)]
    runner = _Runner(buffers, graph.host)
    if pipelined:
        runner.keep(graph.inputs)
        runner.keep(copies)
    for tensor in graph.inputs:
        runner.allocate(tensor)
    runner.run(steps)
    return tuple(buffer.peak_bytes for buffer in buffers)


def _give_devices(graph: Graph) -> None:
    """Work goes where its weights are; what has none follows its neighbours, GPUs before the host."""
    host, operations = graph.host, graph.operations
    for operation in operations:
        if operation.device is None:
            operation.device = _by_weights(operation, host)
    for order, skips_host in (
        (operations, True),
        (operations[::-1], True),
        (operations, False),
        (operations[::-1], False),
    ):
        current = None
        for operation in order:
            if operation.device is None:
                operation.device = current
            else:
                current = None if skips_host and operation.device == host else operation.device


def _by_weights(operation: Tensor, host: int) -> int | None:
    if not (operation.n_rows or operation.sources[0].is_weight):
        return None
    weight = next(source for source in operation.sources if source.is_weight)
    if weight.device == host and host > 0 and operation.n_rows >= OFFLOAD_MIN_ROWS:
        return 0
    return weight.device


def _steps(graph: Graph, *, shared: bool, copied_once: bool) -> tuple[list[tuple[Tensor, Tensor | None]], list[Tensor]]:
    """What happens in order, as (operation, None) or (source, its copy), and all copies.

    Operations that follow each other on one device form a split; what a split needs from elsewhere is copied when it
    begins. A new split also begins where weights are copied, so that the last ones can go.
    """
    steps: list[tuple[Tensor, Tensor | None]] = []
    copies: list[Tensor] = []
    fetched: list[tuple[Tensor, Tensor | None]] = []
    work: list[tuple[Tensor, Tensor | None]] = []
    current = graph.operations[0].device

    def foreign(tensor: Tensor) -> bool:
        return tensor.device != current and not (shared and tensor.device == graph.host)

    for operation in graph.operations:
        assert operation.device is not None
        wants_weights = fetched and any(source.is_weight and foreign(source) for source in operation.sources)
        if operation.device != current or wants_weights:
            steps += fetched + work
            fetched, work = [], []
            current = operation.device
        for index, source in enumerate(operation.sources):
            if not foreign(source):
                continue
            if current not in source.copied_in:
                copy = Tensor(source.size_bytes, device=current)
                copy.stays = not copied_once
                source.copied_in[current] = copy
                fetched.append((source, copy))
                copies.append(copy)
            operation.sources[index] = source.copied_in[current]
        work.append((operation, None))
    return steps + fetched + work, copies


class _Runner:
    """Walks through the steps as ggml does: takes memory for results, gives back what nobody needs any more."""

    def __init__(self, buffers: list[BestFit], host: int) -> None:
        self._buffers = buffers
        self._host = host

    def keep(self, tensors: Iterable[Tensor]) -> None:
        """Inputs of batches that are under way at the same time: one block each, never given back."""
        for tensor in tensors:
            tensor.stays = True
            self.allocate(tensor)
            for _ in range(PIPELINE_COPIES - 1):
                self._buffer(tensor).take(tensor.size_bytes)

    def run(self, steps: list[tuple[Tensor, Tensor | None]]) -> None:
        for tensor, copy in steps:
            for source in tensor.sources if copy is None else (tensor,):
                source.n_users += 1
        for tensor, copy in steps:
            if copy is not None:
                self._release(tensor)
                self.allocate(copy)
                continue
            for source in tensor.sources:
                self.allocate(source)
            self.allocate(tensor)
            for source in tensor.sources:
                self._release(source)

    def allocate(self, tensor: Tensor) -> None:
        if tensor.owns or tensor.kept or tensor.n_users < 0:
            return
        tensor.owns = True
        for source in tensor.sources if tensor.in_place else ():
            if (
                source.owns
                and not source.stays
                and source.n_users == 1
                and source.size_bytes == tensor.size_bytes
                and source.device == tensor.device
            ):
                tensor.offset = source.offset
                source.owns = False
                return
        tensor.offset = self._buffer(tensor).take(self._size(tensor))

    def _release(self, tensor: Tensor) -> None:
        tensor.n_users -= 1
        if tensor.n_users == 0:
            tensor.n_users = -1  # never taken again
            if tensor.owns and not tensor.stays:
                self._buffer(tensor).give_back(tensor.offset, self._size(tensor))
                tensor.owns = False

    def _size(self, tensor: Tensor) -> int:
        return tensor.size_bytes + (tensor.scratch_bytes if tensor.device != self._host else 0)

    def _buffer(self, tensor: Tensor) -> BestFit:
        assert tensor.device is not None
        return self._buffers[tensor.device]
