"""The benchmarks, one file a topic, in the order in which they run and are shown."""

from __future__ import annotations

from benchmarks.benchmark import Benchmark
from benchmarks.topics import (
    bags,
    forward,
    hashing,
    learned_codes,
    memory,
    profile,
    recommender,
    roofline,
    small_batches,
    startup,
    steps,
    sweep,
    table_size,
)

_TOPICS = (
    steps,
    forward,
    hashing,
    roofline,
    profile,
    table_size,
    small_batches,
    startup,
    bags,
    recommender,
    sweep,
    memory,
    learned_codes,
)
BENCHMARKS: dict[str, Benchmark] = {topic.BENCHMARK.name: topic.BENCHMARK for topic in _TOPICS}
