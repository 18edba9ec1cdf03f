"""Bandwidth of npbloom's forward and steps, as a share of this machine's copy bandwidth."""

from __future__ import annotations

from benchmarks import ids as draws
from benchmarks import traffic
from benchmarks.benchmark import Benchmark, Measured, Target
from benchmarks.contenders.ours import Ours
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.report import tables
from benchmarks.results import Case, Result, median
from benchmarks.topics import steps

WANTED, WANTED_NARROW = 0.5, 0.35  # with AVX-512, and without


def run(settings: Settings) -> Measured:
    """Measure the forward, and every optimizer's step, beside copies by as many threads."""
    sized, cases = steps.sizes(settings), []
    for kind in draws.KINDS:
        for optimizer in ("none", *steps.OPTIMIZERS):
            layer, batch = steps.problem(kind, sized)
            assert batch.rows is not None
            moved = traffic.forward_bytes(batch.ids, batch.rows, sized["d"], layer.dtype.itemsize)
            if optimizer != "none":
                moved |= traffic.update_bytes(batch.rows, sized["d"], layer.dtype.itemsize, optimizer)
            table = Ours(layer, "sgd" if optimizer == "none" else optimizer, [batch])
            work = table.forward if optimizer == "none" else table.step
            for count in settings.threads:
                copy = traffic.Copy(count, traffic.COPIED // 64 if settings.quick else traffic.COPIED)
                with threads(count):
                    samples = interleave({"npbloom": work, "copy": copy}, settings.rounds_or(15))
                copy.close()
                facts = {"bytes": sum(moved.values()), "copied": copy.bytes, **moved}
                cases.append(Case({"ids": kind, "optimizer": optimizer, "threads": count}, samples, facts))
    sized["bytes of a copy, read and written"] = int(cases[0].facts["copied"])
    return Measured({**sized, "id distributions": [draws.WORDS[kind] for kind in draws.KINDS]}, cases)


def shares(case: Case) -> list[float]:
    """
    Return, round by round, the bytes that must move over those that a copy would move in that time.
    """
    return [case.facts["bytes"] / case.facts["copied"] * ratio for ratio in case.ratios("copy")]


def show(result: Result) -> str:
    """Return the rates, and the parts of the bytes."""
    rates, parts = [], []
    for case in result.cases:
        work = "forward" if case.labels["optimizer"] == "none" else f"step, {tables.name(case.labels['optimizer'])}"
        labels = [tables.name(case.labels["ids"]), work, tables.name(case.labels["threads"])]
        rate, copied = case.facts["bytes"] / case.median() / 1e9, case.facts["copied"] / case.median("copy") / 1e9
        speeds = [tables.digits(rate), tables.digits(copied), f"{median(shares(case)):.0%}"]
        rates.append([*labels, tables.megabytes(case.facts["bytes"]), tables.seconds(case.median()), *speeds])
        if case.labels["threads"] == result.threads and case.labels["optimizer"] == "adagrad":
            names = [key for key in case.facts if key not in ("bytes", "copied")]
            parts.append([labels[0], *(tables.digits(case.facts[key] / 1e6) for key in names)])
    header = ["ids", "work", "threads", "must move", "npbloom", "GB/s", "copy, GB/s", "share"]
    made = tables.markdown(["Adagrad step, MB", *names], parts)
    return tables.markdown(header, rates, 3) + "\n" + made


def targets(result: Result) -> list[Target]:
    """Return the target: uniform ids, Adagrad, all threads."""
    share = median(shares(result.one(ids="uniform", optimizer="adagrad", threads=result.threads)))
    wanted = WANTED if result.instructions == "avx512" else WANTED_NARROW
    limit = "bytes that must move / copy bandwidth in the same run"
    return [Target("step, Adagrad, uniform ids", limit, f"at least {wanted:.0%}", f"{share:.0%}", share >= wanted)]


BENCHMARK = Benchmark(
    name="roofline",
    title="Against the memory's limit",
    measures=(
        "The bytes that must move are those of the cache lines that a forward and an update have to read or write, each line "
        "once in each of the two passes ([traffic.py](traffic.py) has the formula). The limit is NumPy's copy of 256 MiB (twice "
        "that moves) by as many threads, each its part, in the same rounds. With zipf's ids part of the bytes comes from a cache."
    ),
    run=run,
    tables=show,
    targets=targets,
)
