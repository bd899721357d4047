// The extension module sdrbee._native. No torch type crosses it: pictures and arrays leave through
// the buffer protocol.
#include "bindings.h"

PYBIND11_MODULE(_native, module) {
  using namespace sdrbee::bindings;
  module.doc() = "The C++ part of sdrbee; use it through the package `sdrbee`.";
  register_errors(module);
  register_image(module);
  register_request(module);
  register_info(module);
  register_tables(module);
  register_model_files(module);
  register_plugin(module);
  register_model(module);
  register_engine(module);
  register_convert(module);
  register_tokenizer(module);
  register_system(module);
}
