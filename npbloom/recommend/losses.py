r"""
Losses of scores, with hand-written gradients.

Every function returns the mean loss and its gradient with respect to the given scores, in the
scores' dtype; everything in between is float64. :math:`\sigma(x) = 1 / (1 + e^{-x})`.
"""

from __future__ import annotations

import numpy as np

from npbloom import _check
from npbloom.types import ArrayLike, FloatArray, unmasked

PairLoss = tuple[float, FloatArray, FloatArray]
RatingLoss = tuple[float, FloatArray]

_quiet = np.errstate(over="ignore", invalid="ignore")  # diverged scores show in the loss, not in warnings


@_quiet
def sigmoid(scores: FloatArray) -> FloatArray:
    """
    Return the logistic function of scores.

    It has full relative precision in both tails, and does not overflow.
    """
    result: FloatArray = np.exp(-np.logaddexp(scores.dtype.type(0.0), -scores))
    return result


def _scores(value: ArrayLike, name: str) -> FloatArray:
    """Return scores as they are, float32 or float64, or raise a TypeError or ValueError."""
    scores = _check.floats(value, name, None)
    if scores.size == 0:
        raise ValueError(f"`{name}` must not be empty: a mean of nothing is undefined.")
    return scores


def _pair(positive: ArrayLike, negative: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return scores of positives, and of as many negatives."""
    first, second = _scores(positive, "positive"), _scores(negative, "negative")
    _check.shape(second, "negative", first.shape)
    return first, second


def _rated(scores: ArrayLike, ratings: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return scores, and as many ratings as float64."""
    first = _scores(scores, "scores")
    second = unmasked(ratings, "ratings")
    if second.dtype.kind not in "iuf":
        raise TypeError(f"`ratings` must be real numbers, not {second.dtype}.")
    _check.shape(second, "ratings", first.shape)
    return first, second.astype(np.float64)


@_quiet
def bpr(positive: ArrayLike, negative: ArrayLike) -> PairLoss:
    r"""
    Compute Bayesian personalised ranking of Spotlight: the mean of :math:`1 - \sigma(s^+ - s^-)`.

    Parameters
    ----------
    positive : float array
        Scores :math:`s^+` of items that were met.
    negative : float array of the same shape
        Scores :math:`s^-` of items that were drawn.

    Returns
    -------
    loss : float
        The mean over all pairs.
    grad_positive, grad_negative : float array
        :math:`\mp\sigma(d)\,\sigma(-d) / n` with :math:`d = s^+ - s^-`.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or differ in shape.

    Notes
    -----
    The gradient vanishes where the order is very wrong; `log_bpr` keeps it there.

    Examples
    --------
    >>> bpr([2.0, 0.0], [2.0, 0.0])
    (0.5, array([-0.125, -0.125]), array([0.125, 0.125]))
    """
    first, second = _pair(positive, negative)
    difference = first.astype(np.float64) - second
    right, wrong = sigmoid(difference), sigmoid(-difference)
    grad = right * wrong / first.size
    return float(wrong.mean()), (-grad).astype(first.dtype), grad.astype(second.dtype)


@_quiet
def log_bpr(positive: ArrayLike, negative: ArrayLike) -> PairLoss:
    r"""
    Compute Bayesian personalised ranking of the paper: the mean of :math:`-\log\sigma(s^+ - s^-)`.

    Parameters
    ----------
    positive : float array
        Scores :math:`s^+` of items that were met.
    negative : float array of the same shape
        Scores :math:`s^-` of items that were drawn.

    Returns
    -------
    loss : float
        The mean over all pairs.
    grad_positive, grad_negative : float array
        :math:`\mp\sigma(-d) / n` with :math:`d = s^+ - s^-`.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or differ in shape.

    References
    ----------
    .. [1] Rendle, Freudenthaler, Gantner and Schmidt-Thieme (2009), BPR: Bayesian personalized
       ranking from implicit feedback, UAI.

    Examples
    --------
    >>> log_bpr([3.0, 0.0], [3.0, 0.0])
    (0.6931471805599453, array([-0.25, -0.25]), array([0.25, 0.25]))
    """
    first, second = _pair(positive, negative)
    difference = first.astype(np.float64) - second
    grad = sigmoid(-difference) / first.size
    return float(np.logaddexp(0.0, -difference).mean()), (-grad).astype(first.dtype), grad.astype(second.dtype)


@_quiet
def pointwise(positive: ArrayLike, negative: ArrayLike) -> PairLoss:
    r"""
    Compute the pointwise loss: the mean of :math:`1 - \sigma(s^+) + \sigma(s^-)`.

    Parameters
    ----------
    positive : float array
        Scores :math:`s^+` of items that were met.
    negative : float array of the same shape
        Scores :math:`s^-` of items that were drawn.

    Returns
    -------
    loss : float
        The mean over all pairs.
    grad_positive, grad_negative : float array
        :math:`-\sigma(s^+)\,\sigma(-s^+) / n` and :math:`\sigma(s^-)\,\sigma(-s^-) / n`.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or differ in shape.

    Examples
    --------
    >>> pointwise([0.0], [0.0])
    (1.0, array([-0.25]), array([0.25]))
    """
    first, second = _pair(positive, negative)
    above, below = first.astype(np.float64), second.astype(np.float64)
    met_wrong, drawn_wrong = sigmoid(-above), sigmoid(below)
    grad_positive = -sigmoid(above) * met_wrong / first.size
    grad_negative = drawn_wrong * sigmoid(-below) / first.size
    loss = float((met_wrong + drawn_wrong).mean())
    return loss, grad_positive.astype(first.dtype), grad_negative.astype(second.dtype)


@_quiet
def hinge(positive: ArrayLike, negative: ArrayLike) -> PairLoss:
    r"""
    Compute the hinge loss with a margin of one: the mean of :math:`\max(0, 1 - s^+ + s^-)`.

    Parameters
    ----------
    positive : float array
        Scores :math:`s^+` of items that were met.
    negative : float array of the same shape
        Scores :math:`s^-` of items that were drawn.

    Returns
    -------
    loss : float
        The mean over all pairs.
    grad_positive, grad_negative : float array
        :math:`\mp 1/n` where the margin is missed, else 0, also at exactly the margin.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or differ in shape.

    Examples
    --------
    >>> hinge([2.0, 0.5], [0.0, 0.0])
    (0.25, array([-0. , -0.5]), array([0. , 0.5]))
    """
    first, second = _pair(positive, negative)
    short = 1.0 - first.astype(np.float64) + second
    grad = np.where(short > 0.0, 1.0 / first.size, np.where(np.isnan(short), np.nan, 0.0))
    return float(np.maximum(short, 0.0).mean()), (-grad).astype(first.dtype), grad.astype(second.dtype)


@_quiet
def adaptive_hinge(positive: ArrayLike, negatives: ArrayLike) -> PairLoss:
    r"""
    Compute the hinge loss of each positive against the highest of its own negatives.

    It is the mean of :math:`\max(0, 1 - s^+ + \max_j s^-_j)`.

    Parameters
    ----------
    positive : float array, shape (n,)
        Scores :math:`s^+` of items that were met.
    negatives : float array, shape (n, k)
        Row i holds the scores of the items drawn for positive i.

    Returns
    -------
    loss : float
        The mean over all positives.
    grad_positive : float array, shape (n,)
        :math:`-1/n` where the margin is missed, else 0.
    grad_negatives : float array, shape (n, k)
        :math:`1/n` at the first highest negative where the margin is missed, 0 elsewhere.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or their shapes do not fit.

    References
    ----------
    .. [1] Weston, Bengio and Usunier (2011), WSABIE: scaling up to large vocabulary image
       annotation, IJCAI.

    Examples
    --------
    >>> adaptive_hinge([2.0, 0.0], [[0.0, 1.5], [-3.0, -4.0]])
    (0.25, array([-0.5, -0. ]), array([[0. , 0.5],
           [0. , 0. ]]))
    """
    first, second = _scores(positive, "positive"), _scores(negatives, "negatives")
    if first.ndim != 1 or second.ndim != 2 or len(first) != len(second):
        raise ValueError(f"`negatives` must have shape (n, k) for (n,) positives, not {second.shape} for {first.shape}.")
    highest = (np.arange(len(second)), second.argmax(axis=1))
    loss, grad_positive, grad_highest = hinge(first, second[highest])
    grad_negatives = np.zeros_like(second)
    grad_negatives[highest] = grad_highest
    return loss, grad_positive, grad_negatives


@_quiet
def regression(scores: ArrayLike, ratings: ArrayLike) -> RatingLoss:
    r"""
    Compute the mean squared error: the mean of :math:`(s - r)^2`.

    Parameters
    ----------
    scores : float array
        Predicted ratings :math:`s`.
    ratings : real array of the same shape
        Ratings :math:`r`.

    Returns
    -------
    loss : float
        The mean over all ratings.
    grad_scores : float array
        :math:`2 (s - r) / n`.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or differ in shape from the ratings.

    Examples
    --------
    >>> regression([3.0, 5.0], [4, 5])
    (0.5, array([-1.,  0.]))
    """
    first, second = _rated(scores, ratings)
    error = first - second
    return float((error * error).mean()), (2.0 * error / first.size).astype(first.dtype)


@_quiet
def poisson(scores: ArrayLike, ratings: ArrayLike) -> RatingLoss:
    r"""
    Compute the negative log likelihood of counts with mean :math:`e^s`, without its constant.

    It is the mean of :math:`e^s - r s`.

    Parameters
    ----------
    scores : float array
        Logarithms :math:`s` of the predicted ratings.
    ratings : real array of the same shape
        Ratings :math:`r`.

    Returns
    -------
    loss : float
        The mean over all ratings; inf where :math:`e^s` exceeds a float64.
    grad_scores : float array
        :math:`(e^s - r) / n`.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or differ in shape from the ratings.

    Examples
    --------
    >>> poisson([0.0, 0.0], [1, 3])
    (1.0, array([ 0., -1.]))
    """
    first, second = _rated(scores, ratings)
    wide = first.astype(np.float64)
    mean = np.exp(wide)
    return float((mean - second * wide).mean()), ((mean - second) / first.size).astype(first.dtype)


@_quiet
def logistic(scores: ArrayLike, ratings: ArrayLike) -> RatingLoss:
    r"""
    Compute the mean binary cross-entropy of ratings above 0.

    It is the mean of :math:`\log(1 + e^s) - [r > 0]\, s`.

    Parameters
    ----------
    scores : float array
        Log odds :math:`s`.
    ratings : real array of the same shape
        Ratings :math:`r`; a rating above 0 is the positive class.

    Returns
    -------
    loss : float
        The mean over all ratings.
    grad_scores : float array
        :math:`(\sigma(s) - [r > 0]) / n`.

    Raises
    ------
    TypeError, ValueError
        Scores are not floats, are empty, or differ in shape from the ratings.

    Examples
    --------
    >>> logistic([0.0, 0.0], [1, -1])
    (0.6931471805599453, array([-0.25,  0.25]))
    """
    first, second = _rated(scores, ratings)
    wide, yes = first.astype(np.float64), second > 0
    grad = np.where(yes, -sigmoid(-wide), sigmoid(wide)) / first.size
    return float(np.logaddexp(0.0, np.where(yes, -wide, wide)).mean()), grad.astype(first.dtype)
