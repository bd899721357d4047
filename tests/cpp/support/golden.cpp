#include "support/golden.h"

#include "support/memory_weights.h"

namespace sdrbee::test {

std::string source_path(const std::string& file) {
  return std::string(SDRBEE_SOURCE_DIR) + "/" + file;
}

std::string golden_path(const std::string& file) { return source_path("tests/cpp/golden/" + file); }

Golden::Golden(const std::string& name)
    : file_(golden_path(name + ".safetensors")),
      config_(io::parse_json(file_.metadata().at("config"), name), name) {}

io::WeightScope Golden::weights(Dtype dtype) const {
  return io::WeightScope(file_, ledger_, dtype, test_device()) / "weights";
}

void Golden::check_all_weights_taken() const { ledger_.check_all_taken(file_, "weights."); }

Tensor Golden::input(const std::string& name) const {
  return file_.read("in." + name).to(test_device());
}

Tensor Golden::output(const std::string& name) const { return file_.read("out." + name); }

}  // namespace sdrbee::test
