// Textual inversions of a request in Python.
#pragma once

#include <vector>

#include "bindings.h"
#include "sdrbee/text/textual_inversion.h"

namespace sdrbee::bindings {

/// From a sequence of files, names, or dicts of the fields. What is no file is looked up in the
/// model store by sdrbee.embeddings. Throws TypeError, and what the look-up throws.
std::vector<text::EmbeddingUse> embeddings_from_python(py::handle value);

/// As a list of dicts.
py::list embeddings_to_python(const std::vector<text::EmbeddingUse>& embeddings);

}  // namespace sdrbee::bindings
