"""
Learned codes: both sides at a million ids, k-means in levels beside brute force, the decomposition
beside SciPy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds
from sklearn.cluster import KMeans

from benchmarks import huge_pages, programs
from benchmarks.benchmark import Benchmark, Measured, Target, at_most
from benchmarks.measuring import Settings, interleave, threads
from benchmarks.programs.learn_codes import draw
from benchmarks.report import tables
from benchmarks.results import Case, Result
from npbloom.ops import clusters, spectral

WIDTH, RANK, RATIO = 4, 32, 0.2  # columns of a slice, of a decomposition; rows an id
SCALES = {True: ((2_000, 20_000),), False: ((100_000, 2_000_000), (1_000_000, 20_000_000))}  # ids of each side, pairs
MINUTES, GIGABYTES = 5, 4


def _error(points: np.ndarray, centroids: np.ndarray, codes: np.ndarray) -> float:
    """Return the mean squared distance to the own centroid, over the points' mean square."""
    return float(np.square(points - centroids[codes]).sum() / np.square(points).sum())


def _k_means(settings: Settings) -> list[Case]:
    """Measure the three ways on the same points, one slice."""
    size = 2_000 if settings.quick else 50_000
    points = np.random.default_rng(0).standard_normal((size, WIDTH)).astype(np.float32)
    count = int(RATIO * size)
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def ours(name: str, limit: int) -> Any:
        def call() -> None:
            codes, centroids = clusters.cluster(points, count, np.random.default_rng(0), brute_force=limit)
            found[name] = centroids, codes

        return call

    def theirs() -> None:
        fitted = KMeans(count, init="random", n_init=1, max_iter=clusters.ITERATIONS, tol=0, random_state=0).fit(points)
        found["sklearn"] = fitted.cluster_centers_, fitted.labels_

    limit = 2**10 if settings.quick else clusters.BRUTE_FORCE
    calls = {"npbloom": ours("npbloom", limit), "brute force": ours("brute force", size * count), "sklearn": theirs}
    cases = []
    for number in settings.threads:
        with threads(number):
            samples = interleave(calls, settings.rounds_or(3), lead=False)
        facts = {name: _error(points, *each) for name, each in found.items()}
        cases.append(Case({"what": "k-means", "points": size, "threads": number}, samples, facts))
    return cases


def _decompositions(settings: Settings) -> list[Case]:
    """Measure the decompositions of the same normalised matrix, with as many singular vectors."""
    ids, pairs = SCALES[settings.quick][0]
    users, items = draw(ids, pairs)
    graph = spectral.read_graph(users, items, ids, ids)
    own, other = (spectral.degrees(np.diff(starts)) for starts in (graph.item_starts, graph.user_starts))
    met = sparse.csr_matrix((np.ones(len(graph.items_of)), graph.items_of, graph.item_starts), shape=(ids, ids))
    matrix = sparse.diags(own**-0.5) @ met @ sparse.diags(other**-0.5)
    found: dict[str, float] = {}

    def ours() -> None:
        found["npbloom"] = float(np.square(spectral.decompose(graph, RANK, np.random.default_rng(0)).values).sum())

    def theirs() -> None:
        found["scipy"] = float(np.square(svds(matrix, RANK, rng=0)[1]).sum())

    cases = []
    for number in settings.threads:
        with threads(number):
            samples = interleave({"npbloom": ours, "scipy": theirs}, settings.rounds_or(3), lead=False)
        facts = {"npbloom": 1.0, "scipy": found["scipy"] / found["npbloom"]}
        cases.append(Case({"what": "decomposition", "points": ids, "threads": number}, samples, facts))
    return cases


def run(settings: Settings) -> Measured:
    """Measure parts first, then the whole in processes of their own."""
    cases = [*_k_means(settings), *_decompositions(settings)]
    number = max(settings.threads)
    for ids, pairs in SCALES[settings.quick]:
        words = [str(value) for value in (ids, pairs, number)]
        runs = [programs.run("-m", "benchmarks.programs.learn_codes", *words) for _ in range(1 if settings.quick else 2)]
        for each in runs:
            huge_pages.note(each["pages"])
        facts = {name: max(each[name] for each in runs) for name in ("peak", "more")}
        labels = {"what": "both sides", "points": ids, "pairs": pairs, "threads": number}
        cases.append(Case(labels, {"npbloom": [each["seconds"] for each in runs]}, facts))
    return Measured({"ratio": RATIO, "k": 4, "rank": RANK, "columns of a slice": WIDTH}, cases)


def show(result: Result) -> str:
    """Return three tables."""
    parts = []
    for what, rivals, words in (
        ("k-means", ("brute force", "sklearn"), "error"),
        ("decomposition", ("scipy",), "share of the squared singular values"),
    ):
        header = [what, "threads"]
        for name in ("npbloom", *rivals):
            header += [tables.name(name), words]
        rows = []
        for case in result.all(what=what):
            row = [f"{case.labels['points']:,}", str(case.labels["threads"])]
            for name in ("npbloom", *rivals):
                row += [tables.seconds(case.median(name)), f"{case.facts[name]:.4f}"]
            rows.append(row)
        parts.append(tables.markdown(header, rows))
    rows = [
        [
            f"{case.labels['points']:,}",
            f"{case.labels['pairs']:,}",
            tables.seconds(case.median()),
            tables.megabytes(case.facts["peak"]),
            tables.megabytes(case.facts["more"]),
        ]
        for case in result.all(what="both sides")
    ]
    header = ["users, and as many items", "pairs", "learned_hash_tables", "peak of the process", "beyond the interactions"]
    return "\n".join([*parts, tables.markdown(header, rows)])


def targets(result: Result) -> list[Target]:
    """Return targets for the largest size."""
    case = result.all(what="both sides")[-1]
    work = f"Codes of {case.labels['points']:,} users and items, {case.labels['pairs']:,} pairs"
    return [
        at_most(work, "minutes", MINUTES, case.median() / 60, "min"),
        at_most(f"{work}, peak of the process", "gigabytes", GIGABYTES, case.facts["peak"] / 1e9, "GB"),
    ]


BENCHMARK = Benchmark(
    name="learned_codes",
    title="Learned codes",
    measures=(
        "k-means of one slice, six iterations from the same number of points: in levels (what the library takes for so many), by "
        "brute force, and scikit-learn's; error is the squared distance to the own centroid over the points' square. The "
        "decomposition beside `scipy.sparse.linalg.svds` of the same matrix. Then `learned_hash_tables` of both sides, the graph "
        "read and all, in a process of its own ([learn_codes.py](programs/learn_codes.py))."
    ),
    run=run,
    tables=show,
    targets=targets,
)
