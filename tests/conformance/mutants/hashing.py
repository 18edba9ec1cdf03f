"""Faults of hashing: keys, seeds, rounds and remainders."""

from __future__ import annotations

import numpy as np

from npbloom.conformance.cases.case import Case, Outputs
from tests.conformance.mutants.mutant import Mutant
from tests.conformance.mutants.right import Array

ROWS = ("hash.rows", "bloom.forward")


class UnsignedRemainder(Mutant):
    """The remainder is that of the hash as an unsigned number: half of all ids meet another row."""

    origin, caught_by = "rabbitmq-stream-java-client#199", ROWS

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        return hashes.astype(np.int64) % num_rows


class CRemainder(Mutant):
    """C's remainder is negative for half of all hashes, and its sign is dropped."""

    origin, caught_by = "torchsparse#376", ROWS

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        rest = np.fmod(hashes.view(np.int32).astype(np.int64), num_rows)
        return np.where(rest < 0, -rest, rest)


class AbsoluteHash(Mutant):
    """The absolute value of the hash is reduced, but that of -2**31 is still negative."""

    origin, caught_by = "scikit-learn#19034", ROWS

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        return np.abs(hashes.view(np.int32)).astype(np.int64) % num_rows


class SmallestHash(Mutant):
    """Only a hash of -2**31 is wrong: it gives row 0."""

    origin, caught_by = "scikit-learn#19034", ("hash.rows",)

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        return np.where(hashes == 2**31, 0, super().remainder(hashes, num_rows))


class MaskedHash(Mutant):
    """A mask takes the remainder, which is right for powers of two only."""

    caught_by = ROWS

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        bits = max(1, int(num_rows - 1).bit_length())
        result: Array = np.minimum(hashes.astype(np.int64) & ((1 << bits) - 1), num_rows - 1)
        return result


class MultiplyShift(Mutant):
    """Lemire's product and shift replace the remainder."""

    caught_by = ROWS

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        return ((hashes.astype(np.uint64) * np.uint64(num_rows)) >> np.uint64(32)).astype(np.int64)


class FloatRemainder(Mutant):
    """The remainder is computed in float32."""

    caught_by = ROWS

    def remainder(self, hashes: Array, num_rows: int) -> Array:
        signed = hashes.view(np.int32).astype(np.float32)
        rest = signed - np.floor(signed / np.float32(num_rows)) * np.float32(num_rows)
        result: Array = np.clip(rest.astype(np.int64), 0, num_rows - 1)
        return result


class SignExtendedBytes(Mutant):
    """Bytes of the key are signed chars: those of 128 and above spill into the ones before."""

    origin, caught_by = "velox#18770", ROWS

    def words(self, ids: Array) -> list[Array]:
        key = np.ascontiguousarray(ids.astype("<i8").astype("<i4")).view(np.int8).reshape(*ids.shape, 4).astype(np.int64)
        word = key[..., 0] | key[..., 1] << 8 | key[..., 2] << 16 | key[..., 3] << 24
        return [(word & 0xFFFFFFFF).astype(np.uint32)]


class EightByteKey(Mutant):
    """The id is hashed as eight bytes."""

    caught_by = ROWS

    def words(self, ids: Array) -> list[Array]:
        return [ids.astype(np.int64).astype(np.uint32), (ids.astype(np.int64) >> 32).astype(np.uint32)]


class BigEndianKey(Mutant):
    """The id's bytes are hashed in big-endian order."""

    caught_by = ROWS

    def words(self, ids: Array) -> list[Array]:
        return [super().words(ids)[0].byteswap()]


class ShortKey(Mutant):
    """The upper half of the id is dropped."""

    caught_by = ROWS

    def words(self, ids: Array) -> list[Array]:
        return [ids.astype(np.int64).astype(np.uint16).astype(np.uint32)]


class FloatKey(Mutant):
    """Ids are converted to float32: neighbours above 2**24 become equal."""

    caught_by = ("hash.rows",)

    def words(self, ids: Array) -> list[Array]:
        return super().words(ids.astype(np.float32).astype(np.int64))


class AbsoluteKey(Mutant):
    """A negative id is hashed as its absolute value."""

    caught_by = ("hash.negative_ids",)

    def words(self, ids: Array) -> list[Array]:
        return super().words(np.abs(ids))


class SaturatedSeed(Mutant):
    """The seed is an int32 that saturates."""

    origin, caught_by = "smhasher#32", ("hash.seeds",)

    def seed(self, seed: int) -> int:
        return min(seed, 2**31 - 1)


class SignExtendedSeed(Mutant):
    """A seed of 2**31 and more counts as negative and is dropped."""

    origin, caught_by = "Zero-Allocation-Hashing#68", ("hash.seeds",)

    def seed(self, seed: int) -> int:
        return seed if seed < 2**31 else 0


class Rotation16(Mutant):
    """The first rotation is by 16 bits instead of 15."""

    caught_by = ROWS
    rotations = (16, 13)


class Rotation12(Mutant):
    """The second rotation is by 12 bits instead of 13."""

    caught_by = ROWS
    rotations = (15, 12)


class FinalShift15(Mutant):
    """The second shift at the end is by 15 bits instead of 13."""

    caught_by = ROWS
    final_shifts = (16, 15, 16)


class SwappedMultipliers(Mutant):
    """The two multipliers of the key are swapped."""

    caught_by = ROWS
    multipliers = (0x1B873593, 0xCC9E2D51)


class LengthForgotten(Mutant):
    """The key's length is not mixed in."""

    caught_by = ROWS

    def length(self, words: list[Array]) -> int:
        return 0


class SignedShift(Mutant):
    """Right shifts of the last rounds extend the sign."""

    origin, caught_by = "cassandra-gocql-driver#1035", ROWS

    def murmur(self, words: list[Array], seed: int) -> Array:
        h = words[0] * np.uint32(self.multipliers[0])
        h = np.uint32(seed) ^ self.rotate(h, 15) * np.uint32(self.multipliers[1])
        h = (self.rotate(h, 13) * np.uint32(5) + np.uint32(self.addend)) ^ np.uint32(4)
        for shift, multiplier in zip(self.final_shifts, (*self.final_multipliers, 1), strict=True):
            h = (h ^ (h.view(np.int32) >> shift).view(np.uint32)) * np.uint32(multiplier)
        return h


class SortedSeeds(Mutant):
    """Seeds are used in ascending order, not in Spotlight's."""

    caught_by = ("hash.rows",)

    def probes(self, ids: Array, num_rows: int, seeds: tuple[int, ...]) -> Array:
        return super().probes(ids, num_rows, tuple(sorted(seeds)))


class OneSeed(Mutant):
    """All probes use the first seed."""

    caught_by = ROWS

    def probes(self, ids: Array, num_rows: int, seeds: tuple[int, ...]) -> Array:
        return super().probes(ids, num_rows, seeds[:1] * len(seeds))


class DoubleHashing(Mutant):
    """Probe j is the first plus j times the second."""

    caught_by = ROWS

    def probes(self, ids: Array, num_rows: int, seeds: tuple[int, ...]) -> Array:
        rows = super().probes(ids, num_rows, seeds)
        return rows if len(seeds) < 3 else (rows[..., :1] + np.arange(len(seeds)) * rows[..., 1:2]) % num_rows


class SixteenSeeds(Mutant):
    """Probes beyond the sixteenth start again with the first seed."""

    caught_by = ROWS

    def probes(self, ids: Array, num_rows: int, seeds: tuple[int, ...]) -> Array:
        return super().probes(ids, num_rows, tuple(seeds[j % 16] for j in range(len(seeds))))


class PaddingHashed(Mutant):
    """The padding id is hashed like any other."""

    caught_by = ("hash.padding",)

    def hash(self, case: Case) -> Outputs:
        return super().hash(case.replace(padding_idx=None))


class PaddingAfterHashing(Mutant):
    """Padding is looked up among the rows, after hashing."""

    caught_by = ("hash.padding",)

    def hash(self, case: Case) -> Outputs:
        rows = super().hash(case.replace(padding_idx=None))["rows"]
        return {"rows": np.where(rows == case.padding_idx, 0, rows)}


class PaddingInFirstProbe(Mutant):
    """Only the first probe of the padding id is row 0."""

    caught_by = ("hash.padding",)

    def hash(self, case: Case) -> Outputs:
        rows = super().hash(case.replace(padding_idx=None))["rows"]
        rows[case.ids == case.padding_idx, :1] = 0
        return {"rows": rows}


class RowsTransposed(Mutant):
    """Rows come back as (k, n)."""

    caught_by = ("hash.rows",)

    def hash(self, case: Case) -> Outputs:
        return {"rows": super().hash(case)["rows"].T}


class FloatRows(Mutant):
    """Rows come back as floats."""

    caught_by = ("hash.rows",)

    def hash(self, case: Case) -> Outputs:
        return {"rows": super().hash(case)["rows"].astype(np.float64)}


class SmallTablesOnly(Mutant):
    """Rows are kept in 16 bits."""

    caught_by = ("hash.rows",)

    def hash(self, case: Case) -> Outputs:
        return {"rows": super().hash(case)["rows"].astype(np.uint16).astype(np.int64)}
