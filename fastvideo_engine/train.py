"""FastVideo's training command, `python -m fastvideo_engine.train`: its flags, this engine."""

import sys

from fastvideo_engine.__main__ import carry_out
from fastvideo_engine.fastvideo_flags.train import asked_by

if __name__ == "__main__":
    sys.exit(carry_out(asked_by(sys.argv[1:])))
