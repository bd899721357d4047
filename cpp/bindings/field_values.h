// Values of request fields, from Python and back.
#pragma once

#include <pybind11/pybind11.h>

#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "embeddings.h"
#include "loras.h"
#include "sdrbee/core/error.h"

namespace sdrbee::bindings {

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

/// Throws a TypeError that names the field and the value.
[[noreturn]] inline void wrong_type(std::string_view field, const std::string& expected,
                                    py::handle value) {
  throw py::type_error(message("[", field, "] expected ", expected, " but got ",
                               std::string(py::repr(value)), " (", Py_TYPE(value.ptr())->tp_name,
                               ")"));
}

inline double number(std::string_view field, py::handle value) {
  if (py::isinstance<py::bool_>(value) || !PyNumber_Check(value.ptr()))
    wrong_type(field, "float", value);
  const double result = PyFloat_AsDouble(value.ptr());
  if (PyErr_Occurred() == nullptr) return result;
  PyErr_Clear();
  wrong_type(field, "float", value);
}

template <typename T>
T integer(std::string_view field, py::handle value) {
  if (py::isinstance<py::bool_>(value) || !PyIndex_Check(value.ptr()))
    wrong_type(field, "int", value);
  const auto exact = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!exact) throw py::error_already_set();
  py::detail::make_caster<T> caster;
  if (!caster.load(exact, false))
    throw InvalidRequest(message("[", field, "] expected ", std::numeric_limits<T>::min(), "..",
                                 std::numeric_limits<T>::max(), " but got ",
                                 std::string(py::str(exact))));
  return py::detail::cast_op<T>(caster);
}

template <typename T>
std::vector<T> sequence(std::string_view field, py::handle value) {
  constexpr bool kWhole = std::is_integral_v<T>;
  std::vector<T> result;
  if (value.is_none()) return result;
  if (py::isinstance<py::str>(value) || !PySequence_Check(value.ptr()))
    wrong_type(field, kWhole ? "a sequence of ints" : "a sequence of floats", value);
  for (const py::handle item : value) {
    if constexpr (kWhole)
      result.push_back(integer<T>(field, item));
    else
      result.push_back(number(field, item));
  }
  return result;
}

template <typename T>
T field_from_python(std::string_view field, py::handle value) {
  if constexpr (IsOptional<T>::value) {
    if (value.is_none()) return std::nullopt;
    return field_from_python<typename T::value_type>(field, value);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!py::isinstance<py::str>(value)) wrong_type(field, "str", value);
    return value.cast<std::string>();
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!py::isinstance<py::bool_>(value)) wrong_type(field, "bool", value);
    return value.cast<bool>();
  } else if constexpr (std::is_integral_v<T>) {
    return integer<T>(field, value);
  } else if constexpr (std::is_same_v<T, double>) {
    return number(field, value);
  } else if constexpr (std::is_same_v<T, std::vector<lora::LoraUse>>) {
    return loras_from_python(value);
  } else if constexpr (std::is_same_v<T, std::vector<text::EmbeddingUse>>) {
    return embeddings_from_python(value);
  } else {
    return sequence<typename T::value_type>(field, value);
  }
}

template <typename T>
py::object field_to_python(const T& value) {
  if constexpr (IsOptional<T>::value) {
    return value ? field_to_python(*value) : py::none();
  } else if constexpr (std::is_same_v<T, std::vector<lora::LoraUse>>) {
    return loras_to_python(value);
  } else if constexpr (std::is_same_v<T, std::vector<text::EmbeddingUse>>) {
    return embeddings_to_python(value);
  } else if constexpr (std::is_same_v<T, std::vector<double>> ||
                       std::is_same_v<T, std::vector<int64_t>>) {
    py::list list;
    for (const auto item : value) list.append(item);
    return list;
  } else {
    return py::cast(value);
  }
}

}  // namespace sdrbee::bindings
