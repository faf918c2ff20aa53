"""`python -m filter_sparsity`, where the package lies on PYTHONPATH without being installed."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
