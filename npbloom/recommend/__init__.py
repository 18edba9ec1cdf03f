"""Recommender models on npbloom's layers: Spotlight's models, with data, losses and scores."""

from npbloom.recommend import losses
from npbloom.recommend._recommender import load_model
from npbloom.recommend.datasets import fetch_movielens
from npbloom.recommend.evaluation import (
    RankingScores,
    hit_rate_score,
    mrr_score,
    ndcg_score,
    precision_recall_score,
    ranking_scores,
    rmse_score,
)
from npbloom.recommend.factorization import ExplicitFactorizationModel, ImplicitFactorizationModel
from npbloom.recommend.files import read_ratings
from npbloom.recommend.interactions import Interactions
from npbloom.recommend.metrics import evaluate
from npbloom.recommend.network import ImplicitNetworkModel
from npbloom.recommend.splits import leave_last_out, random_train_test_split, split_by_time, user_based_train_test_split

__all__ = [
    "ExplicitFactorizationModel",
    "ImplicitFactorizationModel",
    "ImplicitNetworkModel",
    "Interactions",
    "RankingScores",
    "evaluate",
    "fetch_movielens",
    "hit_rate_score",
    "leave_last_out",
    "load_model",
    "losses",
    "mrr_score",
    "ndcg_score",
    "precision_recall_score",
    "random_train_test_split",
    "ranking_scores",
    "read_ratings",
    "rmse_score",
    "split_by_time",
    "user_based_train_test_split",
]
