// The tokenizers of CLIP, T5 and Qwen, for tests and for counting a prompt's tokens.
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include "bindings.h"
#include "sdrbee/text/bpe_tokenizer.h"
#include "sdrbee/text/clip_tokenizer.h"
#include "sdrbee/text/prompt_chunks.h"
#include "sdrbee/text/qwen_vocabulary.h"
#include "sdrbee/text/unigram_tokenizer.h"

namespace sdrbee::bindings {
namespace {

using text::BpeTokenizer;
using text::ClipTokenizer;
using text::UnigramTokenizer;

// Text arrives as UTF-8 bytes or as a str, whose lone surrogates have no UTF-8 form.
std::string utf8(const py::object& prompt) {
  if (py::isinstance<py::bytes>(prompt)) return prompt.cast<std::string>();
  if (!py::isinstance<py::str>(prompt)) throw py::type_error("[text] expected str or bytes");
  return prompt.attr("encode")("utf-8", "replace").cast<std::string>();
}

void register_clip_tokenizer(py::module_& module) {
  py::class_<ClipTokenizer>(module, "ClipTokenizer",
                            "CLIP's tokenizer, equal to transformers' CLIPTokenizer.\n\n"
                            "Args:\n"
                            "    path: A folder with a vocabulary, or one of the files\n"
                            "        tokenizer.json, vocab.json (merges.txt beside it) and\n"
                            "        bpe_simple_vocab_16e6.txt.gz.\n\n"
                            "Raises:\n"
                            "    CheckpointError: The vocabulary is missing or damaged.")
      .def(py::init([](const std::filesystem::path& path) {
             return ClipTokenizer(text::read_clip_vocabulary(path));
           }),
           py::arg("path"))
      .def(
          "encode",
          [](const ClipTokenizer& self, const py::object& prompt) {
            return self.encode(utf8(prompt));
          },
          py::arg("text"), "Token ids without start and end marks; bad UTF-8 counts as U+FFFD.")
      .def(
          "decode",
          [](const ClipTokenizer& self, const std::vector<int64_t>& ids) {
            return self.decode(ids);
          },
          py::arg("ids"), "The text of token ids.")
      .def(
          "chunks",
          [](const ClipTokenizer& self, const py::object& prompt) {
            return text::chunk_prompt(self, utf8(prompt)).rows;
          },
          py::arg("text"),
          "Rows of max_length ids with start mark, end mark and padding; at least one.")
      .def_property_readonly("bos", &ClipTokenizer::bos, "id of the start mark")
      .def_property_readonly("eos", &ClipTokenizer::eos, "id of the end mark")
      .def_property_readonly("pad", &ClipTokenizer::pad, "id that fills a row up")
      .def_property_readonly("max_length", &ClipTokenizer::max_length,
                             "length of a row, start and end mark included");
}

void register_unigram_tokenizer(py::module_& module) {
  py::class_<UnigramTokenizer>(module, "UnigramTokenizer",
                               "T5's tokenizer, equal to transformers' T5Tokenizer.\n\n"
                               "Args:\n"
                               "    path: A folder with tokenizer.json or spiece.model, or one of\n"
                               "        these files.\n\n"
                               "Raises:\n"
                               "    CheckpointError: The vocabulary is missing or damaged.\n"
                               "    UnsupportedModel: It is of another kind of tokenizer.")
      .def(py::init([](const std::filesystem::path& path) {
             return UnigramTokenizer(text::read_unigram_vocabulary(path));
           }),
           py::arg("path"))
      .def(
          "encode",
          [](const UnigramTokenizer& self, const py::object& prompt) {
            return self.encode(utf8(prompt));
          },
          py::arg("text"), "Token ids without the end mark; bad UTF-8 counts as U+FFFD.")
      .def(
          "decode",
          [](const UnigramTokenizer& self, const std::vector<int64_t>& ids) {
            return self.decode(ids);
          },
          py::arg("ids"), "The text of token ids.")
      .def(
          "row",
          [](const UnigramTokenizer& self, const py::object& prompt, int64_t length) {
            if (length < 1) throw py::value_error("[length] expected at least 1");
            return self.encode_row(utf8(prompt), length).ids;
          },
          py::arg("text"), py::arg("length"),
          "Exactly `length` ids: as many tokens as fit, the end mark, padding.")
      .def_property_readonly("eos", &UnigramTokenizer::eos, "id of the end mark")
      .def_property_readonly("pad", &UnigramTokenizer::pad, "id that fills a row up");
}

void register_bpe_tokenizer(py::module_& module) {
  py::class_<BpeTokenizer>(module, "BpeTokenizer",
                           "Qwen's tokenizer, equal to transformers' Qwen2Tokenizer.\n\n"
                           "Args:\n"
                           "    path: A folder with tokenizer.json, or vocab.json and merges.txt;\n"
                           "        or one of the first two files.\n\n"
                           "Raises:\n"
                           "    CheckpointError: The vocabulary is missing or damaged.\n"
                           "    UnsupportedModel: It is of another kind of tokenizer.")
      .def(py::init([](const std::filesystem::path& path) {
             return BpeTokenizer(text::read_qwen_vocabulary(path));
           }),
           py::arg("path"))
      .def(
          "encode",
          [](const BpeTokenizer& self, const py::object& prompt) {
            return self.encode(utf8(prompt));
          },
          py::arg("text"), "Token ids; bad UTF-8 counts as U+FFFD.")
      .def(
          "decode",
          [](const BpeTokenizer& self, const std::vector<int64_t>& ids) {
            return self.decode(ids);
          },
          py::arg("ids"), "The text of token ids.")
      .def_property_readonly("pad", &BpeTokenizer::pad, "id that fills a row up");
}

}  // namespace

void register_tokenizer(py::module_& module) {
  register_clip_tokenizer(module);
  register_unigram_tokenizer(module);
  register_bpe_tokenizer(module);
}

}  // namespace sdrbee::bindings
