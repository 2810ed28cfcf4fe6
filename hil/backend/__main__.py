"""`python -m hil.backend --config FILE`."""

import sys

from hil.backend.service import main

sys.exit(main(sys.argv[1:]))
