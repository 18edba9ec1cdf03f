"""Golden vectors: cases with their right answers as files, for whoever writes kernels in another language.

Nothing of them is shipped: every platform makes the same bytes, which `check` proves.
"""

from npbloom.conformance.vectors.files import SETS, check, export
from npbloom.conformance.vectors.judgement import Judgement, judge

__all__ = ["Judgement", "SETS", "check", "export", "judge"]
