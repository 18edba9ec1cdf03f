"""The benchmarks, one file a topic."""

from __future__ import annotations

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

BENCHMARKS = (
    steps.BENCHMARK,
    forward.BENCHMARK,
    hashing.BENCHMARK,
    roofline.BENCHMARK,
    profile.BENCHMARK,
    table_size.BENCHMARK,
    small_batches.BENCHMARK,
    startup.BENCHMARK,
    bags.BENCHMARK,
    recommender.BENCHMARK,
    sweep.BENCHMARK,
    memory.BENCHMARK,
    learned_codes.BENCHMARK,
)
