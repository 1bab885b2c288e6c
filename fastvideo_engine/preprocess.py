"""FastVideo's preprocessing command, `python -m fastvideo_engine.preprocess`: its flags, this engine."""

import sys

from fastvideo_engine.__main__ import carry_out
from fastvideo_engine.fastvideo_flags.preprocess import asked_by

if __name__ == "__main__":
    sys.exit(carry_out(asked_by(sys.argv[1:])))
