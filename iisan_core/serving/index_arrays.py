"""faiss indexes from vectors, and their structure as plain arrays, there and back."""

from __future__ import annotations

import hashlib
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]
Kind: TypeAlias = Literal["flat", "ivf", "hnsw"]

ARRAYS: dict[Kind, dict[str, tuple[str, int]]] = {
    "flat": {"nothing": ("U8", 1)},
    "ivf": {"centroids": ("F32", 2), "list_of": ("I32", 1)},
    "hnsw": {"levels": ("I32", 1), "neighbours": ("I32", 1), "entry": ("I64", 1)},
}
"""Kind → array → its type and number of dimensions."""

NEIGHBOURS = 32
"""M of a graph: links of an item on each level, twice as many on the lowest."""

MOST_LINKS = 4 * NEIGHBOURS
"""Of an item, on average, on all levels together."""

BUILD_EFFORT = 100
TRAINED_ON = 64
"""Vectors for each list that lists are found by."""

ROUNDS = 8


def built(kind: Kind, vectors: Floats) -> Any:
    """A faiss index by inner product of vectors [N, W]."""
    import faiss

    width = vectors.shape[1]
    if kind == "hnsw":
        graph = faiss.IndexHNSWFlat(width, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        graph.hnsw.efConstruction = BUILD_EFFORT
        graph.add(vectors)
        return graph
    flat = faiss.IndexFlatIP(width)
    if kind == "flat":
        flat.add(vectors)
        return flat
    index = faiss.IndexIVFFlat(flat, width, lists_for(len(vectors)), faiss.METRIC_INNER_PRODUCT)
    index.cp.max_points_per_centroid, index.cp.niter, index.cp.min_points_per_centroid = TRAINED_ON, ROUNDS, 1
    index.train(vectors)
    index.add(vectors)
    return index


def lists_for(items: int) -> int:
    """Lists that so many vectors are shared among: the power of two next to two square roots."""
    return int(2 ** round(np.log2(min(max(1, items // 2), 2 * np.sqrt(items)))))


def set_effort(kind: Kind, index: Any, effort: int) -> None:
    """Lists that are looked through, or candidates that are followed."""
    if kind == "ivf":
        index.nprobe = min(effort, index.nlist)
    elif kind == "hnsw":
        index.hnsw.efSearch = effort


def arrays_of(kind: Kind, index: Any) -> Arrays:
    """The structure of an index, without its vectors."""
    import faiss

    if kind == "flat":
        return {"nothing": np.zeros(1, np.uint8)}
    if kind == "hnsw":
        graph = index.hnsw
        return {
            "levels": faiss.vector_to_array(graph.levels),
            "neighbours": faiss.vector_to_array(graph.neighbors),
            "entry": np.array([graph.entry_point, graph.max_level], np.int64),
        }
    list_of = np.empty(index.ntotal, np.int32)
    for number in range(index.nlist):
        size = index.invlists.list_size(number)
        list_of[faiss.rev_swig_ptr(index.invlists.get_ids(number), size)] = number
    quantizer = faiss.downcast_index(index.quantizer)
    return {"centroids": quantizer.reconstruct_n(0, index.nlist), "list_of": list_of}


def restored(kind: Kind, arrays: Arrays, vectors: Floats) -> Any:
    """What `arrays_of` took apart, with its vectors [N, W]; raises `ValueError` for arrays that fit no such index."""
    if kind == "flat":
        return built("flat", vectors)
    return (_graph if kind == "hnsw" else _lists)(arrays, vectors)


def _lists(arrays: Arrays, vectors: Floats) -> Any:
    import faiss

    centroids, list_of = arrays["centroids"], arrays["list_of"]
    count, width = vectors.shape
    _demand(centroids.shape[1] == width, f"its centroids have {centroids.shape[1]:,} numbers, the vectors {width:,}")
    _demand(0 < len(centroids) <= count, f"it has {len(centroids):,} lists for {count:,} vectors")
    _demand(len(list_of) == count, f"it places {len(list_of):,} vectors, there are {count:,}")
    _demand(0 <= list_of.min() <= list_of.max() < len(centroids), "it names lists that are not there")
    _demand(bool(np.isfinite(centroids).all()), "its centroids are not finite")
    flat = faiss.IndexFlatIP(width)
    flat.add(centroids)
    index = faiss.IndexIVFFlat(flat, width, len(centroids), faiss.METRIC_INNER_PRODUCT)  # keeps the centroids alive
    index.is_trained = True
    rows, lists = np.ascontiguousarray(vectors, np.float32), np.ascontiguousarray(list_of, np.int64)
    index.add_core(count, faiss.swig_ptr(rows), None, faiss.swig_ptr(lists))
    return index


def _graph(arrays: Arrays, vectors: Floats) -> Any:
    import faiss

    levels, neighbours = arrays["levels"], arrays["neighbours"]
    count, width = vectors.shape
    index = faiss.IndexHNSWFlat(width, NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
    links = faiss.vector_to_array(index.hnsw.cum_nneighbor_per_level)  # level → links of an item up to it
    _demand(len(levels) == count, f"it has {len(levels):,} items, there are {count:,}")
    _demand(1 <= levels.min() <= levels.max() < len(links), "it names levels that are not there")
    offsets = np.concatenate([[0], links[levels].cumsum(dtype=np.int64)])
    _demand(len(neighbours) == offsets[-1], f"it has {len(neighbours):,} links instead of {offsets[-1]:,}")
    _demand(-1 <= neighbours.min() <= neighbours.max() < count, "it links to items that are not there")
    _demand(arrays["entry"].shape == (2,), "it says in other words where to begin")
    entry, top = arrays["entry"].tolist()
    _demand(0 <= entry < count and top == levels.max() - 1 and levels[entry] == levels.max(), "it begins nowhere")
    _demand_levels(levels, neighbours, offsets, links)
    faiss.downcast_index(index.storage).add(vectors)
    index.ntotal = count
    graph: Any = index.hnsw
    faiss.copy_array_to_vector(levels, graph.levels)
    faiss.copy_array_to_vector(offsets.astype(np.uint64), graph.offsets)
    faiss.copy_array_to_vector(neighbours, graph.neighbors)
    graph.entry_point, graph.max_level = entry, top
    return index


def _demand_levels(levels: Any, neighbours: Any, offsets: Any, links: Any) -> None:
    """On each level, links lead to items that are on it: a search reads their links there."""
    for level in range(1, int(levels.max())):
        on_it = np.flatnonzero(levels > level)
        first = offsets[on_it] + links[level]
        named = neighbours[first[:, None] + np.arange(links[level + 1] - links[level])]
        _demand(bool((levels[named[named >= 0]] > level).all()), "it links to items that are not on a level")


def _demand(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def digest_of(vectors: Floats) -> str:
    """Hexadecimal SHA-256 of vectors."""
    return hashlib.sha256(np.ascontiguousarray(vectors, np.float32).data.cast("B")).hexdigest()
