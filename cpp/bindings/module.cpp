// The extension module sdrbee._native. No torch type crosses it: pictures and arrays leave through
// the buffer protocol.
#include "bindings.h"

PYBIND11_MODULE(_native, module) {
  module.doc() = "The C++ part of sdrbee; use it through the package `sdrbee`.";
  sdrbee::bindings::register_errors(module);
}
