"""A right backend in plain NumPy, cut into steps that mutants replace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from npbloom.conformance.cases.backend import Backend, Unsupported
from npbloom.conformance.cases.case import BLOOMS, Case, Outputs
from npbloom.conformance.cases.floats import stored
from npbloom.types import SPOTLIGHT_SEEDS
from tests.conformance.mutants.updates import Updates

Array = np.ndarray[Any, Any]

FLOAT64 = {"forward": "float64", "backward": "float64"}


@dataclass
class Entries:
    """The flat entries of a bag case: ids, bags, a mask of those that count, counts and weights."""

    ids: Array
    bags: Array
    kept: Array
    counts: Array
    weights: Array | None

    @property
    def number(self) -> int:
        """Number of bags."""
        return len(self.counts)


class Hashing:
    """The hash of ids to rows: murmurhash3_x86_32 of 4-byte keys, then signed floor-mod."""

    rotations = (15, 13)
    multipliers = (0xCC9E2D51, 0x1B873593)
    final_multipliers = (0x85EBCA6B, 0xC2B2AE35)
    final_shifts = (16, 13, 16)
    addend = 0xE6546B64
    seeds = SPOTLIGHT_SEEDS

    def hash(self, case: Case) -> Outputs:
        """Return the rows of every id; all of them are row 0 for the padding id."""
        assert case.seeds is not None
        assert case.num_rows is not None
        rows = self.probes(case.ids, case.num_rows, case.seeds)
        if case.padding_idx is not None:
            rows[case.ids == case.padding_idx] = 0
        return {"rows": rows}

    def probes(self, ids: Array, num_rows: int, seeds: tuple[int, ...]) -> Array:
        """Return one column of rows for each seed."""
        words = self.words(ids)
        rows = [self.remainder(self.murmur(words, seed), num_rows) for seed in seeds]
        return np.stack(rows, axis=-1) if rows else np.zeros((len(ids), 0), dtype=np.int64)

    def words(self, ids: Array) -> list[Array]:
        """Return the key of every id, cut into words of four bytes."""
        return [ids.astype(np.int64).astype(np.uint32)]

    def murmur(self, words: list[Array], seed: int) -> Array:
        """Return MurmurHash3_x86_32 of every key."""
        h = np.full(words[0].shape, self.seed(seed), dtype=np.uint32)
        for word in words:
            h ^= self.rotate(word * np.uint32(self.multipliers[0]), self.rotations[0]) * np.uint32(self.multipliers[1])
            h = self.rotate(h, self.rotations[1]) * np.uint32(5) + np.uint32(self.addend)
        h ^= np.uint32(self.length(words))
        for shift, multiplier in zip(self.final_shifts, (*self.final_multipliers, 1), strict=True):
            h = (h ^ (h >> np.uint32(shift))) * np.uint32(multiplier)
        return h

    def seed(self, seed: int) -> int:
        """Return the initial value of the hash."""
        return seed

    def length(self, words: list[Array]) -> int:
        """Return the length of a key in bytes."""
        return 4 * len(words)

    def rotate(self, word: Array, left: int) -> Array:
        """Rotate 32 bits to the left."""
        return (word << np.uint32(left)) | (word >> np.uint32(32 - left))

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        """Return the floor-mod of the hash as a signed number."""
        return hashes.view(np.int32).astype(np.int64) % num_rows


class Right(Hashing, Updates, Backend):
    """All operations in plain NumPy; every sum is in float64 and rounded once."""

    name = "right"
    in_process = True
    profile: ClassVar[dict[str, dict[str, str]]] = {"float32": FLOAT64, "float64": FLOAT64}
    policy: ClassVar[dict[str, str]] = {"invalid_offsets": "raise"}
    accumulator: Any = np.float64

    def run(self, case: Case) -> Outputs:
        """Run the method of the operation's name."""
        if case.op not in ("hash", "embedding", "bag", *BLOOMS, "sgd", "adagrad", "rowwise_adagrad", "adam"):
            raise Unsupported(f"no operation {case.op}")
        outputs: Outputs = getattr(self, case.op)(case)
        return outputs

    # ---- embedding -------------------------------------------------------------------------------

    def embedding(self, case: Case) -> Outputs:
        """Return one row for each id, and the gradient by id."""
        ids = self.in_range(case.ids.ravel(), len(case.weight))
        table = self.renormalized(case, ids)
        outputs = {"out": self.looked_up(case, table, ids).reshape(case.grad_out.shape)}
        if case.max_norm is not None:
            outputs["weight"] = table
        kept = self.kept(case, ids)
        sent = case.grad_out.reshape(ids.size, case.weight.shape[1])
        return {**outputs, **self.gradient(case, ids[kept], sent[kept])}

    def looked_up(self, case: Case, table: Array, ids: Array) -> Array:
        """Return rows of the table, bit for bit."""
        return table[ids]

    def in_range(self, ids: Array, bound: int) -> Array:
        """Return the ids, or raise IndexError for an id outside ``[0, bound)``."""
        if ids.size and not (ids.min() >= 0 and ids.max() < bound):
            raise IndexError(f"an id lies outside [0, {bound})")
        return ids

    def padding_row(self, case: Case) -> int:
        """Return the padding row counted from the front, or -1 without one."""
        return -1 if case.padding_idx is None else case.padding_idx % len(case.weight)

    def kept(self, case: Case, ids: Array) -> Array:
        """Return a mask: true for ids that are not padding."""
        kept: Array = ids != self.padding_row(case)
        return kept

    def renormalized(self, case: Case, ids: Array) -> Array:
        """
        Return the table, with `max_norm` a copy with its long rows scaled.

        Only rows that are looked up are scaled.
        """
        if case.max_norm is None:
            table: Array = case.weight
            return table
        table = case.weight.copy()
        rows = self.rows_to_scale(case, ids)
        norms = self.norms(table[rows].astype(np.float64), 2.0 if case.norm_type is None else case.norm_type)
        long = norms > case.max_norm
        table[rows[long]] = stored(table[rows[long]] * self.factor(case, norms[long])[:, None], case.dtype)
        return table

    def rows_to_scale(self, case: Case, ids: Array) -> Array:
        """Return the distinct rows that are looked up."""
        return np.unique(ids)

    def norms(self, values: Array, p: float) -> Array:
        """Return the p-norm of each row."""
        sizes = np.abs(values)
        norms: Array = sizes.max(axis=1) if p == np.inf else (sizes**p).sum(axis=1) ** (1 / p)
        return norms

    def factor(self, case: Case, norms: Array) -> Array:
        """Return the factor of each row that is too long."""
        factor: Array = np.float64(case.max_norm or 0) / (norms + 1e-7)
        return factor

    # ---- gradients -------------------------------------------------------------------------------

    def gradient(self, case: Case, rows: Array, sent: Array) -> Outputs:
        """
        Return distinct rows and the sum of their contributions.

        With `scale_grad_by_freq` each sum is divided by its row's count.
        """
        touched, place = np.unique(rows, return_inverse=True)
        total = self.added(place, sent, len(touched))
        if case.scale_grad_by_freq:
            total = total / self.frequencies(case, touched, place)[:, None]
        return {"rows": touched.astype(np.int64), "values": stored(total, case.dtype)}

    def added(self, place: Array, sent: Array, size: int) -> Array:
        """Return the sum of the contributions to each place."""
        total = np.zeros((size, sent.shape[1]), dtype=self.accumulator)
        np.add.at(total, place, sent.astype(self.accumulator))
        return total

    def frequencies(self, case: Case, touched: Array, place: Array) -> Array:
        """Return the number of occurrences of each touched row."""
        return np.bincount(place, minlength=len(touched))

    # ---- bags ------------------------------------------------------------------------------------

    def bag(self, case: Case) -> Outputs:
        """Return one vector for each bag, and its gradients."""
        self.refuse(case)
        ids = self.in_range(case.ids.ravel(), len(case.weight))
        table = self.renormalized(case, ids)
        entries = self.entries(case, ids)
        vectors = table[ids]
        outputs = {"out": stored(self.reduced(case, vectors, entries), case.dtype)}
        if case.max_norm is not None:
            outputs["weight"] = table
            vectors = case.weight[ids]
        if entries.weights is not None:
            outputs["grad_per_sample_weights"] = stored(self.weight_gradient(case, vectors, entries), case.dtype)
        sent = self.sent(case, vectors, entries)
        kept = entries.kept
        return {**outputs, **self.gradient(case, ids[kept], sent[kept])}

    def refuse(self, case: Case) -> None:
        """Raise ValueError for weights outside a sum."""
        if case.per_sample_weights is not None and case.mode != "sum":
            raise ValueError("weights only in a sum")

    def entries(self, case: Case, ids: Array) -> Entries:
        """Return the flat entries of a case."""
        starts = self.starts(case, ids.size)
        sizes = np.diff(starts)
        bags = np.repeat(np.arange(len(sizes)), sizes)
        kept = self.kept(case, ids)
        weights = None if case.per_sample_weights is None else case.per_sample_weights.ravel()
        return Entries(ids, bags, kept, self.counts(bags, kept, len(sizes)), weights)

    def counts(self, bags: Array, kept: Array, number: int) -> Array:
        """Return the number of entries that count in each bag."""
        return np.bincount(bags[kept], minlength=number)

    def starts(self, case: Case, size: int) -> Array:
        """Return the start of each bag, then the end of the last one."""
        if case.ids.ndim == 2:
            result: Array = np.arange(len(case.ids) + 1) * case.ids.shape[1]
            return result
        offsets: Array = case.offsets.astype(np.int64)
        if not self.is_partition(offsets, size, bool(case.include_last_offset)):
            raise ValueError("offsets must start at 0, never decrease, and end with the ids")
        return offsets if case.include_last_offset else np.append(offsets, size if len(offsets) else 0)

    def is_partition(self, offsets: Array, size: int, last: bool) -> bool:
        """
        Return true for offsets that start at 0, never decrease, and do not pass the last id.

        With `last` they must end exactly there.
        """
        if not len(offsets):
            return size == 0
        steady = offsets[0] == 0 and (np.diff(offsets) >= 0).all() and offsets[-1] <= size
        return bool(steady and (offsets[-1] == size or not last))

    def reduced(self, case: Case, vectors: Array, entries: Entries) -> Array:
        """Return the sum, mean or maximum of each bag's vectors; zero for bags without entries."""
        if case.mode == "max":
            return self.maximum(vectors, entries)
        kept = entries.kept
        terms = vectors[kept].astype(self.accumulator)
        if entries.weights is not None:
            terms = terms * entries.weights[kept, None].astype(self.accumulator)
        total = self.summed(terms, entries.bags[kept], entries.number)
        return self.divided(total, entries) if case.mode == "mean" else total

    def summed(self, terms: Array, bags: Array, number: int) -> Array:
        """Return the sum of each bag's terms."""
        total = np.zeros((number, terms.shape[1]), dtype=self.accumulator)
        np.add.at(total, bags, terms)
        return total

    def divided(self, total: Array, entries: Entries) -> Array:
        """Divide each bag's sum by its count."""
        quotient: Array = total / np.maximum(entries.counts, 1)[:, None]
        return quotient

    def maximum(self, vectors: Array, entries: Entries) -> Array:
        """Return the maximum of each bag and column."""
        bag, column, entry = self.wins(vectors, entries)
        out = np.zeros((entries.number, vectors.shape[1]), dtype=vectors.dtype)
        out[bag, column] = vectors[entry, column]
        return out

    def wins(self, vectors: Array, entries: Entries) -> tuple[Array, Array, Array]:
        """Return bag, column and winning entry for every bag that has one."""
        found = np.full((entries.number, vectors.shape[1]), -1)
        for bag in np.unique(entries.bags[entries.kept]):
            members = np.flatnonzero((entries.bags == bag) & entries.kept)
            found[bag] = members[self.winner(vectors[members])]
        bag, column = np.nonzero(found >= 0)
        return bag, column, found[bag, column]

    def winner(self, members: Array) -> Array:
        """Return the first maximal member of each column, or the first NaN."""
        first: Array = members.argmax(axis=0)
        return first

    def sent(self, case: Case, vectors: Array, entries: Entries) -> Array:
        """Return the gradient of each entry: its bag's, shared, weighted, or by winning column."""
        grad: Array = case.grad_out.astype(self.accumulator)
        if case.mode == "max":
            bag, column, entry = self.wins(vectors, entries)
            won = np.zeros(vectors.shape, dtype=self.accumulator)
            won[entry, column] = grad[bag, column]
            return won
        if case.mode == "mean":
            grad = self.divided(grad, entries)
        sent: Array = grad[entries.bags]
        return sent if entries.weights is None else sent * entries.weights[:, None].astype(self.accumulator)

    def weight_gradient(self, case: Case, vectors: Array, entries: Entries) -> Array:
        """Return the dot product of each entry's row with its bag's gradient; zero for padding."""
        products = (vectors.astype(self.accumulator) * case.grad_out[entries.bags].astype(self.accumulator)).sum(axis=1)
        return np.where(entries.kept, products, 0).reshape(case.ids.shape)

    # ---- Bloom -----------------------------------------------------------------------------------

    def bloom(self, case: Case) -> Outputs:
        """Return the sum of each id's probed rows; its gradient goes to each of them."""
        ids = self.in_range(case.ids.ravel(), case.num_embeddings or 0)
        rows = self.bloom_rows(case, ids)
        live = self.live(case, ids, rows)
        out = stored(self.probe_sum(case, rows, live), case.dtype).reshape(case.grad_out.shape)
        sent = np.repeat(case.grad_out.reshape(ids.size, case.weight.shape[1]), rows.shape[1], axis=0)
        return {"out": out, **self.gradient(case, rows[live], sent[live.ravel()])}

    def bloom_mean(self, case: Case) -> Outputs:
        """
        Return the mean of each id's probed rows; they share its gradient equally.
        """
        ids = self.in_range(case.ids.ravel(), case.num_embeddings or 0)
        rows = self.bloom_rows(case, ids)
        live = self.live(case, ids, rows)
        out = stored(self.averaged(self.probe_sum(case, rows, live), live), case.dtype).reshape(case.grad_out.shape)
        sent = self.shared(case.grad_out.reshape(ids.size, case.weight.shape[1]).astype(self.accumulator), live)
        sent = np.repeat(sent, rows.shape[1], axis=0)
        return {"out": out, **self.gradient(case, rows[live], sent[live.ravel()])}

    def averaged(self, total: Array, live: Array) -> Array:
        """Divide sums by the number of probes, live or not."""
        mean: Array = total / live.shape[1]
        return mean

    def shared(self, grad: Array, live: Array) -> Array:
        """Return the gradient of each probe."""
        part: Array = grad / live.shape[1]
        return part

    def bloom_concat(self, case: Case) -> Outputs:
        """
        Return slice j of the row of probe j, for each j, side by side.

        The gradient goes to the same slice, number ``row * k + j``.
        """
        ids = self.in_range(case.ids.ravel(), case.num_embeddings or 0)
        rows = self.bloom_rows(case, ids)
        live = self.live(case, ids, rows)
        k = rows.shape[1]
        width = case.weight.shape[1] // k
        slices = self.slices(rows)
        values = np.where(live[..., None], case.weight.reshape(-1, width)[slices], 0)
        sent = case.grad_out.reshape(ids.size, k, width)
        return {
            "out": stored(values, case.dtype).reshape(case.grad_out.shape),
            **self.gradient(case, slices[live], sent[live]),
        }

    def slices(self, rows: Array) -> Array:
        """Return the slice that each probe reads."""
        k = rows.shape[1]
        numbers: Array = rows * k + np.arange(k)
        return numbers

    def bloom_rows(self, case: Case, ids: Array) -> Array:
        """
        Return the rows that each id reads.

        Padding reads row 0, which no other id reads unless it is shared.
        """
        m, seeds = len(case.weight), self.seeds[: case.num_hash_functions]
        alone = case.padding_idx is not None and not case.share_padding_row
        rows = 1 + self.probes(ids, m - 1, seeds) if alone else self.probes(ids, m, seeds)
        if case.padding_idx is not None:
            rows[ids == case.padding_idx] = 0
        return rows

    def live(self, case: Case, ids: Array, rows: Array) -> Array:
        """Return a mask of the probes that count: none of a reserved row 0."""
        return np.ones(rows.shape, dtype=bool) if case.padding_idx is None else rows != 0

    def probe_sum(self, case: Case, rows: Array, live: Array) -> Array:
        """Return the sum of the live probes' rows."""
        terms = np.where(live[..., None], case.weight[rows].astype(self.accumulator), 0)
        total: Array = terms.sum(axis=1)
        return total
