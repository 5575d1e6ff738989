"""
Calibrate the probabilities of a network
========================================

Of all predictions with a confidence of 80 %, four in five should be correct. A reliability diagram
shows whether they are. If not, scikit-learn's ``CalibratedClassifierCV`` can correct the
probabilities, even of a model that is already fitted.
"""

# %%
# An overconfident network
# ------------------------
#
# We train it for many epochs on few noisy faces, so that it memorises them.

from fer_sklearn import FERCNNClassifier, evaluate, make_cnn_pipeline, make_faces

X, y = make_faces(280, noise=25, random_state=0, return_X_y=True)
unseen, truth = make_faces(490, noise=25, random_state=1, return_X_y=True)
network = FERCNNClassifier(
    epochs=20, batch_size=16, learning_rate=2e-3, dropout=0.0, random_state=0
)
model = make_cnn_pipeline(network, size=24).fit(X, y)

# %%
# Calibrate it on other images
# ----------------------------
#
# ``FrozenEstimator`` keeps the network as it is. A few hundred images that it was not trained on
# are enough to learn the correction.

from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

held_out, held_out_emotions = make_faces(350, noise=25, random_state=2, return_X_y=True)
calibrated = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
calibrated.fit(held_out, held_out_emotions)

# %%
# Before and after
# ----------------
#
# Each point is a bin of predictions. Below the diagonal, the model is overconfident; the bar is
# the gap between confidence and accuracy, and the mean gap is the expected calibration error
# (ECE).

import matplotlib.pyplot as plt

from fer_sklearn import ReliabilityDisplay

figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained")
for ax, (name, one) in zip(
    axes, {"as trained": model, "calibrated": calibrated}.items(), strict=True
):
    ReliabilityDisplay.from_estimator(one, unseen, truth, n_bins=10, name=name, ax=ax)
plt.show()

# %%
# The log loss penalises confident errors, and decreases as well:

for name, one in {"as trained": model, "calibrated": calibrated}.items():
    overall = evaluate(one, unseen, truth).overall
    error, loss = overall["expected_calibration_error"].value, overall["log_loss"].value
    print(f"{name}: calibration error {error:.3f}, log loss {loss:.2f}")
