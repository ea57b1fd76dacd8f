"""What does `python -m lythonic_compose.lyth` do? The same as `lyth`."""

import sys

from . import main

sys.exit(main())
