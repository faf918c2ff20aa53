"""What is known of the metrics, once. Torch-free."""

# The supplement's (captions of Tables 1 and 4), but for the last.
GAMMA_THRESHOLD = 1e-3
ACTIVATION_THRESHOLD = 1e-12
UNIVERSALITY_THRESHOLD = 1e-3  # main paper: of the feature's largest response over the training set
