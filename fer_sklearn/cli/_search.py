"""A grid search that shows its progress. Importing this file loads scikit-learn's own."""

from sklearn.model_selection import GridSearchCV, ParameterGrid, StratifiedGroupKFold

from ..datasets import duplicate_groups
from ..evaluation import SCORING
from ._terminal import note, progress

__all__ = ["TellingSearch", "search"]


class TellingSearch(GridSearchCV):
    """GridSearchCV with a progress bar, by handing over a few candidates at a time."""

    def _run_search(self, evaluate_candidates):
        candidates = list(ParameterGrid(self.param_grid))
        # As many at once as there are workers keeps all of them busy.
        at_once = self.n_jobs or 1
        with progress(None, total=len(candidates), unit="candidate") as bar:
            for start in range(0, len(candidates), at_once):
                chosen = candidates[start : start + at_once]
                evaluate_candidates(chosen)
                bar.update(len(chosen))


def search(model, grid, data, *, n_folds, n_jobs, scoring, refit, random_state):
    """Cross-validate all candidates of a grid, copies of an image in one fold.

    Returns
    -------
    TellingSearch
        Fitted; with ``best_estimator_`` if `refit`.
    """
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=random_state)
    searched = TellingSearch(
        model,
        grid,
        cv=folds,
        n_jobs=n_jobs,
        scoring=SCORING,
        refit=scoring if refit else False,
        error_score="raise",
    )
    n_candidates = len(ParameterGrid(grid))
    note(f"{n_candidates} candidates × {n_folds} folds = {n_candidates * n_folds} trainings")
    return searched.fit(data.images, data.target, groups=duplicate_groups(data.images))
