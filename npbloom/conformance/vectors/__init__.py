"""
Golden vectors: cases with their right answers as files, for kernels in other languages.

The package does not contain them: every platform makes the same bytes, which `check` proves.
"""

from npbloom.conformance.vectors.files import SETS, check, export
from npbloom.conformance.vectors.judgement import Judgement, judge

__all__ = ["Judgement", "SETS", "check", "export", "judge"]
