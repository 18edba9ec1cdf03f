"""`ImplicitNetworkModel`: a feed-forward network whose input and output are items as bits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, NamedTuple, Self, final

import numpy as np
import numpy.typing as npt

from npbloom import _check
from npbloom.coding import BloomCoder
from npbloom.ops._ids import check_ids
from npbloom.ops._instances import distinct_values
from npbloom.ops.network import log_softmax, softmax_loss
from npbloom.recommend import _network
from npbloom.recommend._recommender import Recommender, Scorer, distinct, finite
from npbloom.recommend.interactions import Interactions
from npbloom.types import ArrayLike, FloatArray, IntArray, Rng

BLOCK = 2**22  # scores, and logits, in memory at once


class _Instances(NamedTuple):
    """Distinct items of each user: ``items[starts[i]:starts[i + 1]]``."""

    items: IntArray
    starts: IntArray


@final
class ImplicitNetworkModel(Recommender):
    r"""
    A feed-forward network from the items a user has met to the items the user may meet next.

    The input is a binary vector: one bit for each item, or with a `coder` the bits of Serrà and
    Karatzoglou's Bloom embedding, a few for each item, where many items share a bit. Layers of ReLU
    units follow, then a softmax over such bits. In training each user's items are split at random
    at every step: one part is the input, the other is to be predicted, under categorical
    cross-entropy. The score of an item is the logarithm of its bit's probability; with a coder it
    is the sum over the item's bits. If `popularity` is above 0, items that share bits are told
    apart by how often they occur.

    Parameters
    ----------
    hidden : int or sequence of int, default 128
        Units of each ReLU layer.
    coder : BloomCoder, optional
        Code of items as bits at both ends; by default each item is one bit. Its `num_items` must be
        at least that of the interactions.
    held_out : float, default 0.5
        Probability that an item of a user is to be predicted instead of given, between 0 and 1. For
        a user of two or more items at least one is on each side; the only item of a user is
        predicted from an empty input.
    n_iter : int, default 20
        Epochs of one `fit`: an epoch sees every user once.
    batch_size : int, default 128
        Users in one step.
    l2 : float, default 0.0
        Weight decay. On the input's weights it acts on the rows that a step touches (L27).
    learning_rate : float, default 3e-3
        The optimizer's rate.
    optimizer : str, a key of `npbloom.optimizers.BY_NAME`
        One optimizer for all layers.
    popularity : float, default 0.0
        Weight of how often an item occurs. For an item of k bits and c interactions among those
        that the model was `fitted` on, ``popularity * k * log(c + 1/2)`` is added to the score. 0
        is the paper's ranking, in which a rare item profits from the frequent ones that it shares
        bits with. 1 keeps far more of the score where users have met many items, and no more where
        they have met few and k is 4 (docs/coding.md): choose it on a validation split. It may be
        changed after training.
    dtype : float32 or float64
        Dtype of all weights.
    rng : numpy.random.Generator or int, optional
        Source of initial values, order and splits.

    Raises
    ------
    TypeError, ValueError
        An argument is of the wrong kind or out of its range.

    See Also
    --------
    npbloom.coding.BloomCoder : Bits of items, and items by likelihood.

    Notes
    -----
    - The input's weights are the table of a `ScaledEmbeddingBag` with mode "sum" and have sparse
      gradients. The other weights are dense matrices, each the table of a layer. `layers` holds
      all layers that are trained.
    - Each target is divided by its number of bits, so that every user weighs the same.
    - A user is scored by the items that the model was `fitted` on; `predict_instances` scores any
      set of items.
    - BLAS computes the matrix products. So the last bits of a score may depend on how many users
      are scored together, and on the machine, unlike those of factorization models.

    References
    ----------
    .. [1] J. Serrà, A. Karatzoglou, "Getting deep recommenders fit: Bloom embeddings for sparse
       binary input/output networks", RecSys 2017.

    Examples
    --------
    >>> met = Interactions([0, 0, 0, 1, 1, 1], [0, 1, 2, 3, 4, 5], user_labels=["ann", "bob"])
    >>> model = ImplicitNetworkModel(16, n_iter=100, rng=0).fit(met)
    >>> sorted(model.recommend("ann", n=3))
    [0, 1, 2]
    >>> coded = ImplicitNetworkModel(16, BloomCoder(6, 5, 2, rng=0), n_iter=100, rng=0).fit(met)
    >>> coded.layers["output"].weight.shape
    (5, 16)
    """

    _settings: ClassVar[tuple[str, ...]] = (
        *("hidden", "held_out", "n_iter", "batch_size", "l2", "learning_rate", "optimizer", "popularity", "dtype"),
    )

    def __init__(
        self,
        hidden: int | Sequence[int] = 128,
        coder: BloomCoder | None = None,
        held_out: float = 0.5,
        n_iter: int = 20,
        batch_size: int = 128,
        l2: float = 0.0,
        learning_rate: float = 3e-3,
        optimizer: str = "adam",
        *,
        popularity: float = 0.0,
        dtype: npt.DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        """Check the arguments; the first `fit` makes the layers."""
        widths = hidden if isinstance(hidden, (Sequence, np.ndarray)) and not isinstance(hidden, str) else [hidden]
        self.hidden = tuple(_check.positive_int(width, "hidden") for width in widths)
        if not self.hidden:
            raise ValueError("`hidden` must name at least one layer.")
        if coder is not None and not isinstance(coder, BloomCoder):
            raise TypeError(f"`coder` must be a BloomCoder or None, not {type(coder).__name__}.")
        self.coder = coder
        self.held_out = _check.real(held_out, "held_out")
        if not 0 < self.held_out < 1:
            raise ValueError(f"`held_out` must lie between 0 and 1, not {self.held_out:g}.")
        self.popularity = _check.at_least_zero(popularity, "popularity")
        if np.isinf(self.popularity):
            raise ValueError("`popularity` must be finite, not inf.")
        kind = np.dtype(dtype)
        if kind not in _check.FLOAT_DTYPES:
            raise ValueError(f"`dtype` must be float32 or float64, not {kind}.")
        self.dtype = kind.name
        self._counted: IntArray | None = None  # pairs counted in `_log_counts`
        self._configure_training(
            n_iter=n_iter, batch_size=batch_size, l2=l2, learning_rate=learning_rate, optimizer=optimizer, rng=rng
        )

    # ---- training --------------------------------------------------------------------------------

    def _check_data(self, interactions: Interactions) -> None:
        """Raise a ValueError if there are fewer than two items to choose from."""
        first = 0 if interactions.padding_idx is None else 1
        if interactions.num_items - first < 2:
            raise ValueError("`interactions` must be with at least 2 items, not 1: there is nothing to choose from.")

    def _make_layers(self, interactions: Interactions) -> dict[str, Any]:
        """Return layers with weights for all bits."""
        bits = interactions.num_items
        if self.coder is not None:
            if self.coder.num_items < bits:
                raise ValueError(f"`coder` is for {self.coder.num_items} items, and there are {bits}.")
            bits = self.coder.num_bits
        return _network.make_layers(bits, self.hidden, self.coder, np.dtype(self.dtype), self._rng)

    def _examples(self, interactions: Interactions) -> int:
        """Keep the distinct items of each user; return the number of users, the examples."""
        pairs = distinct(interactions.user_ids * self.num_items + interactions.item_ids)
        users = pairs // self.num_items
        starts = np.flatnonzero(np.diff(users, prepend=-1, append=-1))  # start of each user, and the end
        self._instances = _Instances(pairs - users * self.num_items, starts)
        return len(starts) - 1

    def _step(self, interactions: Interactions, batch: IntArray) -> float:
        """Split, predict, compare, update each layer once; return the loss before the update."""
        assert self._steps is not None
        given, wanted = self._split(batch)
        bits, offsets = self._encode(*given)
        activations, logits = _network.forward(self.layers, bits, offsets)
        loss = softmax_loss(logits, *self._encode(*wanted))
        for name, grad in _network.backward(self.layers, activations, logits).items():
            if name == "input":
                self._steps.update(self.layers[name], bits, grad, offsets=offsets)
            else:
                self._steps.step(self.layers[name], grad)
        return loss

    def _split(self, batch: IntArray) -> tuple[tuple[IntArray, IntArray], tuple[IntArray, IntArray]]:
        """Give or hold out each item of some users; return items and offsets of both parts."""
        items, starts = self._instances
        sizes = starts[batch + 1] - starts[batch]
        own, offsets = _pieces(items, starts[batch], sizes)
        held = self._rng.random(len(own)) < self.held_out
        one = offsets + (self._rng.random(len(batch)) * sizes).astype(np.int64)  # item that changes side if one is empty
        counts = np.add.reduceat(held, offsets, dtype=np.int64)
        held[one[counts == 0]] = True
        held[one[(counts == sizes) & (sizes > 1)]] = False
        counts = np.add.reduceat(held, offsets, dtype=np.int64)
        held_offsets = np.append(0, np.cumsum(counts))[:-1]
        return (own[~held], offsets - held_offsets), (own[held], held_offsets)

    def _encode(self, items: IntArray, offsets: IntArray) -> tuple[IntArray, IntArray]:
        """Return bits and offsets of instances of distinct items."""
        return (items, offsets) if self.coder is None else self.coder.encode(items, offsets)

    # ---- scores ----------------------------------------------------------------------------------

    def predict_instances(self, items: ArrayLike, offsets: ArrayLike | None = None) -> FloatArray:
        """
        Return scores of all items for any sets of items.

        Parameters
        ----------
        items : int array, shape (total,) or (n, length)
            Row numbers of the items of all sets; repeated ones count once.
        offsets : int array, shape (n,), optional
            Start of each set, for 1-D items. A set may be empty.

        Returns
        -------
        float array, shape (n, num_items)
            Logarithms of probabilities, with a coder summed over each item's bits, plus the term of
            `popularity`.

        Raises
        ------
        TypeError, ValueError, IndexError
            The items are not integers, are out of range, or do not fit the offsets; or the model is
            not fitted.
        """
        self._check_fitted()
        ids = check_ids(items, self.num_items, "items")
        starts = _check.read_only(_check.offsets(offsets, ids, False))
        met, ends = distinct_values(ids.reshape(-1), starts, self.num_items)
        return self._score(met, ends[:-1])

    def _score(self, items: IntArray, offsets: IntArray) -> FloatArray:
        """Return scores of all items for instances of distinct items."""
        _, logits = _network.forward(self.layers, *self._encode(items, offsets))
        log_softmax(logits)
        prior = self._prior()
        if self.coder is not None:
            return self.coder.log_likelihood(logits, prior)[:, : self.num_items]
        if prior is not None:
            logits += prior.astype(logits.dtype)
        return logits

    def _prior(self) -> FloatArray | None:
        """Return what `popularity` adds to each score, for all items of the coder if given."""
        if not self.popularity:
            return None
        size, k = (self.num_items, 1) if self.coder is None else (self.coder.num_items, self.coder.num_hashes)
        if self._counted is not self._seen:
            self._log_counts: FloatArray = np.log(np.bincount(self._seen % self.num_items, minlength=size) + 0.5)
            self._counted = self._seen
        prior: FloatArray = self.popularity * k * self._log_counts
        return prior

    def _score_users(self, users: IntArray) -> FloatArray:
        """Return scores of all items for users, from the items that they have met."""
        first = np.searchsorted(self._seen, users * self.num_items)
        sizes = np.searchsorted(self._seen, (users + 1) * self.num_items) - first
        pairs, offsets = _pieces(self._seen, first, sizes)
        return self._score(pairs % self.num_items, offsets)

    def _scorer(self, users: IntArray) -> Scorer:
        """
        Return a function from users to scores of all items.

        Finite weights give finite scores, except where a sum overflows.
        """
        finite(*(layer.weight for layer in self.layers.values()))
        return self._score_users

    def _score_user(self, user: int) -> FloatArray:
        """Return the score of each item for a user."""
        scores: FloatArray = self._score_users(np.array([user]))[0]
        return scores

    def _score_pairs(self, users: IntArray, items: IntArray) -> FloatArray:
        """Return the score of each pair, in blocks of distinct users."""
        known, which = np.unique(users, return_inverse=True)
        scores = np.empty(len(users), dtype=self.dtype)
        step = max(1, BLOCK // self.num_items)
        for first in range(0, len(known), step):
            mine = np.flatnonzero((which >= first) & (which < first + step))
            scores[mine] = self._score_users(known[first : first + step])[which[mine] - first, items[mine]]
        return scores

    # ---- files -----------------------------------------------------------------------------------

    @classmethod
    def _made_again(cls, settings: dict[str, Any], layers: dict[str, Any], rng: Rng, description: dict[str, Any]) -> Self:
        """
        Return a model on these layers.

        The layers must fit each other and the number of items, and each has its own table.
        """
        make: Callable[..., Self] = cls
        model = make(**settings, coder=_network.coder_of(layers), rng=rng)
        bits = description["num_items"] if model.coder is None else model.coder.num_bits
        expected = _network.make_shapes(bits, model.hidden)
        tables = {id(layer.weight) for layer in layers.values()}
        if {name: layer.weight.shape for name, layer in layers.items()} != expected or len(tables) != len(layers):
            raise ValueError("its layers are not those of such a network")
        if model.coder is not None and model.coder.num_items < description["num_items"]:
            raise ValueError("its coder is for fewer items")
        return model

    def __getstate__(self) -> dict[str, Any]:
        """
        Return the state for pickle, without the instances of the last `fit`.

        The instances are as large as the interactions.
        """
        return {name: value for name, value in self.__dict__.items() if name != "_instances"}


def _pieces(values: IntArray, firsts: IntArray, sizes: IntArray) -> tuple[IntArray, IntArray]:
    """Join ``values[firsts[i] : firsts[i] + sizes[i]]`` for all i; return values and offsets."""
    offsets = np.append(0, np.cumsum(sizes))[:-1]
    return values[np.arange(sizes.sum()) + np.repeat(firsts - offsets, sizes)], offsets
