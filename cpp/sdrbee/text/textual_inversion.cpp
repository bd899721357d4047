#include "sdrbee/text/textual_inversion.h"

#include <ATen/ops/isfinite.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <system_error>
#include <utility>

#include "sdrbee/core/error.h"
#include "sdrbee/core/sha256.h"
#include "sdrbee/io/file.h"
#include "sdrbee/io/safetensors.h"

namespace sdrbee::text {
namespace {

constexpr int64_t kMaxVectors = 75;  // what fits into one row of tokens

/// Models by the width of their token vectors.
constexpr std::pair<int64_t, std::string_view> kWidths[] = {
    {768, "Stable Diffusion 1.x (CLIP-L)"},
    {1024, "Stable Diffusion 2.x (OpenCLIP-H)"},
    {1280, "the second text encoder of SDXL (OpenCLIP-bigG)"},
};

std::string made_for(const std::map<std::string, Tensor>& vectors) {
  if (vectors.contains("clip_g")) return "SDXL";
  const int64_t width = vectors.begin()->second.size(1);
  for (const auto& [known, model] : kWidths)
    if (known == width) return std::string(model);
  return message("a text encoder of width ", width);
}

/// Before anything is read: other files may be large.
void check_names(const io::SafetensorsFile& file) {
  const std::vector<std::string> names = file.names();
  if (names.size() == 1 || names == std::vector<std::string>{"clip_g", "clip_l"}) return;
  throw InvalidRequest(
      message("[embeddings] ", file.path().filename().string(), " is no textual inversion: ",
              "expected one tensor, or 'clip_l' and 'clip_g', but got ", names.size(), " tensors"));
}

/// [n, width] in fp32.
Tensor checked_vectors(const io::SafetensorsFile& file, const std::string& name) {
  const io::WeightInfo info = file.find(name).value();
  const std::string where =
      message("[embeddings] ", file.path().filename().string(), ": '", name, "': ");
  const size_t dimensions = info.shape.size();
  const int64_t count = dimensions == 2 ? info.shape.front() : 1;
  if (dimensions < 1 || dimensions > 2 || !at::isFloatingType(info.dtype) ||
      info.shape.back() < 1 || count < 1 || count > kMaxVectors)
    throw InvalidRequest(message(where, "expected 1 to ", kMaxVectors, " vectors of a textual ",
                                 "inversion, [n, width], but got ", shape_text(info.shape), " ",
                                 dtype_name(info.dtype)));
  const Tensor vectors = file.read(name).to(at::kFloat).reshape({count, -1});
  if (!at::isfinite(vectors).all().item<bool>())
    throw InvalidRequest(where + "the vectors hold NaN or infinity");
  return vectors;
}

char lower(char character) {
  return character >= 'A' && character <= 'Z' ? static_cast<char>(character - 'A' + 'a')
                                              : character;
}

bool is_letter_or_digit(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return byte >= 0x80 || std::isalnum(byte) != 0;
}

bool stands_at(std::string_view text, size_t at, std::string_view name) {
  if (text.size() - at < name.size()) return false;
  if (!std::ranges::equal(text.substr(at, name.size()), name, {}, lower, lower)) return false;
  const size_t end = at + name.size();
  const bool joined_before =
      at > 0 && is_letter_or_digit(text[at - 1]) && is_letter_or_digit(name.front());
  const bool joined_behind =
      end < text.size() && is_letter_or_digit(text[end]) && is_letter_or_digit(name.back());
  return !joined_before && !joined_behind;
}

const TextualInversion* longest_at(std::string_view text, size_t at, const LearnedWords& words) {
  const TextualInversion* longest = nullptr;
  for (const auto& word : words)
    if (stands_at(text, at, word->name) &&
        (longest == nullptr || word->name.size() > longest->name.size()))
      longest = word.get();
  return longest;
}

}  // namespace

const Tensor& TextualInversion::vectors_for(std::string_view key, int64_t width) const {
  const auto found =
      key.empty() && vectors.size() == 1 ? vectors.begin() : vectors.find(std::string(key));
  if (found != vectors.end() && found->second.size(1) == width) return found->second;
  throw InvalidRequest(message(
      "[embeddings] '", name, "' is for ", made_for(vectors), ": expected vectors of width ", width,
      key.empty() ? "" : message(" called '", key, "'"), " but the file has ", [&] {
        std::string listed;
        for (const auto& [own, tensor] : vectors)
          listed += message(listed.empty() ? "'" : ", '", own, "' of width ", tensor.size(1));
        return listed;
      }()));
}

TextualInversion load_textual_inversion(const EmbeddingUse& use) {
  const io::SafetensorsFile file(use.path);
  check_names(file);
  TextualInversion loaded{
      .name = use.name, .sha256 = sha256(io::MappedFile::open(use.path)->bytes()), .vectors = {}};
  if (!use.sha256.empty() && use.sha256 != loaded.sha256)
    throw InvalidRequest(message("[embeddings] '", use.name, "': expected the file with SHA-256 ",
                                 use.sha256, " but got one with ", loaded.sha256));
  for (const std::string& name : file.names())
    loaded.vectors.emplace(name, checked_vectors(file, name));
  return loaded;
}

std::vector<EmbeddingUse> embeddings_in(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<EmbeddingUse> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error))
    if (entry.path().extension() == ".safetensors")
      found.push_back({entry.path().stem().string(), entry.path().string(), ""});
  if (error)
    throw InvalidRequest(message("[embeddings_dir] expected a folder but got '", folder.string(),
                                 "': ", error.message()));
  std::ranges::sort(found, {}, &EmbeddingUse::name);
  return found;
}

bool has_word(std::string_view text, std::string_view name) {
  if (name.empty()) return false;
  for (size_t at = 0; at < text.size(); ++at)
    if (stands_at(text, at, name)) return true;
  return false;
}

std::vector<TextOrWord> split_at_learned_words(std::string_view text, const LearnedWords& words) {
  std::vector<TextOrWord> parts;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    const TextualInversion* const word = longest_at(text, at, words);
    if (word == nullptr) {
      ++at;
      continue;
    }
    if (at > begin) parts.emplace_back(text.substr(begin, at - begin));
    parts.emplace_back(word);
    begin = at = at + word->name.size();
  }
  if (begin < text.size()) parts.emplace_back(text.substr(begin));
  return parts;
}

}  // namespace sdrbee::text
