"""`python -m filter_sparsity.cli`, where the package lies on PYTHONPATH without being installed."""

import sys

from .program import main

if __name__ == "__main__":
    sys.exit(main())
