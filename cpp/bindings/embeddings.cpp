#include "embeddings.h"

namespace sdrbee::bindings {

// The forms are told apart in Python, where the model store is.
std::vector<text::EmbeddingUse> embeddings_from_python(py::handle value) {
  std::vector<text::EmbeddingUse> embeddings;
  if (value.is_none()) return embeddings;
  const py::list rows = py::module_::import("sdrbee.embeddings").attr("read_embeddings")(value);
  for (const py::handle row : rows)
    embeddings.push_back({.name = row["name"].cast<std::string>(),
                          .path = row["path"].cast<std::string>(),
                          .sha256 = row["sha256"].cast<std::string>()});
  return embeddings;
}

py::list embeddings_to_python(const std::vector<text::EmbeddingUse>& embeddings) {
  py::list rows;
  for (const text::EmbeddingUse& use : embeddings) {
    py::dict row;
    row["name"] = use.name;
    row["path"] = use.path;
    row["sha256"] = use.sha256;
    rows.append(row);
  }
  return rows;
}

}  // namespace sdrbee::bindings
