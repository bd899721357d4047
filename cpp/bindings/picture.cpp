// sdrbee.Image: pixels that know how they were made.
#include "picture.h"

#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "bindings.h"
#include "sdrbee/core/error.h"
#include "sdrbee/generation/recipe.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/image_codec.h"

namespace sdrbee::bindings {
namespace {

// Keywords of the PNG texts that carry the recipe: A1111's, which many tools read, and our own.
constexpr const char* kParametersKeyword = "parameters";
constexpr const char* kRecipeKeyword = "sdrbee";

constexpr int kJpegQuality = 92;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::vector<std::byte> encode_with_recipe(const Image& image, const nlohmann::json& recipe) {
  std::vector<io::PngText> texts;
  if (!recipe.is_null()) {
    texts.push_back({kParametersKeyword, a1111_parameters(recipe)});
    texts.push_back({kRecipeKeyword, recipe.dump()});
  }
  return io::encode_png(image, texts);
}

// Takes seed and recipe back from the texts of a PNG that sdrbee wrote.
void read_recipe(Picture& picture, std::span<const std::byte> file, const std::string& origin) {
  if (!io::is_png(file)) return;
  for (const io::PngText& text : io::read_png_texts(file, origin)) {
    if (text.keyword != kRecipeKeyword) continue;
    picture.recipe = nlohmann::json::parse(text.text, nullptr, /*allow_exceptions=*/false);
    if (!picture.recipe.is_object())
      throw InvalidRequest(message("[recipe] ", origin, ": expected a JSON object in the text '",
                                   kRecipeKeyword, "'"));
    const nlohmann::json seed =
        picture.recipe.value(nlohmann::json::json_pointer("/request/seed"), nlohmann::json());
    if (seed.is_number_unsigned()) picture.seed = seed.get<uint64_t>();
  }
}

Picture decode(std::span<const std::byte> file, const std::string& origin) {
  Picture picture{io::decode_image(file, origin), std::nullopt, nullptr};
  read_recipe(picture, file, origin);
  return picture;
}

Picture picture_from_file(const std::filesystem::path& path) {
  std::string file;
  try {
    file = io::read_file(path, io::kMaxPictureFileBytes);
  } catch (const CheckpointError& error) {
    throw InvalidRequest(error.what());
  }
  return decode(bytes_of(file), path.string());
}

bool is_pil_image(py::handle value) {
  return py::hasattr(value, "convert") && py::hasattr(value, "tobytes") &&
         py::hasattr(value, "getbands");
}

Image from_pil(py::handle value) {
  py::object picture = py::module_::import("PIL.ImageOps").attr("exif_transpose")(value);
  const auto bands = picture.attr("getbands")().cast<std::vector<std::string>>();
  const bool has_alpha = std::find(bands.begin(), bands.end(), "A") != bands.end() ||
                         picture.attr("info").contains("transparency");
  const bool is_grey = bands.size() == 1 && bands[0] != "P" && !has_alpha;
  picture = picture.attr("convert")(is_grey ? "L" : has_alpha ? "RGBA" : "RGB");
  Image image;
  image.channels = is_grey ? 1 : has_alpha ? 4 : 3;
  image.size = {picture.attr("width").cast<int64_t>(), picture.attr("height").cast<int64_t>()};
  const auto pixels = picture.attr("tobytes")().cast<std::string>();
  image.pixels.assign(pixels.begin(), pixels.end());
  return image;
}

[[noreturn]] void wrong_array(std::string_view field, const py::buffer_info& buffer) {
  std::string shape;
  for (const py::ssize_t extent : buffer.shape) shape += message(shape.empty() ? "" : ", ", extent);
  throw InvalidRequest(message("[", field,
                               "] expected a uint8 array [height, width], or [height, "
                               "width, channels] with 1, 3 or 4 channels, but got format '",
                               buffer.format, "' of shape [", shape, "]"));
}

Image from_array(py::handle value, std::string_view field) {
  const py::buffer_info buffer = py::reinterpret_borrow<py::buffer>(value).request();
  const bool is_bytes = buffer.itemsize == 1 && buffer.format == "B";
  const bool is_picture = buffer.ndim == 2 || buffer.ndim == 3;
  const py::ssize_t channels = buffer.ndim == 3 ? buffer.shape[2] : 1;
  if (!is_bytes || !is_picture || (channels != 1 && channels != 3 && channels != 4) ||
      buffer.size == 0)
    wrong_array(field, buffer);
  Image image;
  image.size = {buffer.shape[1], buffer.shape[0]};
  image.channels = channels;
  image.pixels.reserve(static_cast<size_t>(buffer.size));
  const auto* base = static_cast<const uint8_t*>(buffer.ptr);
  const py::ssize_t channel_stride = buffer.ndim == 3 ? buffer.strides[2] : 0;
  for (py::ssize_t y = 0; y < buffer.shape[0]; ++y)
    for (py::ssize_t x = 0; x < buffer.shape[1]; ++x)
      for (py::ssize_t channel = 0; channel < channels; ++channel)
        image.pixels.push_back(
            base[y * buffer.strides[0] + x * buffer.strides[1] + channel * channel_stride]);
  return image;
}

Picture picture_from_python(py::handle value, std::string_view field) {
  if (py::isinstance<Picture>(value)) return value.cast<const Picture&>();
  if (py::isinstance<py::str>(value) || py::hasattr(value, "__fspath__"))
    return picture_from_file(value.cast<std::filesystem::path>());
  if (PyBytes_Check(value.ptr()) || PyByteArray_Check(value.ptr())) {
    const auto file = py::reinterpret_borrow<py::buffer>(value).request();
    return decode({static_cast<const std::byte*>(file.ptr), static_cast<size_t>(file.size)},
                  message("[", field, "] ", file.size, " bytes"));
  }
  if (is_pil_image(value)) return {from_pil(value), std::nullopt, nullptr};
  if (PyObject_CheckBuffer(value.ptr()) != 0)
    return {from_array(value, field), std::nullopt, nullptr};
  throw InvalidRequest(message("[", field,
                               "] expected a path, bytes, a PIL image, a uint8 array "
                               "[height, width, channels] or sdrbee.Image but got ",
                               Py_TYPE(value.ptr())->tp_name));
}

py::buffer_info buffer_of(Picture& picture) {
  const Image& image = picture.image;
  const auto width = static_cast<py::ssize_t>(image.size.width);
  const auto height = static_cast<py::ssize_t>(image.size.height);
  const auto channels = static_cast<py::ssize_t>(image.channels);
  return {picture.image.pixels.data(),
          1,
          py::format_descriptor<uint8_t>::format(),
          3,
          {height, width, channels},
          {width * channels, channels, py::ssize_t{1}},
          /*readonly=*/true};
}

py::object to_pil(const py::object& self) {
  const auto& image = self.cast<const Picture&>().image;
  const char* mode = image.channels == 1 ? "L" : image.channels == 4 ? "RGBA" : "RGB";
  const py::bytes pixels(reinterpret_cast<const char*>(image.pixels.data()), image.pixels.size());
  return py::module_::import("PIL.Image")
      .attr("frombytes")(mode, py::make_tuple(image.size.width, image.size.height), pixels);
}

py::object recipe_to_python(const Picture& picture) {
  if (picture.recipe.is_null()) return py::none();
  return py::module_::import("json").attr("loads")(picture.recipe.dump());
}

std::string represent(const Picture& picture) {
  const std::string seed = picture.seed ? message(" seed=", *picture.seed) : "";
  return message("<sdrbee.Image ", picture.image.size.width, "x", picture.image.size.height, seed,
                 ">");
}

// The file of a format; the recipe goes into PNG only. It calls the model `model`, where that is
// given.
std::vector<std::byte> encoded(const Picture& picture, const std::string& format, int quality,
                               const std::optional<std::string>& model = std::nullopt) {
  if (format == "png")
    return encode_with_recipe(picture.image, model && !picture.recipe.is_null()
                                                 ? with_model_name(picture.recipe, *model)
                                                 : picture.recipe);
  if (format == "jpg" || format == "jpeg") return io::encode_jpeg(picture.image, quality);
  throw InvalidRequest(message("[format] expected png, jpg or jpeg but got '", format, "'"));
}

void save(const Picture& picture, const std::filesystem::path& path) {
  std::string ending = path.extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  if (ending != ".png" && ending != ".jpg" && ending != ".jpeg")
    throw InvalidRequest(
        message("[save] expected a path that ends in .png, .jpg or .jpeg but got ", path.string()));
  io::write_file_atomically(path, encoded(picture, ending.substr(1), kJpegQuality));
}

py::bytes encode(const Picture& picture, const std::string& format, int quality,
                 const std::optional<std::string>& model) {
  std::vector<std::byte> file;
  {
    const py::gil_scoped_release unlocked;
    file = encoded(picture, format, quality, model);
  }
  return {reinterpret_cast<const char*>(file.data()), file.size()};
}

}  // namespace

Image image_from_python(py::handle value, std::string_view field) {
  return picture_from_python(value, field).image;
}

void register_image(py::module_& module) {
  py::class_<Picture>(module, "Image", py::buffer_protocol(),
                      "A picture: uint8 [height, width, channels] through the buffer protocol.\n\n"
                      "Example:\n"
                      "    >>> import numpy as np, sdrbee\n"
                      "    >>> image = sdrbee.Image(np.zeros((2, 4, 3), np.uint8))\n"
                      "    >>> image.width, np.asarray(image).shape\n"
                      "    (4, (2, 4, 3))")
      .def(
          py::init([](const py::object& source) { return picture_from_python(source, "image"); }),
          py::arg("source"),
          "From a path, bytes of a PNG or JPEG file, a PIL image, or a uint8 array [height, width] "
          "or [height, width, channels].")
      .def_buffer(&buffer_of)
      .def_property_readonly("width", [](const Picture& self) { return self.image.size.width; })
      .def_property_readonly("height", [](const Picture& self) { return self.image.size.height; })
      .def_property_readonly(
          "channels", [](const Picture& self) { return self.image.channels; },
          "1 (grey), 3 (RGB) or 4 (RGBA)")
      .def_readonly("seed", &Picture::seed, "seed of a generated picture, else None")
      .def_property_readonly("recipe", &recipe_to_python,
                             "all that makes the picture again, else None; see sdrbee.replay")
      .def(
          "save", &save, py::arg("path"), py::call_guard<py::gil_scoped_release>(),
          "Writes a .png with its recipe inside, or a .jpg without. A failure leaves no half file.")
      .def(
          "encode", &encode, py::arg("format") = "png", py::kw_only(),
          py::arg("quality") = kJpegQuality, py::arg("model").none(true) = py::none(),
          "The bytes of a PNG file with the recipe inside, or of a JPEG file without, at a quality "
          "of 1 to 100. The recipe calls its model `model`, by default by the path of its files.")
      .def("to_pil", &to_pil, "The picture as a PIL image (needs Pillow).")
      .def("_repr_png_",
           [](const Picture& self) { return encode(self, "png", kJpegQuality, std::nullopt); })
      .def("__repr__", &represent);
}

}  // namespace sdrbee::bindings
