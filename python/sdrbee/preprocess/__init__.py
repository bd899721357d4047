"""What makes a control image of a picture: edges, lines, blurs, normals."""

from __future__ import annotations

from sdrbee.preprocess.finding import preprocess, preprocessor_names
from sdrbee.preprocess.table import Preprocessor, PreprocessorMissing, Setting, own_preprocessors

__all__ = [
    "Preprocessor",
    "PreprocessorMissing",
    "Setting",
    "own_preprocessors",
    "preprocess",
    "preprocessor_names",
]
